"""The table of docs/tuning.md: measured where it says so, and computed right everywhere else."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.errors import BenchError
from benchmarks.report.tuning import PAGE, table, with_table
from tests.unit.benchmarks.made_up import comparison

CPU_S = {"a-user": 0.3, "a-user-5": 0.1, "a-video": 0.4, "a-video-5": 0.2, "a-both": 0.35}
"""Processor seconds of a store in one sync: a task costs 0.25 s of each, whatever it does."""


ONE_LANE = "first night or one lane"


@pytest.fixture
def compare() -> dict[str, Any]:
    found = comparison()
    for one in found["variants"]:
        if one["key"] in CPU_S:
            one["cpu_s"] = {"task processes": CPU_S[one["key"]] * 300 * len(one["jobs"])}
            one["wall_s"] = 150.0
            for part in one["by_job"].values():
                part["run_s"] = 150.0
    return found


def cells(text: str, row: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_what_was_measured_is_marked(compare: dict[str, Any]) -> None:
    # 210 s of processor time in 150 s on 2 cores: 70 % used. With 5 a task, what is left of the
    # processor time is 2 * 0.05 + 2 * 0.05 + 0.1 = 0.3 s a store, so waiting takes longest: 105 s.
    assert cells(table(compare), "300 stores, limit lifted")[0] == "**2:30** → 1:45"


@pytest.mark.parametrize(
    ("lanes", "floors"), [("videos known", ("1:23", "1:15")), (ONE_LANE, ("3:15", "3:10"))]
)
def test_the_limit_is_a_floor_for_each_lane(
    compare: dict[str, Any], lanes: str, floors: tuple[str, str]
) -> None:
    # 300 stores of 7 pages, 600 a minute and lane; in the last minute 20 or 30 a second.
    for one in compare["variants"]:
        if one["limit"]:
            one["wall_s"] = 222.0
    found = cells(table(compare), f"300 stores, 600 calls a minute, {lanes}")
    assert found[0] == f"**3:42** → {floors[0]}"
    assert found[1].endswith(f" → {floors[1]}")


@pytest.mark.parametrize("measured", ["never", "on another day"])
def test_a_limit_that_was_not_measured_is_computed(compare: dict[str, Any], measured: str) -> None:
    if measured == "never":
        compare["variants"] = [one for one in compare["variants"] if not one["limit"]]
    for one in compare["variants"]:
        if one["limit"]:
            one["machine"] = compare["machine"] | {"date": "2026-12-01"}
    found = cells(table(compare), f"300 stores, 600 calls a minute, {ONE_LANE}")
    assert found == ["3:15 → 3:15", "3:10 → 3:10", "3:06 → 3:06"]


def test_processor_time_is_shared_by_cores(compare: dict[str, Any]) -> None:
    one_each = [cell.split(" → ")[0] for cell in cells(table(compare), "500 stores, limit lifted")]
    # 0.7 s a store: 500 stores on 2 cores, of which 70 % is used, take 250 s; 4 cores half of it.
    # On 8 cores, waiting takes longer: 7 s of 500 stores, 50 at once.
    assert one_each == ["4:10", "2:05", "1:10"]


def test_above_500_stores_tasks_are_shared_anyway(compare: dict[str, Any]) -> None:
    # 1,000 stores are 2 a task. With a task each their processor time would take 500 s here; now
    # waiting takes longer than it: 7 s of 1,000 stores, 20 at once.
    assert cells(table(compare), "1,000 stores, limit lifted")[0] == "5:50 → 5:50"
    # 3,000 stores are 6 a task by themselves; 5 is no second choice.
    assert all("→" not in cell for cell in cells(table(compare), "3,000 stores, limit lifted"))


def test_a_failed_measurement_gives_no_table(compare: dict[str, Any]) -> None:
    for one in compare["variants"]:
        if one["key"] == "a-user-5":
            one["problem"] = "not finished"
    with pytest.raises(BenchError, match="a-user-5"):
        table(compare)


def test_a_page_without_the_marks_is_refused(compare: dict[str, Any]) -> None:
    with pytest.raises(BenchError, match=r"docs/tuning.md lacks the lines"):
        with_table("# A page", compare)
    written = with_table(PAGE.read_text("utf-8"), compare)
    assert with_table(written, compare) == written
