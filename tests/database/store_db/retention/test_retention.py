"""Retention: old days are thinned to one a week, old months dropped, and nothing else."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import psycopg
import pytest

from include.tiktok_sync.errors import ConfigurationError, DatabaseUnavailableError
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.retention import Month, RetentionSettings, apply_retention
from tests.database.bench import rows

TODAY = date(2026, 11, 25)  # a Wednesday
FIRST = date(2026, 3, 1)
KEEP = RetentionSettings(daily_days=100, weekly_days=0)
KEPT_FROM = date(2026, 8, 17)  # the Monday on or before 100 days ago


@pytest.fixture
def figures(conn: Connection) -> None:
    """Two videos: one with a row every day since March, one without Sundays."""
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S001', 'One')")
    conn.execute(
        "INSERT INTO videos (video_id, store_code, first_seen_at, last_seen_at)"
        " SELECT id, 'S001', now(), now() FROM unnest(ARRAY['daily', 'holes']) AS id"
    )
    conn.execute("SELECT ensure_video_daily_stats_partitions(%s, 9)", [FIRST])
    conn.execute(
        "INSERT INTO video_daily_stats"
        " (video_id, store_code, snapshot_date, view_count, observed_at)"
        " SELECT v, 'S001', d::date, 1, d FROM unnest(ARRAY['daily', 'holes']) AS v,"
        " generate_series(%s::date, %s::date, interval '1 day') AS d"
        " WHERE v = 'daily' OR extract(isodow FROM d) <> 7",
        [FIRST, TODAY],
    )


def days(conn: Connection, video: str) -> list[date]:
    query = "SELECT snapshot_date AS d FROM video_daily_stats WHERE video_id = %s ORDER BY 1"
    return [row["d"] for row in rows(conn, query, video)]


def test_dry_run_counts_and_deletes_nothing(conn: Connection, figures: None) -> None:
    del figures
    before = days(conn, "daily"), days(conn, "holes")

    said = apply_retention(conn, KEEP, today=TODAY, dry_run=True)

    assert (days(conn, "daily"), days(conn, "holes")) == before
    done = apply_retention(conn, KEEP, today=TODAY, dry_run=False)
    assert said == done
    assert [month.action for month in said] == ["thin"] * 6
    assert said[0].partition == "video_daily_stats_2026_03"


def test_the_newest_day_of_each_week_stays(conn: Connection, figures: None) -> None:
    del figures
    apply_retention(conn, KEEP, today=TODAY, dry_run=False)

    for video, weekday in (("daily", 6), ("holes", 5)):
        kept = days(conn, video)
        old = [day for day in kept if day < KEPT_FROM]
        # March 1st was a Sunday: its week has no other day, whatever the video.
        assert {day.weekday() for day in old if day > FIRST} == {weekday}
        steps = {(b - a).days for a, b in pairwise(old[1:])}
        assert steps == {7}, "no week is without a day"
    young = [day for day in days(conn, "daily") if day >= KEPT_FROM]
    assert young == [KEPT_FROM + timedelta(days=n) for n in range((TODAY - KEPT_FROM).days + 1)]


def test_a_late_day_stays_only_where_the_week_has_none_in_time(
    conn: Connection, figures: None
) -> None:
    """Analysts' views leave late rows out: a week thinned to one has no figures for them."""
    del figures
    conn.execute(  # Sundays of every week, and one whole week over the end of a month
        "UPDATE video_daily_stats SET is_late = true, observed_at = now()"
        " WHERE extract(isodow FROM snapshot_date) = 7"
        " OR snapshot_date BETWEEN '2026-06-29' AND '2026-07-05'"
        " OR snapshot_date BETWEEN '2026-04-28' AND '2026-05-03'"
    )

    said = apply_retention(conn, KEEP, today=TODAY, dry_run=True)
    assert said == apply_retention(conn, KEEP, today=TODAY, dry_run=False)

    kept = {
        row["d"]: row["is_late"]
        for row in rows(
            conn,
            "SELECT snapshot_date AS d, is_late FROM video_daily_stats"
            " WHERE video_id = 'daily' AND snapshot_date BETWEEN '2026-03-02' AND '2026-08-16'",
        )
    }
    assert {day.weekday() for day, late in kept.items() if not late} == {5, 0}
    assert [day for day in kept if day.weekday() == 0] == [date(2026, 4, 27)]  # of April, not May
    assert [day for day, late in kept.items() if late] == [date(2026, 7, 5)]
    assert len(kept) == 24, "each week has one day"


