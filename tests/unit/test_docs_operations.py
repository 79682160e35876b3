"""docs/operations.md: its sums are right, and what it names exists."""

from __future__ import annotations

import re

import pytest

from benchmarks.report import results
from benchmarks.report.tuning import Cost
from benchmarks.workload import VIDEO, limited_floor_seconds
from include.tiktok_sync.tiktok.client import LANES
from tests.compose.compose_file import ENV_EXAMPLE, ROOT, read_env, read_file

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

PAGES, VIDEOS, ROW_BYTES, TASKS = 7, 140, 165, 500
MEASURED = {one["key"]: one for one in results.read(results.COMPARE)["variants"]}
COSTS = [Cost(MEASURED[f"a-{job}"], MEASURED[f"a-{job}-5"]) for job in ("user", "video")]
TASK_S, STORE_S = sum(cost.task_s for cost in COSTS), sum(cost.work_s for cost in COSTS)
"""Processor time of a pair of mapped tasks, and of a store in it."""

ROWS = re.findall(
    r"^\| ([\d,]+) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (\d+) / (\d+) \| (.+?) GB \|$",
    PAGE,
    re.MULTILINE,
)


def minutes(text: str) -> float:
    """Minutes of ``3:30 min``, ``12 min``, ``1.7 h``."""
    number, unit = text.split()
    whole, _, seconds = number.partition(":")
    value = float(whole) + (float(seconds) / 60 if seconds else 0)
    return value * 60 if unit == "h" else value


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_table_of_growth_is_what_it_says(row: tuple[str, ...]) -> None:
    stores = int(row[0].replace(",", ""))
    tasks = min(stores, TASKS)

    calls = stores * PAGES
    for text, lanes in ((row[1], LANES), (row[2], 1)):
        floor_s = limited_floor_seconds((VIDEO,), stores, 600, lanes)
        assert minutes(text) == pytest.approx(floor_s / 60, rel=0.05)
    limit = float(row[3].split()[0].replace(",", ""))
    assert limit == pytest.approx(calls / LANES / 60, rel=0.03)
    assert minutes(row[4]) == pytest.approx((tasks * TASK_S + stores * STORE_S) / 60, rel=0.05)
    assert int(row[5]) == pytest.approx(calls / 3600, abs=1)
    assert int(row[6]) == pytest.approx(stores * 3 / 3600, abs=1)
    assert float(row[7]) == pytest.approx(stores * VIDEOS * 365 * ROW_BYTES / 1e9, rel=0.02)


def test_the_cost_of_a_task_is_the_measured_one() -> None:
    said = re.search(r"costs ([\d.]+) s of processor time, a store in them ([\d.]+) s", PAGE)
    assert said
    assert (float(said[1]), float(said[2])) == pytest.approx((TASK_S, STORE_S), abs=0.006)


def test_the_table_goes_from_300_to_100_000() -> None:
    assert [row[0] for row in ROWS] == ["300", "1,000", "3,000", "10,000", "30,000", "100,000"]


def test_every_variable_and_service_it_names_exists() -> None:
    known = set(read_env(ENV_EXAMPLE.read_text(encoding="utf-8"))) | {
        *("STORE_DB_URL", "STORE_DB_DIRECT_URL", "STORE_DB_ADMIN_URL", "STORE_DB_POOLER"),
        *("WARN", "FAIL", "SELECT", "EDITOR"),
    }
    named = set(re.findall(r"`(?:\$EDITOR|([A-Z]+_[A-Z_]+))(?:=[^`]*)?`", PAGE))
    assert {name for name in named if name} - known == set()
    services = read_file()["services"]
    for command in re.findall(r"docker compose (?:run --rm(?: -T)?|up -d|logs|ps) ([a-z-]+)", PAGE):
        assert command in services, command
