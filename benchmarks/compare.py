"""This package compared with the Dag one writes first, batches and a loop: all in one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import psutil
import psycopg
from rich import box
from rich.table import Table

from benchmarks.measure import machine
from benchmarks.measure.airflow_runs import warm_up
from benchmarks.measure.bench_stack import SetUp, bench_stack
from benchmarks.measure.measurement import Measurement, fill, live_a_night, read_profiles
from benchmarks.measure.variants import LATENCIES, WAYS, Variant
from benchmarks.workload import (
    USER,
    barrier_floor_seconds,
    floor_seconds,
    limited_floor_seconds,
)
from include.local.console import result, say
from include.local.errors import LocalStackError
from include.local.run.progress import clock
from include.local.run.seed import seed_stores

LIMITED_SIZES = (1_000, 3_000)


def compare(
    variants: Sequence[Variant], stores: int, timeout_s: float, note: str = ""
) -> Iterator[dict[str, Any]]:
    """Measure variants one after the other on one stack.

    Args:
        variants: Those without Airflow first.
        stores: Stores of the reference workload.
        timeout_s: When to give a variant up.
        note: What else the machine did; stands on the page.

    Yields:
        After each, all figures so far, ready for ``results.write``.

    Raises:
        LocalStackError: Postgres or the sandbox does not come up.
    """
    found: list[Measurement] = []
    with bench_stack({"STORES": str(stores), "SANDBOX_PROFILE": "reference"}) as stack:
        stack.up_without_airflow()
        seed_stores(stack)
        about = machine.describe(stack) | ({"note": note} if note else {})
        warm: SetUp | None = None
        for number, variant in enumerate(variants, 1):
            say(f"{number} of {len(variants)}: {title(variant)}")
            measured = replace(blank(variant, stores), machine=about)
            found.append(measured)
            try:
                if variant.uses_airflow and variant.set_up != warm:
                    stack.switch(variant.set_up)
                    warm_up(stack, stores, timeout_s)
                    warm = variant.set_up
                videos_alone = USER not in variant.jobs
                if variant.limit:
                    live_a_night(stack, timeout_s)
                elif videos_alone:
                    read_profiles(stack, timeout_s)
                stack.begin_anew(
                    spread=variant.spread,
                    keep_profiles=videos_alone,
                    keep_videos=variant.limit > 0,
                    limit=variant.limit,
                )
                fill(stack, measured, variant.jobs, timeout_s, variant.extra)
            except (LocalStackError, psycopg.Error, psutil.Error) as error:
                measured.problem = str(error)
            say(f"  {_outcome(measured)}")
            yield {
                "machine": about,
                "stores": stores,
                "latency_spread": LATENCIES["lognormal"],
                "variants": [asdict(measured) for measured in found],
            }


def compare_sizes(
    variants: Sequence[Variant], sizes: Sequence[int], timeout_s: float, note: str = ""
) -> Iterator[dict[str, Any]]:
    """Compare for each number of stores, each on a fresh stack; as `compare`, in `sizes`."""
    found: list[dict[str, Any]] = []
    for size in sizes:
        found.append({})
        for state in compare(variants, size, timeout_s, note):
            found[-1] = state
            yield {"sizes": found}


def blank(variant: Variant, stores: int) -> Measurement:
    """A measurement that is still to be made."""
    return Measurement(
        key=variant.key,
        way=variant.way,
        jobs=[job.name for job in variant.jobs],
        latency=variant.latency,
        stores=stores,
        stores_per_task=variant.stores_per_task,
        sample=variant.sample,
        limit=variant.limit,
        lanes=variant.lanes,
        floor_s=limited_floor_seconds(variant.jobs, stores, variant.limit, variant.lanes)
        if variant.limit
        else floor_seconds(variant.jobs, stores, variant.spread),
        barrier_floor_s=barrier_floor_seconds(variant.jobs, stores, variant.spread),
    )


def title(variant: Variant) -> str:
    """A variant in words."""
    parts = [WAYS[variant.way], " and ".join(job.name for job in variant.jobs)]
    if variant.stores_per_task > 1:
        parts.append(f"{variant.stores_per_task} stores a task")
    if variant.latency != "constant":
        parts.append(f"{variant.latency} latency")
    if variant.limit:
        parts.append(f"{variant.limit} calls a minute, videos known")
    if variant.lanes == 1:
        parts.append("one lane")
    if variant.sample:
        parts.append(f"extrapolated from {variant.sample} stores")
    return ", ".join(parts)


def show(results: dict[str, Any]) -> None:
    """Print the figures of a comparison."""
    table = Table("variant", "wall", "floor", "ratio", "CPU", "memory", "calls", box=box.SIMPLE)
    for one in results["variants"]:
        done = (one["sample"] or one["stores"]) * len(one["jobs"])
        calls = one["execution_calls"] / one["task_tries"] if one["task_tries"] else None
        table.add_row(
            one["key"],
            f"{one['wall_s']:.1f} s",
            f"{one['floor_s']:.1f} s",
            f"{one['wall_s'] / one['floor_s']:.2f}",
            f"{sum(one['cpu_s'].values()) / done:.3f} s/store",
            f"{one['memory_mb']:.0f} MB",
            f"{calls:.1f}/task" if calls else "",
        )
        if one["limit"]:
            refused, window = sum(one["refused"].values()), max(one["largest_window"].values())
            table.add_row("", f"{refused} x 429, at most {window} in a minute")
        if one["problem"]:
            table.add_row("", f"failed: {one['problem']}")
    result.print(table)


def _outcome(measured: Measurement) -> str:
    if measured.problem:
        return f"failed: {measured.problem}"
    ratio = measured.wall_s / measured.floor_s
    calls = sum(measured.calls.values())
    return f"{clock(measured.wall_s)}, {ratio:.2f} times the floor, {calls:,} calls to TikTok"