def test_doing_it_again_finds_nothing(conn: Connection, figures: None) -> None:
    del figures
    apply_retention(conn, KEEP, today=TODAY, dry_run=False)

    assert apply_retention(conn, KEEP, today=TODAY, dry_run=False) == []
    # A week later one more week is old: six days of one video, five of the other.
    later = apply_retention(conn, KEEP, today=TODAY + timedelta(days=7), dry_run=False)
    assert later == [Month("video_daily_stats_2026_08", "thin", 11)]


def test_old_months_are_dropped_whole(conn: Connection, figures: None) -> None:
    del figures
    settings = RetentionSettings(daily_days=100, weekly_days=180)  # from May 29th on

    said = apply_retention(conn, settings, today=TODAY, dry_run=True)
    assert days(conn, "daily")[0] == FIRST
    done = apply_retention(conn, settings, today=TODAY, dry_run=False)

    assert said == done
    assert [month.partition[-7:] for month in done if month.action == "drop"] == [
        "2026_03",
        "2026_04",
    ]
    assert days(conn, "daily")[0] >= date(2026, 5, 1)
    # The sync still writes, also into a month that was dropped.
    conn.execute("SELECT ensure_video_daily_stats_partitions(%s, 0)", [FIRST])


def test_zero_keeps_everything(conn: Connection, figures: None) -> None:
    del figures
    settings = RetentionSettings(daily_days=0, weekly_days=0)

    assert apply_retention(conn, settings, today=TODAY, dry_run=False) == []
    assert len(days(conn, "daily")) == (TODAY - FIRST).days + 1


def test_a_table_in_use_is_left_for_the_next_time(
    conn: Connection, figures: None, db_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del figures
    monkeypatch.setattr("include.tiktok_sync.store_db.retention._LOCK_TIMEOUT", "100ms")
    settings = RetentionSettings(daily_days=100, weekly_days=180)
    with psycopg.connect(db_url) as reader:
        reader.execute("SELECT count(*) FROM video_daily_stats_2026_03")

        with pytest.raises(DatabaseUnavailableError, match="in use"):
            apply_retention(conn, settings, today=TODAY, dry_run=False)

    assert apply_retention(conn, settings, today=TODAY, dry_run=False)[0].action == "drop"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"RETENTION_DAILY_DAYS": "7"}, "RETENTION_DAILY_DAYS must be 0"),
        ({"RETENTION_DAILY_DAYS": "-1"}, "RETENTION_DAILY_DAYS must be 0"),
        ({"RETENTION_WEEKLY_DAYS": "100"}, "smaller than RETENTION_DAILY_DAYS"),
        ({"RETENTION_APPLY": "maybe"}, "RETENTION_APPLY must be yes or no"),
    ],
)
def test_settings_that_would_lose_figures_are_refused(env: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        RetentionSettings.from_env(env)


def test_nothing_is_deleted_by_default() -> None:
    assert RetentionSettings.from_env({}) == RetentionSettings(
        daily_days=400, weekly_days=0, apply=False
    )
    assert RetentionSettings.from_env({"RETENTION_APPLY": "yes"}).apply


def test_old_insights_are_thinned_too_and_kept_lists_stay(conn: Connection, figures: None) -> None:
    del figures
    conn.execute("SELECT ensure_video_insights_partitions(%s, 1)", [FIRST])
    conn.execute(
        "INSERT INTO video_insights_daily"
        " (store_code, video_id, snapshot_date, lists_kept_for, fetched_at)"
        " SELECT 'S001', 'v', d::date, CASE WHEN d = '2026-03-11' THEN 7 END, d"
        " FROM generate_series('2026-03-09'::date, '2026-03-22'::date, interval '1 day') AS d"
    )

    done = apply_retention(conn, KEEP, today=TODAY, dry_run=False)

    assert Month("video_insights_daily_2026_03", "thin", 11) in done
    kept = rows(conn, "SELECT snapshot_date AS d FROM video_insights_daily ORDER BY 1")
    assert [row["d"].day for row in kept] == [11, 15, 22]
