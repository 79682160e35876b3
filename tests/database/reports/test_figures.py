"""Are a report's figures those of the views, whatever the history?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import VIDEO_JOB
from include.tiktok_sync.reports import queries
from include.tiktok_sync.reports.figures import read_figures
from include.tiktok_sync.reports.making import make_report
from include.tiktok_sync.reports.week import Week
from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import insert_grants, rows
from tests.database.store_db.views.histories import NOW, REACH, History, histories, write
from tests.database.store_db.views.test_figures import FEW, total

TOTALS = ("view_gain", "follower_gain", "likes_gain", "videos_new", "videos_removed")


@pytest.fixture(scope="module")
def world(postgres: Any, _template: str) -> Iterator[Connection]:
    """One database for the whole module: each history replaces what is in it."""
    postgres.run("CREATE DATABASE {} TEMPLATE {}", "report_figures", _template)
    with psycopg.connect(postgres.url("report_figures"), autocommit=True) as conn:
        first = (NOW - timedelta(days=REACH + 40)).date()
        conn.execute("SELECT ensure_video_daily_stats_partitions(%s, 6)", [first])
        yield conn
    postgres.run("DROP DATABASE {}", "report_figures")


@FEW
@given(history=histories)
def test_the_chains_week_is_the_sum_of_the_stores_weeks(
    world: Connection, history: History
) -> None:
    write(world, history)
    last = Week.before(NOW.astimezone(ZoneInfo(history.zone)).date())
    lines = rows(world, "SELECT * FROM store_week")
    for week in (last, last.earlier(2)):
        found = read_figures(world, week)
        at = [[s for s in lines if s["week_start"] == week.earlier(n).start] for n in range(9)]

        assert found.stores == len(at[0])
        assert found.followers.value == total(s["follower_count"] for s in at[0])
        assert [gain for _, gain in found.view_weeks] == [
            total(s["view_gain"] for s in stores) for stores in at[::-1]
        ]
        for name in TOTALS:
            sums = [total(s[name] for s in stores) for stores in at]
            known = [value for value in sums[1:] if value is not None]
            assert (found.totals[name].value, found.totals[name].before) == (sums[0], sums[1])
            assert found.totals[name].usual == (median(known) if known else None)
            assert found.totals[name].stores == sum(s[name] is not None for s in at[0])
        assert {(s.store_code, s.gain, s.usual) for s in (*found.rose, *found.fell)} <= {
            (s["store_code"], s["view_gain"], s["median_view_gain"])
            for s in at[0]
            if s["view_gain_days"] == 7 and s["weeks_view_gain"] >= 4
        }
        assert {gap.store_code: gap.profile_days for gap in found.gaps if gap.profile_days} == {
            s["store_code"]: s["profile_days_missing"] for s in at[0] if s["profile_days_missing"]
        }


@FEW
@given(history=histories)
def test_the_best_videos_gains_are_those_of_their_stores(
    world: Connection, history: History
) -> None:
    write(world, history)
    week = Week.before(NOW.astimezone(ZoneInfo(history.zone)).date())
    values = {"region": "", "start": week.start, "weeks": 0}

    found = rows_of_all_videos(world, values)

    gains = {
        line["store_code"]: line["view_gain"]
        for line in rows(
            world, "SELECT store_code, view_gain FROM store_week WHERE week_start = %s", week.start
        )
        if line["view_gain"] is not None
    }
    by_store: dict[str, list[int]] = {}
    for code, gain in found:
        if gain is not None:
            by_store.setdefault(code, []).append(gain)
    # A store that left has no week any more; the report does not name its videos either.
    assert {code: sum(values) for code, values in by_store.items() if code in gains} == gains
    shown = {video.video_id: video.gain for video in read_figures(world, week).videos}
    positive = sorted(gain for values in by_store.values() for gain in values if gain > 0)
    assert sorted(shown.values()) == positive[-10:]


def rows_of_all_videos(conn: Connection, values: dict[str, Any]) -> list[tuple[str, int | None]]:
    query = f"{queries.GAINS} SELECT store_code, gain FROM gains"  # noqa: S608 - a constant
    return conn.execute(query.encode(), values).fetchall()


def new_year(today: date) -> Week:
    """The last week that has ended and has days of two ISO years' calendar years."""
    week = Week.before(today)
    while week.start.year == week.end.year:
        week = week.earlier(1)
    return week


