"""Made-up figures in the shape of the benchmark's."""

from __future__ import annotations

from typing import Any

from benchmarks.measure.meter import PLAIN
from benchmarks.measure.variants import SPREAD, VARIANTS, Variant
from benchmarks.workload import barrier_floor_seconds, floor_seconds

MACHINE = {
    "cpu": "Some Processor",
    "cores": 2,
    "memory_gb": 24,
    "kernel": "Linux 6",
    "python": "3.11.7",
    "airflow": "3.3.2",
    "postgres": "18.4",
    "date": "2026-11-24",
    "commit": "abcdef0",
}
TIMES = {"package": 1.11, "first": 5.0, "batches": 1.05, "loop": 22.0}


def measurement(variant: Variant, **overrides: Any) -> dict[str, Any]:
    """One variant, some figures given."""
    floor = floor_seconds(variant.jobs, 300, variant.spread)
    wall = floor * TIMES[variant.way]
    done = (variant.sample or 300) * len(variant.jobs)
    parts = ("api-server", "task processes", "postgres") if variant.uses_airflow else (PLAIN,)
    job = {
        "wall_s": wall,
        "run_s": wall + 3 if variant.uses_airflow else None,
        "task_s": 3.6 if variant.uses_airflow else None,
        "tasks": 300 // variant.stores_per_task,
        "retries": 0,
        "succeeded": 300,
    }
    return {
        "key": variant.key,
        "way": variant.way,
        "jobs": [job.name for job in variant.jobs],
        "latency": variant.latency,
        "stores": 300,
        "stores_per_task": variant.stores_per_task,
        "sample": variant.sample,
        "limit": variant.limit,
        "lanes": variant.lanes,
        "floor_s": floor,
        "barrier_floor_s": barrier_floor_seconds(variant.jobs, 300, variant.spread),
        "problem": None,
        "wall_s": wall,
        "by_job": {one.name: job for one in variant.jobs},
        "cpu_s": dict.fromkeys(parts, 0.1 * done),
        "memory_mb": 2_500.0,
        "memory_samples": 5,
        "in_flight_max": {one.endpoint: one.slots for one in variant.jobs},
        "calls": {one.endpoint: 300 * one.calls for one in variant.jobs},
        "refused": {one.endpoint: 0 for one in variant.jobs},
        "largest_window": {one.endpoint: 600 for one in variant.jobs},
        "execution_calls": 1_830 if variant.uses_airflow else 0,
        "task_tries": 305 if variant.uses_airflow else 0,
        **overrides,
    }


def comparison() -> dict[str, Any]:
    """Every variant, valid."""
    return {
        "machine": MACHINE,
        "stores": 300,
        "latency_spread": SPREAD,
        "variants": [measurement(variant) for variant in VARIANTS],
    }
