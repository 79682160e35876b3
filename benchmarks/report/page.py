"""What does docs/performance.md say? A template, and the figures of the last runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.measure.meter import PARTS, TASKS, WORKERS
from benchmarks.measure.variants import LIMIT, VARIANTS
from benchmarks.report.charts import compare_chart, cpu_chart, growth_chart
from benchmarks.report.figures import (
    busy,
    by_workload,
    label_of,
    machine_of,
    per_store_ms,
    points_of,
)
from benchmarks.workload import JOBS, VIDEO, floor_seconds, limited_floor_seconds
from include.local.processes.programs import API_SERVER, EXECUTION_API
from include.local.run.progress import clock
from include.local.settings import DEFAULT_USERS_POOL, DEFAULT_VIDEOS_POOL
from include.tiktok_sync.sync.store_batch import MOST_TASKS

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEMPLATE = "performance.md.j2"

_API = (API_SERVER, EXECUTION_API)
_AIRFLOW = (*_API, "scheduler", WORKERS, TASKS, "dag-processor", "triggerer")


def pages(
    compare: Mapping[str, Any],
    growth: Mapping[str, Any] | None,
    limited: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """The page and its charts: name of the file in docs/ -> text.

    Args:
        compare: Figures of the comparison.
        growth: Figures of the growth run, if there was one.
        limited: Figures of many stores with the limit enforced, if they were measured.
    """
    found = {
        "performance.md": _text(compare, growth, limited),
        "performance-compare.svg": compare_chart(compare),
        "performance-cpu.svg": cpu_chart(compare),
    }
    if growth:
        found["performance-growth.svg"] = growth_chart(growth)
    return found


def _text(
    compare: Mapping[str, Any],
    growth: Mapping[str, Any] | None,
    limited: Mapping[str, Any] | None,
) -> str:
    machine = compare["machine"]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown of our own figures, not HTML
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "s": lambda seconds: f"{seconds:,.0f} s",
        "ms": lambda milliseconds: f"{milliseconds:,.0f} ms",
        "mb": lambda megabytes: f"{megabytes:,.0f} MB",
        "x": lambda ratio: f"{ratio:.2f}x",
        "label": label_of,
        "per_store": per_store_ms,
        "tasks": _task_seconds,
        "busy": lambda one: f"{busy(one, int(machine_of(compare, one)['cores'])):.0%}",
        "measured": lambda one: "{date}, {commit}".format_map(machine_of(compare, one)),
        "total": lambda cpu: sum(cpu.values()),
        "oneline": lambda text: " ".join(text.split()).replace("|", "/"),
    }
    valid = {one["key"]: one for one in compare["variants"] if not one["problem"]}
    stores = int(compare["stores"])
    jobs = {**{name: [job] for name, job in JOBS.items()}, "both": list(JOBS.values())}
    text = environment.get_template(TEMPLATE).render(
        machine=machine,
        sessions=_sessions(compare),
        stores=stores,
        spread=compare["latency_spread"],
        users_at_once=DEFAULT_USERS_POOL,
        videos_at_once=DEFAULT_VIDEOS_POOL,
        most_tasks=MOST_TASKS,
        several=max(variant.stores_per_task for variant in VARIANTS),
        floor=lambda name: floor_seconds(jobs[name], stores, 0.0),
        rows=by_workload(compare),
        tail=_tail(compare, valid),
        ours=valid.get("a-both"),
        batches=valid.get("c-both"),
        first=valid.get("b-both"),
        user=valid.get("a-user"),
        user_several=valid.get("a-user-5"),
        known=valid.get("a-known"),
        known_by={
            who: valid[key]
            for who, key in (
                ("this package with one lane", "a-known-1"),
                ("batches without Airflow", "c-known"),
                ("the first Dag", "b-known"),
            )
            if key in valid
        },
        one_lane_s=lambda size: limited_floor_seconds((VIDEO,), size, LIMIT, 1),
        shares=_shares,
        share=_share,
        api_tasks_per_second=_api_tasks_per_second(valid.get("a-both")),
        growth=_growth(growth) if growth else None,
        limited=limited,
        clock=clock,
    )
    return text.rstrip("\n") + "\n"


def _sessions(compare: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The machines, days and commits of the figures, in the order in which they were measured."""
    found = {
        (m["date"], m["commit"]): m
        for m in (machine_of(compare, one) for one in compare["variants"])
    }
    return [found[when] for when in sorted(found)]


