"""The page says what the figures say, also of what failed, and is the same every time."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from benchmarks.measure.variants import VARIANTS
from benchmarks.report.page import pages
from benchmarks.report.results import updated
from tests.unit.benchmarks.made_up import MACHINE, comparison, measurement


@pytest.fixture
def compare() -> dict[str, Any]:
    return comparison()


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    """The pages without growth; charts take a second to draw."""
    return pages(comparison(), None)


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


def test_many_stores_under_the_limit_have_a_table_of_their_own(
    compare: dict[str, Any], alone: dict[str, str]
) -> None:
    calls = {"user_info": 1_000, "video_list": 3_500, "video_query": 3_600}
    ones = [
        measurement(variant, calls=calls, wall_s=355.0, largest_window={"video_list": 598})
        for variant in VARIANTS
        if variant.key in {"a-known", "a-known-1"}
    ]
    limited = {"sizes": [{"stores": 1_000, "machine": MACHINE, "variants": ones}]}
    text = pages(compare, None, limited)["performance.md"]
    row = "| 1,000 | this package, one lane | 5:55 | 3,500 / 3,600 | 0 | 598 | 2,500 MB |"
    assert f"{row} 2026-11-24, abcdef0 |" in text.splitlines()
    assert "600 calls a minute and endpoint" in text
    assert "it takes 11:20 for 1,000 stores" in text
    assert "## Many stores" not in alone["performance.md"]


def test_every_variant_has_its_row(compare: dict[str, Any], growth: dict[str, Any]) -> None:
    text = pages(compare, growth)["performance.md"]
    rows = [line for line in text.splitlines() if line.endswith("| 2026-11-24, abcdef0 |")]
    assert len(rows) == len(VARIANTS)
    assert (
        "| user sync alone | this package | 33 s | 1.11x | 300 ms | 2,500 MB | 30 | 6.0 | 3.6 s"
        " | 2026-11-24, abcdef0 |" in rows
    )
    # What a user may expect comes before how it was measured; goals are in decision 8.
    assert text.index("## What to expect") < text.index("## What was measured")
    assert "| missed |" not in text
    assert "extrapolated from 10 stores" in text


def test_what_was_measured_again_keeps_company_with_what_was_not(compare: dict[str, Any]) -> None:
    again = [one | {"wall_s": 99.0} for one in compare["variants"] if one["key"] == "a-known"]
    later = MACHINE | {"date": "2026-12-01", "commit": "fedcba9", "note": "Others ran too."}
    again = [one | {"machine": later} for one in again]
    stored = updated(compare, compare | {"machine": later, "variants": again})
    assert len(stored["variants"]) == len(VARIANTS)
    text = pages(stored, None)["performance.md"]
    assert "| when | 2026-11-24, commit abcdef0; 2026-12-01, commit fedcba9 |" in text
    assert "2026-12-01, fedcba9: Others ran too." in text
    assert text.count("| 2026-12-01, fedcba9 |") == 1
    assert "in force, and the videos known from the night before, both syncs took 99 s; " in text


def test_a_failure_is_shown_with_its_reason(compare: dict[str, Any]) -> None:
    for one in compare["variants"]:
        if one["way"] == "first":
            one["problem"] = "not finished\nafter 1800 s"
    text = pages(compare, None)["performance.md"]
    assert text.count("| failed: not finished after 1800 s |") == sum(
        one["way"] == "first" for one in compare["variants"]
    )
    assert "its hooks again in every task" not in text


def test_without_growth_the_page_has_no_such_part(
    compare: dict[str, Any], growth: dict[str, Any], alone: dict[str, str]
) -> None:
    assert "## Growth" not in alone["performance.md"]
    assert "performance-growth.svg" not in alone
    text = pages(compare, growth)["performance.md"]
    assert "needs 0.20 s for a store in both Dags" in text
    assert "55 videos per store" in text


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