def test_a_week_across_new_year_is_one_week(conn: Connection) -> None:
    week = new_year(NOW.date())
    conn.execute(
        "INSERT INTO stores (store_code, store_name, region, created_at)"
        " VALUES ('S1', 'One', 'North', '2020-01-01'), ('S2', 'Two', 'South', '2020-01-01')"
    )
    insert_grants(conn, "S1", "S2")
    conn.execute(
        "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, observed_at)"
        " SELECT store_code, day, CASE store_code WHEN 'S1' THEN 100 + n * 3 ELSE 500 - n END,"
        " day + time '02:00' FROM stores, generate_series(0, 69) AS n,"
        " LATERAL (SELECT %s::date - 63 + n AS day) AS d",
        [week.start],
    )

    found = read_figures(conn, week)
    north = read_figures(conn, week, "North")

    gains = found.totals["follower_gain"]
    assert (gains.value, gains.before, gains.usual, gains.stores) == (14, 14, 14, 2)
    assert north.totals["follower_gain"].value == 21
    assert (north.stores, found.stores) == (1, 2)
    assert north.follower_days == {week.start + timedelta(days=n): 3 for n in range(-7, 7)}
    assert found.totals["view_gain"].value is None
    assert all(len(gap.video_days) == 7 and not gap.profile_days for gap in found.gaps)


def test_a_listing_that_broke_off_is_no_reading_of_its_store(conn: Connection) -> None:
    week = Week.before(NOW.date())
    weeks = [week.earlier(n).start for n in (2, 1, 0)]
    _read_every_day(conn, videos=14, views_a_day=10, since=weeks[0] - timedelta(days=7))
    _break_off(conn, "S1", week.earlier(1).end, kept=2)

    found = read_figures(conn, week)

    gains = {
        (line["store_code"], line["week_start"]): (line["view_gain"], line["view_gain_days"])
        for line in rows(conn, "SELECT * FROM store_week WHERE week_start >= %s", weeks[0])
    }
    assert [gains["S2", start] for start in weeks] == [(980, 7)] * 3
    assert [gains["S1", start] for start in weeks] == [(980, 7), (840, 6), (1120, 8)]
    assert [gain for _, gain in found.view_weeks][-3:] == [1960, 1820, 2100]
    days = rows(
        conn,
        "SELECT view_gain, stores_without_videos FROM chain_day"
        " WHERE snapshot_date BETWEEN %s AND %s ORDER BY snapshot_date",
        week.earlier(1).end - timedelta(days=1),
        week.start,
    )
    assert [line["view_gain"] for line in days] == [280, 140, 420]
    assert [line["stores_without_videos"] for line in days] == [[], ["S1"], []]


def test_a_week_of_more_or_fewer_days_says_so_next_to_its_comparison(conn: Connection) -> None:
    week = Week.before(NOW.date())
    _read_every_day(conn, videos=14, views_a_day=10, since=week.earlier(3).start)
    for code in ("S1", "S2"):
        _break_off(conn, code, week.end, kept=2)

    found = read_figures(conn, week)

    views = found.totals["view_gain"]
    assert (views.value, views.before, views.stores, views.uneven) == (1680, 1960, 2, 2)
    assert found.totals["follower_gain"].uneven == found.totals["videos_new"].uneven == 0
    made = make_report(conn, week, locale="en", now=NOW, timezone=ZoneInfo("UTC"))
    note = "2 stores do not have 7 days in both weeks"
    assert f"−14% on the week before, −14% on the usual week, {note})" in made.headline  # noqa: RUF001 - as printed
    assert made.headline.count(note) == made.html.count(note) == 1
    assert read_figures(conn, week.earlier(1)).totals["view_gain"].uneven == 0


