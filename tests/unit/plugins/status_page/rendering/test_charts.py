"""Charts and figures of the status page: unknown is a gap or a dash, and nothing is cut off."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from include.tiktok_sync.status.bands import CONNECTIONS, SUCCESS_RATE, USER_SYNC
from tiktok_airflow.status_page.rendering.charts import Mark, Series, chart
from tiktok_airflow.status_page.rendering.formats import ago, duration, figure, moment, until

FIRST = date(2026, 3, 1)


def series(*values: float | None) -> Series:
    days = [FIRST + timedelta(days=number) for number in range(len(values))]
    return Series("Profiles", list(zip(days, values, strict=True)))


def test_an_unknown_or_missing_day_breaks_the_line() -> None:
    points = series(1, 2, None, 3).points
    drawn = chart("t", [Series("s", [*points, (FIRST + timedelta(days=9), 4.0)])], str)

    assert drawn is not None
    assert [len(piece.split()) for piece in drawn.lines[0].pieces] == [2, 1, 1]
    assert len(drawn.lines[0].dots) == 4


def test_without_a_known_value_there_is_no_chart() -> None:
    assert chart("t", [series(None, None)], str) is None
    assert chart("t", [], str) is None


@pytest.mark.parametrize(
    "values",
    [(5.0,), (0.0,), (7.0, 7.0), (0.001, 0.002), (1e12, 3e12), (-5.0, 20.0), (99.5, 100.0)],
)
def test_every_point_lies_between_the_axes(values: tuple[float, ...]) -> None:
    drawn = chart("t", [series(*values)], str, marks=[Mark("target", 3)])

    assert drawn is not None
    for dot in drawn.lines[0].dots:
        assert drawn.left <= dot.x <= drawn.right
        assert drawn.top <= dot.y <= drawn.bottom
    assert all(drawn.top <= mark.at <= drawn.bottom for mark in drawn.marks)
    assert 2 <= len(drawn.levels) <= 12


def test_the_levels_have_room_for_their_figures() -> None:
    short, long = (chart("t", [series(5, top)], "{:,.0f}".format) for top in (9.0, 9e11))

    assert short is not None
    assert long is not None
    assert long.left > short.left
    assert long.left > 7 * max(len(level.text) for level in long.levels)


def test_a_share_ends_at_its_whole() -> None:
    drawn = chart("t", [series(91.0, 100.0)], lambda value: f"{value:g}", least=80, most=100)

    assert drawn is not None
    assert [level.text for level in drawn.levels][0::4] == ["80", "100"]


def test_bands_are_those_of_the_table() -> None:
    assert [USER_SYNC.band(value) for value in (2.9, 3, 5, 5.1)] == [
        *("target", "acceptable", "acceptable", "poor")
    ]
    assert [SUCCESS_RATE.band(value) for value in (95.1, 95, 90, 89.9)] == [
        *("target", "acceptable", "acceptable", "poor")
    ]
    assert CONNECTIONS.band(69) == "target"


def test_figures_say_their_unit_and_unknown_is_a_dash() -> None:
    assert figure(1.5, USER_SYNC) == "1:30 min"
    assert figure(99.25, SUCCESS_RATE) == "99.2 %"
    assert figure(None, USER_SYNC) == duration(None) == "\N{EN DASH}"
    assert duration(59_949) == "59.9 s"


def test_times_have_their_zone() -> None:
    now = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)
    assert moment(now, ZoneInfo("Europe/Berlin")) == "2026-07-01 14:00 CEST"
    assert ago(now - timedelta(hours=3), now) == "3 h ago"
    assert until(now + timedelta(days=9), now) == "in 9 days"
    assert until(now - timedelta(days=9), now) == "ended"
