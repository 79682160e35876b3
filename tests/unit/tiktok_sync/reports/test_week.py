"""Weeks by their ISO names, also where the year changes."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.reports.week import WEEKS_BACK, Week

SUNDAY = date(2027, 1, 3)


@pytest.mark.parametrize(
    ("today", "name", "start"),
    [
        (SUNDAY, "2026-W52", date(2026, 12, 21)),  # its own week has not ended
        (SUNDAY + timedelta(days=1), "2026-W53", date(2026, 12, 28)),
        (date(2026, 1, 1), "2025-W52", date(2025, 12, 22)),
        (date(2025, 1, 6), "2025-W01", date(2024, 12, 30)),
    ],
)
def test_the_last_week_is_the_one_that_has_ended(today: date, name: str, start: date) -> None:
    week = Week.asked_for("", today)

    assert (week.name, week.start, week.end) == (name, start, start + timedelta(days=6))
    assert Week.asked_for(name, today) == week


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2026-W54", "There is no week 2026-W54. Give an ISO week such as 2026-W52."),
        ("2025-W53", "There is no week 2025-W53"),
        ("2026-W00", "There is no week 2026-W00"),
        ("2026-47", "There is no week 2026-47"),
        ("\u0662026-W47", "There is no week"),
        ("last", "There is no week last"),
        ("2026-W53", "has not ended yet. The last one that has is 2026-W52."),
        ("2025-W51", "is too long ago: reports can be made from 2025-W52 on"),
    ],
)
def test_a_week_without_a_report_is_refused_with_one_that_has(name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Week.asked_for(name, SUNDAY)


def test_the_earliest_week_is_the_first_that_the_view_has() -> None:
    last = Week.before(SUNDAY)

    assert Week.asked_for("2025-W52", SUNDAY) == last.earlier(WEEKS_BACK - 1)