def test_days_of_a_paused_store_are_no_gaps(conn: Connection) -> None:
    week = Week.before(NOW.date())
    _read_every_day(conn, videos=1, views_a_day=10, since=week.end)
    before = read_figures(conn, week)
    conn.execute("UPDATE stores SET is_active = false WHERE store_code = 'S2'")

    found = read_figures(conn, week)

    assert [gap.store_code for gap in before.gaps] == ["S1", "S2"]
    assert [gap.store_code for gap in found.gaps] == ["S1"]
    assert found.stores == 2


def _read_every_day(conn: Connection, *, videos: int, views_a_day: int, since: date) -> None:
    """Two stores, each with its videos and the log of a good night for every day up to today."""
    conn.execute(
        "INSERT INTO stores (store_code, store_name, created_at)"
        " VALUES ('S1', 'One', '2020-01-01'), ('S2', 'Two', '2020-01-01')"
    )
    insert_grants(conn, "S1", "S2")
    conn.execute("UPDATE store_tokens SET created_at = '2020-01-01'")
    conn.execute("SELECT ensure_video_daily_stats_partitions(%s, 3)", [since])
    conn.execute(
        "INSERT INTO videos (video_id, store_code, title, create_time, first_seen_at, last_seen_at)"
        " SELECT store_code || '-' || n, store_code, 'T', '2020-01-01', '2020-01-01', now()"
        " FROM stores, generate_series(1, %s) AS n",
        [videos],
    )
    days = [since + timedelta(days=n) for n in range((NOW.date() - since).days + 1)]
    conn.execute(
        "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count,"
        " observed_at) SELECT video_id, day, store_code, n * %s, day + time '02:00'"
        " FROM videos, unnest(%s::date[]) WITH ORDINALITY AS d (day, n)",
        [views_a_day, days],
    )
    conn.execute(
        "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, observed_at)"
        " SELECT store_code, day, n, day + time '02:00'"
        " FROM stores, unnest(%s::date[]) WITH ORDINALITY AS d (day, n)",
        [days],
    )
    conn.execute(
        "INSERT INTO sync_logs (job_name, store_code, status, message, run_id, snapshot_date)"
        " SELECT %s, store_code, 'success', '', day, day FROM stores, unnest(%s::date[]) AS day",
        [VIDEO_JOB, days],
    )


def _break_off(conn: Connection, code: str, day: date, *, kept: int) -> None:
    """As if that night had failed after its first videos."""
    conn.execute(
        "UPDATE sync_logs SET status = 'failed' WHERE store_code = %s AND snapshot_date = %s",
        [code, day],
    )
    conn.execute(
        "DELETE FROM video_daily_stats WHERE store_code = %s AND snapshot_date = %s"
        " AND split_part(video_id, '-', 2)::int > %s",
        [code, day, kept],
    )


def test_a_week_without_data_is_unknown_and_not_0(conn: Connection) -> None:
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")

    found = read_figures(conn, Week.before(NOW.date()))

    assert not found.is_known
    assert {total.value for total in found.totals.values()} == {None}
    assert (found.videos, found.hours, found.follower_days) == ([], {}, {})
    assert [store.status for store in found.consent] == ["not_connected"]


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        (["North", "West", None], "No store is in the region Nord. There are: North, West."),
        ([None], "There are: no store has a region."),
    ],
)
def test_an_unknown_region_is_refused_with_those_that_there_are(
    conn: Connection, regions: list[str | None], message: str
) -> None:
    for number, region in enumerate(regions):
        conn.execute(
            "INSERT INTO stores (store_code, store_name, region) VALUES (%s, 'x', %s)",
            [f"S{number}", region],
        )

    with pytest.raises(ConfigurationError, match=message):
        read_figures(conn, Week.before(NOW.date()), "Nord")
