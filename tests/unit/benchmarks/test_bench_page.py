"""The page says what the figures say, also of what failed, and is the same every time."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.benchmarks.meter import PLAIN
from tests.benchmarks.page import pages
from tests.benchmarks.variants import SPREAD, VARIANTS, Variant
from tests.benchmarks.workload import barrier_floor_seconds, floor_seconds

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
        "execution_calls": 1_830 if variant.uses_airflow else 0,
        "task_tries": 305 if variant.uses_airflow else 0,
        **overrides,
    }


@pytest.fixture
def compare() -> dict[str, Any]:
    return {
        "machine": MACHINE,
        "stores": 300,
        "latency_spread": SPREAD,
        "variants": [measurement(variant) for variant in VARIANTS],
    }


@pytest.fixture
def growth() -> dict[str, Any]:
    points = []
    for size, per_task in ((300, 1), (10_000, 20)):
        for variant in VARIANTS:
            if variant.key not in {"a-user", "a-video"}:
                continue
            measured = measurement(
                variant,
                stores=size,
                stores_per_task=per_task,
                wall_s=size * 0.1,
                cpu_s={"scheduler": size * 0.02, "task processes": size * 0.05},
            )
            loops = {"loops": 100, "mean_ms": 25.0, "p95_ms": 70.0, "longest_ms": 400.0}
            points.append(
                {
                    "measured": measured,
                    "loops": loops,
                    "store_db_mb": 30.0,
                    "airflow_db_mb": 40.0,
                    "rows": size * 55,
                }
            )
    return {"machine": MACHINE, "points": points}


def test_every_variant_has_its_row(compare: dict[str, Any], growth: dict[str, Any]) -> None:
    text = pages(compare, growth)["performance.md"]
    rows = [line for line in text.splitlines() if line.count("|") == 10]
    assert len(rows) == 2 + len(VARIANTS)
    assert (
        "| user sync alone | this package | 33 s | 1.11x | 300 ms | 2,500 MB | 30 | 6.0 | 3.6 s |"
        in rows
    )
    assert "| user sync alone | 1.20x | 1.11x | met |" in text
    assert "| video sync alone | 1.10x | 1.11x | missed |" in text
    assert "extrapolated from 10 stores" in text


def test_a_failure_is_told_with_its_reason(compare: dict[str, Any]) -> None:
    for one in compare["variants"]:
        if one["way"] == "first":
            one["problem"] = "not finished\nafter 1800 s"
    text = pages(compare, None)["performance.md"]
    assert text.count("| failed: not finished after 1800 s |") == 3
    assert "imports its hooks anew" not in text


def test_without_growth_the_page_has_no_such_part(
    compare: dict[str, Any], growth: dict[str, Any]
) -> None:
    alone = pages(compare, None)
    assert "## Growth" not in alone["performance.md"]
    assert "performance-growth.svg" not in alone
    text = pages(compare, growth)["performance.md"]
    assert "needs 0.20 s for a store in both Dags" in text
    assert "55 videos a store" in text


def test_one_size_is_enough(compare: dict[str, Any], growth: dict[str, Any]) -> None:
    growth["points"] = growth["points"][:2]
    assert "| 300 | video | 300 (1) |" in pages(compare, growth)["performance.md"]


def test_the_same_figures_give_the_same_files(
    compare: dict[str, Any], growth: dict[str, Any]
) -> None:
    first = pages(compare, growth)
    assert pages(compare, growth) == first
    for name, text in first.items():
        assert text.endswith("\n")
        assert not [line for line in text.splitlines() if line != line.rstrip()], name
        if name.endswith(".svg"):
            ET.fromstring(text)  # noqa: S314 - our own picture
            assert f"({name})" in first["performance.md"]
