"""Do the analysts' views tell known from unknown, leave late rows out, read only what is asked?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.jobs import RunKey
from include.tiktok_sync.status.days import days
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.sync_log import SyncLog
from tests.database.bench import UTC, insert_grants, row, rows
from tests.database.witnesses.plans import scanned

FIRST = date(2026, 3, 1)


def day(number: int) -> date:
    """Day 1 is the first of March."""
    return FIRST + timedelta(days=number - 1)


def noon(of: date) -> datetime:
    return datetime(of.year, of.month, of.day, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _stores(conn: Connection) -> None:
    for code in ("S1", "S2", "S3"):
        conn.execute(
            "INSERT INTO stores (store_code, store_name, region, created_at)"
            " VALUES (%s, %s, 'North', '2025-01-01')",
            [code, f"Store {code}"],
        )
    StoreRepository(conn).ensure_partitions(date(2026, 1, 1))


def user_row(
    conn: Connection, code: str, of: date, followers: int | None, *, late: bool = False
) -> None:
    conn.execute(
        "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, likes_count,"
        " video_count, observed_at, is_late) VALUES (%s, %s, %s, %s, 3, %s, %s)",
        [code, of, followers, None if followers is None else 2 * followers, noon(of), late],
    )


def video_rows(
    conn: Connection,
    video_id: str,
    views: Sequence[tuple[date, int | None, bool]],
    *,
    code: str = "S1",
    removed_at: datetime | None = None,
) -> None:
    """A video with its views, and half as many likes, on some days; the flag says late."""
    conn.execute(
        "INSERT INTO videos (video_id, store_code, title, first_seen_at, last_seen_at, removed_at)"
        " VALUES (%s, %s, 'A title', %s, %s, %s)",
        [
            video_id,
            code,
            min(noon(of) for of, _, late in views if not late),
            max(noon(of) for of, *_ in views),
            removed_at,
        ],
    )
    for of, count, late in views:
        conn.execute(
            "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count,"
            " like_count, comment_count, share_count, observed_at, is_late)"
            " VALUES (%s, %s, %s, %s, %s, 7, NULL, %s, %s)",
            [video_id, of, code, count, count and count // 2, noon(of), late],
        )


def test_growth_is_since_the_previous_observed_day_and_never_guessed(conn: Connection) -> None:
    for number, followers in ((1, 100), (2, 90), (5, 120), (6, None), (7, 130), (8, 131)):
        user_row(conn, "S1", day(number), followers)
    user_row(conn, "S2", day(4), 5)

    found = rows(conn, "SELECT * FROM account_growth_daily ORDER BY store_code, snapshot_date")

    assert [
        (line["snapshot_date"], line["follower_gain"], line["days_since_previous"])
        for line in found
        if line["store_code"] == "S1"
    ] == [
        (day(1), None, None),
        (day(2), -10, 1),
        (day(5), 30, 3),
        (day(6), None, 1),  # unknown today
        (day(7), None, 1),  # unknown the day before
        (day(8), 1, 1),
    ]
    assert [found[1][name] for name in ("likes_gain", "video_gain", "store_name", "region")] == [
        *(-20, 0, "Store S1", "North")
    ]
    assert (found[-1]["store_code"], found[-1]["previous_date"]) == ("S2", None)


def test_late_rows_are_seen_only_where_they_are_asked_for(conn: Connection) -> None:
    user_row(conn, "S1", day(1), 100)
    user_row(conn, "S1", day(2), 500, late=True)
    user_row(conn, "S1", day(3), 110)
    video_rows(conn, "1", [(day(1), 10, False), (day(2), 50, True), (day(3), 12, False)])

    for view, gain in (
        ("account_growth_daily", "follower_gain"),
        ("video_gains_daily", "view_gain"),
    ):
        columns = f"SELECT snapshot_date, {gain} AS gain, days_since_previous AS days"
        in_time = rows(conn, f"{columns} FROM {view} ORDER BY 1")
        with_late = rows(conn, f"{columns}, is_late FROM {view}_with_late ORDER BY 1")

        gains = {"account_growth_daily": (10, 400, -390), "video_gains_daily": (2, 40, -38)}[view]
        assert [tuple(line.values()) for line in in_time] == [
            (day(1), None, None),
            (day(3), gains[0], 2),
        ]
        assert [tuple(line.values()) for line in with_late] == [
            (day(1), None, None, False),
            (day(2), gains[1], 1, True),
            (day(3), gains[2], 1, False),
        ]


def test_gains_of_a_video_may_fall_and_are_unknown_where_a_side_is(conn: Connection) -> None:
    views = [(1, 10), (2, 4), (3, None), (4, 9)]
    video_rows(conn, "1", [(day(number), count, False) for number, count in views])

    found = rows(conn, "SELECT * FROM video_gains_daily ORDER BY snapshot_date")

    assert [line["view_gain"] for line in found] == [None, -6, None, None]
    assert [line["like_gain"] for line in found] == [None, -3, None, None]
    assert [line["comment_gain"] for line in found] == [None, 0, 0, 0]
    assert [line["share_gain"] for line in found] == [None] * 4
    assert {line["title"] for line in found} == {"A title"}


def test_a_removed_video_keeps_its_past_and_says_so(conn: Connection) -> None:
    video_rows(conn, "1", [(day(1), 10, False), (day(2), 30, False)], removed_at=noon(day(3)))

    found = rows(conn, "SELECT view_gain, removed_at FROM video_gains_daily ORDER BY snapshot_date")

    assert [tuple(line.values()) for line in found] == [(None, noon(day(3))), (20, noon(day(3)))]


def test_a_gain_reaches_back_over_any_number_of_months(conn: Connection) -> None:
    video_rows(conn, "1", [(date(2026, 1, 5), 10, False), (date(2026, 4, 5), 35, False)])

    found = row(conn, "SELECT * FROM video_gains_daily WHERE snapshot_date = '2026-04-05'")

    assert (found["view_gain"], found["days_since_previous"]) == (25, 90)


@pytest.fixture
def years_of_videos(conn: Connection) -> Connection:
    """40 videos seen each day from the start of 2025 to June 2026, one of them new in March."""
    StoreRepository(conn).ensure_partitions(date(2025, 1, 1))
    conn.execute("SELECT ensure_video_daily_stats_partitions('2025-01-01', 20)")
    conn.execute(
        "INSERT INTO videos (video_id, store_code, first_seen_at, last_seen_at)"
        " SELECT n::text, 'S1', CASE n WHEN 40 THEN timestamptz '2026-03-10 UTC'"
        " ELSE '2025-01-01 UTC' END, now() FROM generate_series(1, 40) AS n"
    )
    conn.execute(
        "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count,"
        " observed_at) SELECT video_id, day::date, store_code, 5, day FROM videos,"
        " generate_series(timestamptz '2025-01-01 UTC', '2026-06-30 UTC', '1 day') AS day"
        " WHERE day >= first_seen_at"
    )
    conn.execute("ANALYZE")
    return conn


def test_months_out_of_range_are_not_read(years_of_videos: Connection) -> None:
    query = (
        "SELECT * FROM video_gains_daily WHERE snapshot_date BETWEEN '2026-03-01' AND '2026-03-31'"
    )

    # February only for the day before the first; also the new video, which has none before.
    assert scanned(years_of_videos, query) == {
        "videos",
        "video_daily_stats_2026_02",
        "video_daily_stats_2026_03",
    }


def test_one_day_of_one_store_is_read_by_index(years_of_videos: Connection) -> None:
    query = (
        "SELECT * FROM video_gains_daily WHERE store_code = 'S1' AND snapshot_date = '2025-08-09'"
    )

    assert scanned(years_of_videos, query) == {"videos", "video_daily_stats_2025_08"}


def test_the_reading_of_other_months_would_be_seen(years_of_videos: Connection) -> None:
    lagging = (
        "SELECT * FROM (SELECT snapshot_date, view_count - lag(view_count) OVER (PARTITION BY"
        " video_id ORDER BY snapshot_date) FROM video_daily_stats) AS all_days"
        " WHERE snapshot_date = '2025-08-09'"
    )

    assert {"video_daily_stats_2025_01", "video_daily_stats_2026_06"} <= scanned(
        years_of_videos, lagging
    )


def test_the_leaderboard_ranks_known_gains_and_puts_unknown_ones_last(conn: Connection) -> None:
    for code, counts in (
        ("S1", {1: 100, 24: 300, 31: 310}),
        ("S2", {22: 50, 31: 90}),  # the day 7 days before is missing, the one 9 before will do
        ("S3", {19: 1000, 31: 1000}),  # 12 days before will not
    ):
        for number, count in counts.items():
            user_row(conn, code, day(number), count)
    user_row(conn, "S3", day(24), 1, late=True)
    user_row(conn, "S3", day(32), 5, late=True)
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S0', 'Never synced')")
    conn.execute("INSERT INTO stores VALUES ('S9', 'Closed', 'North', false)")

    found = rows(
        conn,
        "SELECT store_code, snapshot_date, follower_count, follower_rank, follower_gain_7d,"
        " follower_gain_7d_rank, follower_gain_30d, follower_gain_30d_rank"
        " FROM store_leaderboard ORDER BY follower_gain_7d_rank, follower_rank",
    )

    assert [tuple(line.values()) for line in found] == [
        ("S2", day(31), 90, 3, 40, 1, None, 2),
        ("S1", day(31), 310, 2, 10, 2, 210, 1),
        ("S3", day(31), 1000, 1, None, 3, None, 2),
        ("S0", None, None, 4, None, 3, None, 2),
    ]


def test_a_store_that_fell_silent_does_not_lead_with_its_old_gain(conn: Connection) -> None:
    for number, count in ((1, 1), (8, 9000)):
        user_row(conn, "S1", day(number), count)
    for number, count in ((1, 10), (8, 11), (12, 12)):
        user_row(conn, "S2", day(number), count)

    found = {
        line["store_code"]: (line["follower_count"], line["follower_gain_7d"])
        for line in rows(conn, "SELECT * FROM store_leaderboard")
    }

    assert found == {"S1": (9000, None), "S2": (12, None), "S3": (None, None)}

    user_row(conn, "S2", day(5), 10)
    fresh = row(conn, "SELECT follower_gain_7d FROM store_leaderboard WHERE store_code = 'S2'")
    assert fresh["follower_gain_7d"] == 2


def _today(conn: Connection) -> date:
    found = row(conn, "SELECT current_date AS today")["today"]
    assert isinstance(found, date)
    return found


def test_freshness_counts_the_days_that_are_missing(conn: Connection) -> None:
    today = _today(conn)
    StoreRepository(conn).ensure_partitions(today - timedelta(days=40))
    seen = [1, 2, 4, 31]
    insert_grants(conn, "S1", "S2", "S3")
    conn.execute(
        "INSERT INTO stores (store_code, store_name, created_at)"
        " VALUES ('S4', 'Never connected', '2025-01-01')"
    )
    for ago in seen:
        user_row(conn, "S1", today - timedelta(days=ago), 5)
    user_row(conn, "S1", today - timedelta(days=3), 5, late=True)
    video_rows(conn, "1", [(today - timedelta(days=ago), 5, False) for ago in (2, 4, 31)])
    conn.execute("UPDATE stores SET created_at = now() - interval '5 days' WHERE store_code = 'S3'")

    found = {line["store_code"]: line for line in rows(conn, "SELECT * FROM sync_freshness")}

    assert (found["S1"]["last_user_date"], found["S1"]["user_days_missing_30d"]) == (
        today - timedelta(days=1),
        27,  # late figures fill no gap; the 31st day before does not count
    )
    assert (found["S1"]["last_video_date"], found["S1"]["video_days_missing_30d"]) == (
        today - timedelta(days=2),
        28,
    )
    assert found["S2"]["user_days_missing_30d"] == 30
    assert found["S2"]["last_user_date"] is None
    assert found["S3"]["user_days_missing_30d"] == 4  # not the days before it was put in
    waiting = found["S4"]
    assert (waiting["user_days_missing_30d"], waiting["video_days_missing_30d"]) == (0, 0)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_day_is_missing_by_the_syncs_calendar_wherever_it_is_asked(
    conn: Connection, zone: str
) -> None:
    # Of these two zones and this session's, no two have the same day for more than some hours.
    far = "Etc/GMT+12" if zone == "Pacific/Kiritimati" else "Pacific/Kiritimati"
    now = datetime.now(ZoneInfo(zone))
    today, yesterday = now.date(), now.date() - timedelta(days=1)
    StoreRepository(conn).prepare_day(SnapshotDay(today, ZoneInfo(zone)))
    insert_grants(conn, "S1", "S2", "S3")
    midnight = datetime(yesterday.year, yesterday.month, yesterday.day, tzinfo=now.tzinfo)
    for code, late in (("S1", False), ("S2", True)):
        user_row(conn, code, yesterday, 5, late=late)
    # Connected in the first minute of yesterday: yesterday is not expected, by this calendar.
    conn.execute("UPDATE stores SET created_at = %s WHERE store_code = 'S3'", [midnight])
    conn.execute("SELECT set_config('timezone', %s, false)", [far])

    found = {
        line["store_code"]: line["user_days_missing_30d"]
        for line in rows(conn, "SELECT * FROM sync_freshness")
    }

    assert found == {"S1": 29, "S2": 30, "S3": 0}
    # The status page asks the same rule; a late figure has a column of its own there.
    newest, before, *_ = days(conn, today, zone)
    assert (newest.day, newest.stores, newest.profiles, newest.profiles_late) == (
        *(yesterday, 2, 1, 1),
    )
    assert (before.profiles_missing, before.stores) == (2, 2)


def test_a_listing_that_broke_off_leaves_its_day_missing(conn: Connection) -> None:
    today = _today(conn)
    StoreRepository(conn).ensure_partitions(today - timedelta(days=40))
    insert_grants(conn, "S1")
    one, two = today - timedelta(days=1), today - timedelta(days=2)
    video_rows(conn, "1", [(one, 5, False), (two, 5, False)])  # nothing is logged of the second
    run = RunKey("sync_video_daily", "run", one)
    SyncLog(conn).record(run, "S1", "failed", "m", duration_ms=1, details={})

    found = row(conn, "SELECT * FROM sync_freshness WHERE store_code = 'S1'")

    assert found["video_days_missing_30d"] == 29
    assert [day.videos for day in days(conn, today, "UTC")][:3] == [0, 1, 0]


def test_a_store_without_videos_misses_no_day_that_was_synced(conn: Connection) -> None:
    today = _today(conn)
    log = SyncLog(conn)
    insert_grants(conn, "S1")
    for ago, status, late in ((1, "success", False), (2, "failed", False), (3, "success", True)):
        run = RunKey("sync_video_daily", f"run-{ago}", today - timedelta(days=ago))
        log.record(run, "S1", status, "m", duration_ms=1, details={"late": late})  # type: ignore[arg-type] # literals in a tuple
    log.record(
        RunKey("sync_user_daily", "other", today - timedelta(days=5)),
        *("S1", "success", "m"),
        duration_ms=1,
        details={},
    )

    found = row(conn, "SELECT * FROM sync_freshness WHERE store_code = 'S1'")

    assert found["video_days_missing_30d"] == 29
    newest = row(
        conn,
        "SELECT max(run_time) FILTER (WHERE job_name = 'sync_video_daily' AND status = 'success')"
        " AS video, max(run_time) FILTER (WHERE job_name = 'sync_user_daily') AS person"
        " FROM sync_logs",
    )
    assert (found["last_video_success_at"], found["last_user_success_at"]) == (
        newest["video"],
        newest["person"],
    )


def test_freshness_tells_the_grant_and_never_a_token(conn: Connection) -> None:
    conn.execute(
        "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
        " refresh_expires_at, status, status_reason) VALUES ('S1', 'o', 's', '\\x01', '\\x02',"
        " '2026-12-24 UTC', 'needs_consent', 'It was withdrawn.')"
    )

    found = {line["store_code"]: line for line in rows(conn, "SELECT * FROM sync_freshness")}

    assert (found["S1"]["token_status"], found["S1"]["token_status_reason"]) == (
        "needs_consent",
        "It was withdrawn.",
    )
    assert found["S1"]["refresh_expires_at"] == datetime(2026, 12, 24, tzinfo=UTC)
    assert (found["S2"]["token_status"], found["S2"]["token_status_reason"]) == (
        "needs_consent",
        "Never connected",
    )
    assert {type(value) for line in found.values() for value in line.values()} & {bytes} == set()
