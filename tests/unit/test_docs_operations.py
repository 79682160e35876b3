"""docs/operations.md: its sums are right, and what it names exists."""

from __future__ import annotations

import re

import pytest

from tests.compose.compose_file import ENV_EXAMPLE, ROOT, read_env, read_file

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

PAGES, VIDEOS, ROW_BYTES, TASKS = 7, 140, 165, 500
TASK_S, STORE_S = 0.525, 0.19
"""Processor time of a pair of mapped tasks and of a store in it: from 289 and 90 ms (profiles), 426
and 205 ms (videos) with one and five stores a task, docs/performance.md."""

ROWS = re.findall(
    r"^\| ([\d,]+) \| (.+?) \| (.+?) \| (.+?) \| (\d+) / (\d+) \| (.+?) GB \|$", PAGE, re.MULTILINE
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

    assert minutes(row[1]) == pytest.approx(stores * PAGES / 600, rel=0.05)
    assert float(row[2].split()[0].replace(",", "")) == pytest.approx(stores * PAGES / 60, rel=0.01)
    assert minutes(row[3]) == pytest.approx((tasks * TASK_S + stores * STORE_S) / 60, rel=0.05)
    assert int(row[4]) == pytest.approx(stores * PAGES / 3600, abs=1)
    assert int(row[5]) == pytest.approx(stores * 3 / 3600, abs=1)
    assert float(row[6]) == pytest.approx(stores * VIDEOS * 365 * ROW_BYTES / 1e9, rel=0.02)


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