def _tail(
    compare: Mapping[str, Any], valid: Mapping[str, Mapping[str, Any]]
) -> dict[str, float | None] | None:
    one = next((one for one in compare["variants"] if one["latency"] == "lognormal"), None)
    if one is None:
        return None
    walls = {
        name: valid[key]["wall_s"] if key in valid else None
        for name, key in (
            ("ours", "a-both-tail"),
            ("batches", "c-both-tail"),
            ("first", "b-both-tail"),
        )
    }
    sigma = float(compare["latency_spread"])
    factor = math.exp(NormalDist().inv_cdf(0.99) * sigma - sigma**2 / 2)
    return {
        "floor": one["floor_s"],
        "barrier": one["barrier_floor_s"],
        "factor": factor,
        **walls,
    }


def _task_seconds(one: Mapping[str, Any]) -> str:
    return " / ".join(f"{part['task_s']:.1f} s" for part in one["by_job"].values())


def _shares(one: Mapping[str, Any]) -> str:
    """The parts that take most, with their milliseconds."""
    parts = sorted(one["cpu_s"], key=lambda part: -float(one["cpu_s"][part]))[:5]
    return ", ".join(f"{part} {per_store_ms(one, part):.0f}" for part in parts)


def _share(one: Mapping[str, Any], *parts: str) -> str:
    cpu = one["cpu_s"]
    return f"{sum(cpu.get(part, 0.0) for part in parts) / sum(cpu.values()):.0%}"


def _api_tasks_per_second(one: Mapping[str, Any] | None) -> str:
    seconds = sum(one["cpu_s"].get(part, 0.0) for part in _API) if one else 0.0
    return f"{one['task_tries'] / seconds:.0f}" if one and seconds else "?"


def _growth(growth: Mapping[str, Any]) -> dict[str, Any]:
    by_job = {job: points_of(growth, job) for job in JOBS}
    valid = [point for points in zip(*by_job.values(), strict=False) for point in points]
    ends = {name: [points[at] for points in by_job.values() if points] for name, at in _ENDS}
    video = by_job["video"]
    last = ends["last"]
    found: dict[str, Any] = {
        "machine": growth["machine"],
        "points": growth["points"],
        "valid": valid,
        "parts": [
            part for part in PARTS if any(per_store_ms(p["measured"], part) >= 1 for p in valid)
        ],
        "videos_each": f"{video[-1]['rows'] / video[-1]['measured']['stores']:.0f}"
        if video
        else "?",
        "seconds_each": sum(p["measured"]["wall_s"] / p["measured"]["stores"] for p in last),
    }
    for name, points in ends.items():
        ones = [point["measured"] for point in points]
        loops = [point["loops"]["mean_ms"] for point in points if point["loops"]]
        found[f"{name}_size"] = ones[0]["stores"] if ones else 0
        found[f"airflow_{name}"] = _mean([_of_airflow(one) for one in ones])
        found[f"memory_{name}"] = max((one["memory_mb"] for one in ones), default=0.0)
        found[f"loop_{name}"] = _mean(loops)
    return found


_ENDS = (("first", 0), ("last", -1))


def _of_airflow(one: Mapping[str, Any]) -> float:
    """Processor milliseconds a store of Airflow's parts.

    Task processes are left out: the store's own work is in them, too.
    """
    return sum(per_store_ms(one, part) for part in _AIRFLOW if part != TASKS)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
