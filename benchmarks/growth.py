"""What becomes of time, memory and databases as the stores grow? TikTok answers at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import psycopg
from rich import box
from rich.table import Table

from benchmarks.measure import machine
from benchmarks.measure.airflow_runs import warm_up
from benchmarks.measure.bench_stack import BenchStack, SetUp, bench_stack
from benchmarks.measure.loop_times import LoopTimes, LoopTimesListener
from benchmarks.measure.measurement import Measurement, fill
from benchmarks.workload import USER, VIDEO, Job
from include.local.console import result, say
from include.local.errors import LocalStackError
from include.local.run.seed import seed_stores
from include.sandbox.settings import DEFAULT_LATENCY
from include.tiktok_sync.sync.store_batch import cut

SIZES = (300, 1_000, 3_000, 10_000)

_MB = 1024 * 1024
_UNLIMITED = {"TIKTOK_RATE_LIMIT_PER_MINUTE": "0", "SANDBOX_RATE_LIMIT_PER_MINUTE": "0"}


@dataclass
class Point:
    """One sync of some stores.

    Attributes:
        measured: Time and cost.
        loops: The scheduler's loops meanwhile.
        store_db_mb: Size of the product's database afterwards.
        airflow_db_mb: Size of Airflow's database afterwards.
        rows: Rows that the sync wrote to its table of days.
    """

    measured: Measurement
    loops: LoopTimes | None = None
    store_db_mb: float = 0.0
    airflow_db_mb: float = 0.0
    rows: int = 0


def grow(sizes: Sequence[int], timeout_s: float) -> Iterator[dict[str, Any]]:
    """Sync each number of stores on a fresh stack: users alone, then videos alone.

    Args:
        sizes: Numbers of stores.
        timeout_s: When to give a sync up.

    Yields:
        After each size, all figures so far, ready for ``results.write``.

    Raises:
        LocalStackError: A stack does not come up.
    """
    points: list[Point] = []
    about: dict[str, str | int] = {}
    for size in sizes:
        say(f"{size} stores")
        environ = {"STORES": str(size), "SANDBOX_LATENCY": "0", **_UNLIMITED}
        with LoopTimesListener() as listener, bench_stack(environ) as stack:
            stack.switch(SetUp(extra=listener.airflow_env))
            about = about or machine.describe(stack)
            seed_stores(stack)
            warm_up(stack, size, timeout_s)
            stack.begin_anew(latency=dict.fromkeys(DEFAULT_LATENCY, 0.0))
            # On empty tables, and the second without emptying them: that is one night.
            points.extend(_point(stack, listener, job, size, timeout_s) for job in (USER, VIDEO))
        yield {"machine": about, "points": [asdict(point) for point in points]}


def show(results: dict[str, Any]) -> None:
    """Print the figures of a growth run."""
    table = Table("stores", "sync", "wall", "CPU", "memory", "databases", "loop", box=box.SIMPLE)
    for point in results["points"]:
        one, loops = point["measured"], point["loops"]
        stores = one["stores"]
        table.add_row(
            str(stores),
            ", ".join(one["jobs"]),
            f"{one['wall_s']:.1f} s, {1000 * one['wall_s'] / stores:.0f} ms/store",
            f"{1000 * sum(one['cpu_s'].values()) / stores:.0f} ms/store",
            f"{one['memory_mb']:.0f} MB",
            f"{point['store_db_mb']:.0f} + {point['airflow_db_mb']:.0f} MB",
            f"{loops['mean_ms']:.0f} (p95 {loops['p95_ms']:.0f}) ms" if loops else "",
        )
        if one["problem"]:
            table.add_row("", f"failed: {one['problem']}")
    result.print(table)


def _point(
    stack: BenchStack, listener: LoopTimesListener, job: Job, size: int, timeout_s: float
) -> Point:
    codes = [str(number) for number in range(size)]
    measured = Measurement(
        key=f"{job.name}-{size}",
        way="package",
        jobs=[job.name],
        latency="none",
        stores=size,
        stores_per_task=len(cut(codes)[0]),
        sample=None,
        floor_s=0.0,
        barrier_floor_s=0.0,
    )
    point = Point(measured)
    listener.begin()
    try:
        fill(stack, measured, (job,), timeout_s)
    except (LocalStackError, psycopg.Error, psutil.Error) as error:
        measured.problem = str(error)
        say(f"  failed: {error}")
    point.loops = listener.times()
    point.store_db_mb, point.airflow_db_mb = _sizes_mb(stack)
    point.rows = _rows(stack, job)
    return point


def _sizes_mb(stack: BenchStack) -> tuple[float, float]:
    found = []
    for url in (stack.settings.store_db_url, stack.settings.airflow_db_url):
        with psycopg.connect(url) as conn:
            row = conn.execute("SELECT pg_database_size(current_database())").fetchone()
        found.append(row[0] / _MB if row else 0.0)
    return found[0], found[1]


def _rows(stack: BenchStack, job: Job) -> int:
    table = {"user": "user_daily_stats", "video": "video_daily_stats"}[job.name]
    with psycopg.connect(stack.settings.store_db_url) as conn:
        row = conn.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - one of two names
    return int(row[0]) if row else 0
