"""What the status page shows: who needs help and since when, which days lack figures, how far."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from include.tiktok_sync.alerts.rules import EndedRun, alerts_of
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB, RunKey
from include.tiktok_sync.status import days as status_days
from include.tiktok_sync.status import health as status_health
from include.tiktok_sync.status import runs as status_runs
from include.tiktok_sync.status import store as status_store
from include.tiktok_sync.status import stores as status_stores
from include.tiktok_sync.store_db.connections import server_connections
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores import overview as store_overview
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.tiktok.rate_limit import PostgresRateLimiter
from tests.database.bench import UTC
from tests.database.rows.alert_runs import OK

NOW = datetime.now(UTC)
TODAY = NOW.date()


def add_store(conn: Connection, code: str, *, active: bool = True, age_days: int = 60) -> None:
    conn.execute(
        "INSERT INTO stores (store_code, store_name, region, is_active, created_at)"
        " VALUES (%s, %s, 'North', %s, %s)",
        [code, f"Store {code}", active, NOW - timedelta(days=age_days)],
    )


def add_token(
    conn: Connection, code: str, status: str = "active", *, ends_in_days: int, age_days: int = 0
) -> None:
    conn.execute(
        "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
        " refresh_expires_at, status, status_reason, created_at) VALUES (%s, %s, 's', '', '',"
        " now() + %s * interval '1 day', %s, %s, %s)",
        [
            *(code, f"open-{code}", ends_in_days, status),
            None if status == "active" else f"because of {status}",
            NOW - timedelta(days=age_days),
        ],
    )


def add_log(
    conn: Connection,
    job: str,
    code: str | None,
    status: str,
    at: datetime,
    *,
    duration_ms: int = 1000,
    day: date | None = None,
    **details: Any,
) -> None:
    conn.execute(
        "INSERT INTO sync_logs (job_name, run_id, store_code, status, message, duration_ms,"
        " run_time, snapshot_date, details) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            *(job, f"run {day or at.date()} {at:%H:%M}", code, status, f"{status} it is"),
            *(duration_ms, at, day or at.date(), Jsonb(details)),
        ],
    )


def test_a_failing_store_is_listed_since_its_first_failure_after_a_success(
    conn: Connection,
) -> None:
    for code in ("S1", "S2", "S3", "S4"):
        add_store(conn, code, active=code != "S4")
    days_ago = [NOW - timedelta(days=number) for number in range(6)]
    for at, status in zip(
        days_ago, ("failed", "failed", "success", "failed", "success"), strict=False
    ):
        add_log(conn, USER_JOB, "S1", status, at)
        add_log(conn, VIDEO_JOB, "S1", "success", at - timedelta(minutes=1))
        add_log(conn, USER_JOB, "S4", "failed", at)  # inactive: nobody's concern
    add_log(conn, USER_JOB, "S2", "failed", days_ago[1])
    add_log(conn, USER_JOB, "S2", "skipped", days_ago[0])  # told under consent
    add_log(conn, VIDEO_JOB, "S3", "failed", days_ago[5])  # never succeeded

    found = status_stores.failing(conn)

    assert [(one.store_code, one.job_name, one.since) for one in found.items] == [
        ("S3", VIDEO_JOB, days_ago[5]),
        ("S1", USER_JOB, days_ago[1]),
    ]
    assert (found.found, found.more) == (2, 0)


def test_lists_name_some_and_count_all(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        add_store(conn, f"S{number}")
        add_log(conn, USER_JOB, f"S{number}", "failed", NOW)
    monkeypatch.setattr(status_stores, "NAMED", 2)

    for listed in (status_stores.failing(conn), status_stores.unconnected(conn)):
        assert (len(listed.items), listed.found, listed.more) == (2, 5, 3)


def test_grants_that_do_not_work_and_that_end_soon_are_told_apart(conn: Connection) -> None:
    for code in ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8"):
        add_store(conn, code, active=code not in ("S6", "S8"))
    add_token(conn, "S1", ends_in_days=200)
    add_token(conn, "S2", ends_in_days=9)
    add_token(conn, "S3", "needs_consent", ends_in_days=5)
    add_token(conn, "S4", "missing_scope", ends_in_days=200)
    add_token(conn, "S6", "needs_consent", ends_in_days=5)
    add_token(conn, "S7", "missing_scope", ends_in_days=3)  # still syncs what was granted
    add_token(conn, "S8", ends_in_days=5)

    assert {one.store_code: one.status for one in status_stores.unconnected(conn).items} == {
        "S3": "needs_consent",
        "S4": "missing_scope",
        "S5": "not_connected",
        "S7": "missing_scope",
    }
    assert [one.store_code for one in status_stores.ending(conn, 30).items] == ["S7", "S2"]


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (
            "user.info.basic,user.info.profile,user.info.stats",
            "Not granted: video.list. Its profile is synced; its videos are not.",
        ),
        (
            "user.info.basic,video.list",
            (
                "Not granted: user.info.profile, user.info.stats. Its profile is synced, without"
                " user name and bio, followers and other counts; its videos are."
            ),
        ),
        (
            "video.list",
            (
                "Not granted: user.info.basic, user.info.profile, user.info.stats. Its profile is"
                " not synced; its videos are."
            ),
        ),
    ],
)
def test_a_store_that_lacks_a_permission_shows_what_is_synced(
    conn: Connection, scope: str, said: str
) -> None:
    add_store(conn, "S1")
    add_token(conn, "S1", "missing_scope", ends_in_days=200)
    conn.execute("UPDATE store_tokens SET scope = %s, status_reason = NULL", [scope])
    run = EndedRun(RunKey(USER_JOB, "r", TODAY), ["S1"], OK, timedelta(minutes=1))

    page = status_store.store(conn, "S1")
    assert page is not None
    for reason in (
        status_stores.unconnected(conn).items[0].reason,
        page.reason,
        store_overview.overview(conn)[0].reason,
        alerts_of(conn, run)[0].message,
    ):
        assert str(reason).startswith(f"{said} For the rest its manager must connect")


def test_days_are_judged_from_the_day_after_a_store_was_first_connected(
    conn: Connection,
) -> None:
    for code, age_days, status in (
        ("S1", 60, "active"),
        ("S2", 60, "needs_consent"),  # its grant ended: those days are missing indeed
        ("S3", 2, "active"),
    ):
        add_store(conn, code)
        add_token(conn, code, status, ends_in_days=200, age_days=age_days)
    add_store(conn, "never")
    add_store(conn, "paused", active=False)
    add_token(conn, "paused", ends_in_days=200, age_days=60)
    one, two = TODAY - timedelta(days=1), TODAY - timedelta(days=2)
    figures = [("S1", one, False), ("S3", one, True), ("S1", two, False), ("S2", two, False)]
    for code, day, late in figures:
        conn.execute(
            "INSERT INTO user_daily_stats (store_code, snapshot_date, observed_at, is_late)"
            " VALUES (%s, %s, now(), %s)",
            [code, day, late],
        )
    noon = datetime(one.year, one.month, one.day, 12, tzinfo=UTC)
    add_log(conn, VIDEO_JOB, "S1", "success", noon)
    add_log(conn, VIDEO_JOB, "S1", "success", noon + timedelta(hours=1))  # again, by hand
    add_log(conn, VIDEO_JOB, "S2", "failed", noon)
    add_log(conn, VIDEO_JOB, "S2", "success", NOW, day=two, late=True)

    first, second, *rest = status_days.days(conn, TODAY, "UTC")

    assert (first.day, first.stores, first.profiles, first.profiles_late) == (one, 3, 1, 1)
    assert (first.profiles_missing, first.videos, first.videos_missing) == (1, 1, 2)
    assert (second.day, second.stores, second.profiles_missing) == (two, 2, 0)
    assert (second.videos_late, second.videos_missing, second.is_complete) == (1, 1, False)
    assert len(rest) == status_days.DAYS - 2
    assert {day.stores for day in rest} == {2}


def test_a_store_that_was_never_connected_lacks_no_day(conn: Connection) -> None:
    add_store(conn, "S1")

    assert {day.stores for day in status_days.days(conn, TODAY, "UTC")} == {0}
    assert all(day.is_complete for day in status_days.days(conn, TODAY, "UTC"))


def test_a_store_that_was_run_by_hand_all_day_keeps_its_earlier_days(conn: Connection) -> None:
    add_store(conn, "S1")
    add_token(conn, "S1", ends_in_days=200, age_days=60)
    yesterday = NOW - timedelta(days=1)
    add_log(conn, VIDEO_JOB, "S1", "success", NOW - timedelta(days=2))
    conn.execute(
        "INSERT INTO sync_logs (job_name, run_id, store_code, status, message, run_time,"
        " snapshot_date) SELECT %s, 'run ' || n, 'S1', 'success', '', %s, %s"
        " FROM generate_series(1, 500) AS n",
        [VIDEO_JOB, yesterday, yesterday.date()],
    )

    assert [day.videos for day in status_days.days(conn, TODAY, "UTC")][:3] == [1, 1, 0]


def test_a_night_is_both_syncs_of_one_day_and_no_run_of_a_few_stores(conn: Connection) -> None:
    at = NOW - timedelta(hours=3)
    full: dict[str, Any] = {"stores": 300, "success": 291, "failed": 9, "skipped": 0}
    add_log(conn, USER_JOB, None, "partial", at, duration_ms=100_000, **full)
    later = at + timedelta(minutes=3)
    add_log(
        conn, VIDEO_JOB, None, "partial", later, day=at.date(), duration_ms=250_000, **full
    )  # of the night of the profiles, also where midnight lies between their ends
    add_log(conn, USER_JOB, None, "success", NOW, duration_ms=3_000, stores=1, success=1, failed=0)
    old = at - timedelta(days=1)
    add_log(conn, USER_JOB, None, "success", old, duration_ms=90_000, **full)
    unlisted = NOW + timedelta(minutes=1)
    add_log(conn, VIDEO_JOB, None, "failed", unlisted)  # the stores could not be listed

    runs = status_runs.full_runs(status_runs.history(conn), active_stores=300)
    night = status_runs.last_night(runs)

    assert len(runs) == 3
    assert night is not None
    assert (night.user, night.video) == (runs[1], runs[0])
    # From the begin of the videos, 70 s before the profiles ended, to their end.
    assert night.total_minutes == pytest.approx(280 / 60)
    assert night.success_percent == pytest.approx(97)
    assert [run.stores for run in status_runs.last_runs(conn)] == [None, 1, 300, 300, 300]
    assert status_runs.last_night([]) is None


def test_half_a_night_has_no_total(conn: Connection) -> None:
    add_log(conn, USER_JOB, None, "success", NOW, stores=2, success=2, failed=0)

    night = status_runs.last_night(status_runs.full_runs(status_runs.history(conn), 2))

    assert night is not None
    assert (night.video, night.total_minutes, night.success_percent) == (None, None, 100)


def test_a_runs_stores_come_slowest_first(conn: Connection) -> None:
    for code, status, took in (("S1", "success", 5), ("S2", "failed", 900), ("S3", "skipped", 7)):
        add_store(conn, code)
        add_log(conn, USER_JOB, code, status, NOW, duration_ms=took, calls=3, waited_s=0.5)
    ((run_id,),) = conn.execute("SELECT DISTINCT run_id FROM sync_logs").fetchall()

    stores = status_runs.slowest_stores(conn, USER_JOB, run_id)
    assert [row.store_code for row in stores] == ["S2", "S3", "S1"]
    assert (stores[0].calls, stores[0].waited_s, stores[0].rate_limited) == (3, 0.5, None)
    assert stores == list(status_runs.all_stores(conn, USER_JOB, run_id))
    assert status_runs.slowest_stores(conn, USER_JOB, run_id, "failed") == stores[:1]
    done = status_runs.progress(conn, USER_JOB, run_id)
    assert (done.success, done.failed, done.skipped, done.newest) == (1, 1, 1, NOW)
    assert status_runs.progress(conn, USER_JOB, "none").done == 0
    assert status_runs.summary_of(conn, USER_JOB, run_id) is None


def test_calls_of_the_last_minute_are_counted_and_a_pause_is_seen(conn: Connection) -> None:
    limiter = PostgresRateLimiter(conn, 600)
    for _ in range(3):
        limiter.acquire("/v2/video/list/")
    conn.execute(
        "UPDATE rate_limit_grants SET granted_at = now() - interval '2 minutes' WHERE place = 1"
    )

    (use,) = status_health.rate_limits(conn)
    assert (use.used, use.waiting, use.grants, use.refusals) == (2, 0, 3, 0)
    assert use.paused_until is None

    limiter.pause("/v2/video/list/", 30)
    (use,) = status_health.rate_limits(conn)
    assert use.refusals == 1
    assert use.paused_until is not None
    assert use.paused_until > NOW


def test_connections_are_counted_against_the_servers_most(conn: Connection) -> None:
    use = server_connections(conn)

    assert 1 <= use.ours <= use.used < use.most
    assert use.percent == 100 * use.used / use.most


def test_a_sum_with_an_unknown_part_is_unknown_and_late_rows_are_left_out(
    conn: Connection,
) -> None:
    add_store(conn, "S1")
    StoreRepository(conn).ensure_partitions(TODAY - timedelta(days=35))
    for video, day, count, late in (
        ("1", 2, 10, False),
        ("2", 2, 5, False),
        ("1", 1, 11, False),
        ("2", 1, None, False),
        ("1", 0, 99, True),
    ):
        conn.execute(
            "INSERT INTO videos (video_id, store_code, first_seen_at, last_seen_at)"
            " VALUES (%s, 'S1', now(), now()) ON CONFLICT DO NOTHING",
            [video],
        )
        conn.execute(
            "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count,"
            " observed_at, is_late) VALUES (%s, %s, 'S1', %s, now(), %s)",
            [video, TODAY - timedelta(days=day), count, late],
        )

    assert [(one.videos, one.views) for one in status_store.views(conn, "S1", TODAY)] == [
        (2, 15),
        (2, None),
    ]
    found = status_store.store(conn, "S1")
    assert found is not None
    assert (found.videos, found.videos_removed, found.token_status) == (None, 0, None)
    add_log(conn, VIDEO_JOB, "S1", "success", NOW)
    counted = status_store.store(conn, "S1")
    assert counted is not None
    assert counted.videos == 2
    assert status_store.store(conn, "S2") is None


def test_stores_are_found_by_code_name_or_region_and_nothing_is_a_pattern(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in ("S1", "S2", "T_1", "T%1"):
        add_store(conn, code)
    add_log(conn, USER_JOB, "S1", "failed", NOW)
    monkeypatch.setattr(status_stores, "PAGE", 2)

    def codes(search: str, page: int = 1) -> list[str]:
        return [line.store_code for line in status_stores.store_page(conn, search, page)[0]]

    assert (codes(""), codes("", 2), codes("", 3)) == (["S1", "S2"], ["T%1", "T_1"], [])
    assert (codes("s1"), codes("store s2"), codes("north")) == (["S1"], ["S2"], ["S1", "S2"])
    assert (codes("_"), codes("%"), codes("\\")) == (["T_1"], ["T%1"], [])
    lines, more = status_stores.store_page(conn, "", 1)
    assert (lines[0].status, lines[1].status, more) == ("failed", None, True)
    assert status_stores.store_page(conn, "", 2)[1] is False
