"""Is a missed day filled from one reading of TikTok, and is nothing better ever replaced?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.errors import RetriableError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB, RunKey, StoreRun
from include.tiktok_sync.sync import backfill
from include.tiktok_sync.sync.past_day import CLAIM, claim
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_job import StoreOutcome
from include.tiktok_sync.sync.store_run import run_store
from include.tiktok_sync.sync.summary import summarize
from include.tiktok_sync.sync.sync_log import SyncLog
from include.tiktok_sync.tiktok.client import PAGE_SIZE
from tests.database.bench import UTC, Bench, today, together

pytestmark = pytest.mark.usefixtures("no_waits")

CODE = "S001"


def ago(days: int) -> SnapshotDay:
    return SnapshotDay(today().date - timedelta(days=days), today().timezone)


def fill(bench: Bench, job: str, code: str, days: int, *, run_id: str = "") -> StoreOutcome:
    """One run of a backfill, on a connection of its own as every task has it."""
    day = ago(days)
    with (
        psycopg.connect(bench.db_url, autocommit=True) as conn,
        bench.app.transport() as http,
    ):
        repository = StoreRepository(conn)
        repository.ensure_partitions(day.date)
        return run_store(
            StoreRun(job, run_id or f"backfill-{days}", code, day, stores_in_run=1),
            open_client=lambda: bench.app.client(
                code, http=http, conn=conn, settings=bench.settings
            ),
            repository=repository,
        )


def users(bench: Bench) -> dict[date, dict[str, Any]]:
    return {line["snapshot_date"]: line for line in bench.rows("SELECT * FROM user_daily_stats")}


def counters(bench: Bench, days: int) -> Mapping[str, tuple[int, bool]]:
    """Videos of a day: views, and whether the row is late."""
    found = bench.rows(
        "SELECT video_id, view_count, is_late FROM video_daily_stats WHERE snapshot_date = %s",
        ago(days).date,
    )
    return {line["video_id"]: (line["view_count"], line["is_late"]) for line in found}


def put_user_row(bench: Bench, days: int, observed_at: datetime, followers: int = 7) -> None:
    bench.conn.execute(
        "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, observed_at)"
        " VALUES (%s, %s, %s, %s)",
        [CODE, ago(days).date, followers, observed_at],
    )


def noon(days: int) -> datetime:
    return datetime.combine(ago(days).date, datetime.min.time(), UTC) + timedelta(hours=12)


def test_three_days_cost_one_call_and_the_one_observed_in_time_stays(bench: Bench) -> None:
    bench.import_stores(CODE)
    put_user_row(bench, 2, noon(2))
    before = users(bench)[ago(2).date]

    outcomes = [fill(bench, USER_JOB, CODE, days) for days in (3, 2, 1)]

    assert bench.calls() == {"user_info": 1}
    found = users(bench)
    assert found[ago(2).date] == before
    told = bench.truth(CODE)["user"]["follower_count"]
    now = datetime.now(UTC)
    for days in (3, 1):
        row = found[ago(days).date]
        assert (row["follower_count"], row["is_late"]) == (told, True)
        assert timedelta(0) <= now - row["observed_at"] < timedelta(minutes=5)
    # The reading itself is today's, in time, and is kept as such.
    assert (found[today().date]["is_late"], len(found)) == (False, 4)
    assert [outcome.details["backfill"] for outcome in outcomes] == [
        "carried",
        "present",
        "carried",
    ]
    assert "filled late from an observation at" in outcomes[0].message
    assert "observed in time; left as it is" in outcomes[1].message
    assert [outcome.details["late"] for outcome in outcomes] == [True, False, True]


def test_a_night_of_today_is_carried_back_without_a_call_and_is_not_touched(bench: Bench) -> None:
    bench.import_stores(CODE)
    put_user_row(bench, 0, noon(0) - timedelta(hours=12), followers=41)
    before = users(bench)[today().date]

    fill(bench, USER_JOB, CODE, 1)

    assert bench.calls() == {}
    assert users(bench)[today().date] == before
    carried = users(bench)[ago(1).date]
    assert (carried["follower_count"], carried["observed_at"], carried["is_late"]) == (
        *(41, before["observed_at"]),
        True,
    )


def test_what_was_observed_days_ago_does_not_stand_in(bench: Bench) -> None:
    bench.import_stores(CODE)
    put_user_row(bench, 1, noon(1) - timedelta(hours=12), followers=41)
    bench.conn.execute("UPDATE user_daily_stats SET observed_at = now() - interval '7 hours'")

    fill(bench, USER_JOB, CODE, 2)

    assert bench.calls() == {"user_info": 1}
    assert (
        users(bench)[ago(2).date]["follower_count"] == bench.truth(CODE)["user"]["follower_count"]
    )


def test_a_day_filled_late_stays_and_says_so(bench: Bench) -> None:
    bench.import_stores(CODE)
    fill(bench, USER_JOB, CODE, 5)
    before = users(bench)[ago(5).date]

    again = fill(bench, USER_JOB, CODE, 5, run_id="weeks later")

    assert users(bench)[ago(5).date] == before
    assert (again.details["backfill"], again.details["rows"]) == ("late", 0)
    assert "filled late before from an observation at" in again.message


@pytest.mark.parametrize("job", [USER_JOB, VIDEO_JOB])
def test_concurrent_runs_read_the_store_once(bench: Bench, job: str) -> None:
    stores = bench.sandbox.admin("GET", "/stores")
    code = next(s["store_code"] for s in stores if 1 <= s["video_count"] <= PAGE_SIZE)
    bench.import_stores(code)
    bench.sandbox.admin("PATCH", "/settings", json={"latency": 0.3})

    outcomes = together(4, lambda number: fill(bench, job, code, number + 1))

    assert bench.calls() == {"user_info" if job == USER_JOB else "video_list": 1}
    assert {outcome.details["backfill"] for outcome in outcomes} == {"carried"}


def test_a_claim_is_kept_from_a_run_that_began_just_before_it(bench: Bench) -> None:
    """Both asked at once, and the later one was served first."""
    bench.import_stores(CODE)
    first, second = (StoreRun(USER_JOB, run, CODE, ago(9)) for run in ("first", "second"))
    with psycopg.connect(bench.db_url) as slow:
        slow.execute("SELECT now()")  # what now() says from here on
        assert claim(bench.conn, second)
        assert not claim(slow, first)


def test_a_run_that_waits_too_long_is_tried_again_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.import_stores(CODE)
    monkeypatch.setattr(backfill, "WAIT_FOR_ANOTHER_RUN", timedelta(0))
    other = StoreRun(USER_JOB, "other", CODE, ago(9))
    assert claim(bench.conn, other)

    with pytest.raises(RetriableError, match="Another run of a backfill is reading the store"):
        fill(bench, USER_JOB, CODE, 1)

    assert bench.calls() == {}
    assert claim(bench.conn, other)  # a run that was killed goes on with its own
    bench.conn.execute("UPDATE backfill_readings SET claimed_until = now() - interval '1 second'")
    fill(
        bench, USER_JOB, CODE, 1
    )  # ... and one that does not come back does not block others forever
    assert timedelta(minutes=30) > CLAIM


def test_a_failed_reading_leaves_the_store_to_the_next_run(bench: Bench) -> None:
    bench.import_stores(CODE)
    bench.sandbox.admin(
        "POST", "/faults", json={"rules": [{"fault": "internal_error", "times_per_store": 99}]}
    )
    with pytest.raises(RetriableError):
        fill(bench, USER_JOB, CODE, 1)
    bench.sandbox.admin("DELETE", "/faults")

    assert fill(bench, USER_JOB, CODE, 2).details["backfill"] == "carried"


def test_videos_of_a_missed_day_are_those_that_existed_then(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=41)
    bench.import_stores(code)
    posted = sorted(
        datetime.fromtimestamp(video["create_time"], UTC).date()
        for video in bench.truth(code)["videos"]
    )
    middle = posted[len(posted) // 2]
    days = (today().date - middle).days
    then = sum(day <= middle for day in posted)

    outcome = fill(bench, VIDEO_JOB, code, days)

    assert 0 < then < len(posted)
    found = counters(bench, days)
    assert (len(found), {late for _, late in found.values()}) == (then, {True})
    assert len(counters(bench, 0)) == len(posted)
    assert (outcome.details["videos"], outcome.details["rows"]) == (then, then)
    assert f"{len(posted) - then} posted later have no row" in outcome.message


def test_days_of_videos_share_one_listing_and_rows_in_time_stay(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=21)
    bench.import_stores(code)
    fill(bench, VIDEO_JOB, code, 1)
    one_listing = bench.calls()["video_list"]
    kept = next(iter(counters(bench, 1)))
    # One video of the day before was written before the night broke off.
    StoreRepository(bench.conn).ensure_partitions(ago(2).date)
    bench.conn.execute(
        "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count,"
        " observed_at) VALUES (%s, %s, %s, 5, %s)",
        [kept, ago(2).date, code, noon(2)],
    )

    second = fill(bench, VIDEO_JOB, code, 2)
    third = fill(bench, VIDEO_JOB, code, 3)

    assert bench.calls()["video_list"] == one_listing
    assert counters(bench, 2)[kept] == (5, False)
    others = {views for video, views in counters(bench, 2).items() if video != kept}
    assert others == {views for video, views in counters(bench, 1).items() if video != kept}
    assert second.details["rows"] == len(counters(bench, 2)) - 1
    assert counters(bench, 3)[kept] == counters(bench, 1)[kept]
    assert third.details["backfill"] == "carried"
    again = fill(bench, VIDEO_JOB, code, 2, run_id="weeks later")
    assert (again.details["backfill"], again.details["rows"]) == ("late", 0)


def test_a_listing_of_tonight_is_carried_back_and_a_good_night_is_left_alone(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=21)
    bench.import_stores(code)
    bench.sync(VIDEO_JOB, code, run_id="tonight")
    calls = bench.calls()

    fill(bench, VIDEO_JOB, code, 1)
    assert bench.calls() == calls
    assert {views for views, _ in counters(bench, 1).values()} <= {
        views for views, _ in counters(bench, 0).values()
    }
    # As it is after a night in time: present, also when its own run is asked for again.
    for change in (
        "UPDATE video_daily_stats SET is_late = false",
        'UPDATE sync_logs SET details = \'{"late": false, "videos": 9}\'',
    ):
        bench.conn.execute(f"{change} WHERE snapshot_date = %s".encode(), [ago(1).date])
    for run_id in ("backfill-1", "another"):
        again = fill(bench, VIDEO_JOB, code, 1, run_id=run_id)
        assert (again.details["backfill"], again.details["late"]) == ("present", False)
    assert bench.calls() == calls


def test_a_broken_off_listing_of_tonight_is_no_source(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=21)
    bench.import_stores(code)
    bench.sync(VIDEO_JOB, code, run_id="tonight")
    calls = bench.calls()["video_list"]
    bench.conn.execute("UPDATE sync_logs SET status = 'failed'")

    fill(bench, VIDEO_JOB, code, 1)

    assert bench.calls()["video_list"] == 2 * calls


def test_a_store_without_videos_is_read_once_too(bench: Bench) -> None:
    stores = bench.sandbox.admin("GET", "/stores")
    code = next(store["store_code"] for store in stores if store["video_count"] == 0)
    bench.import_stores(code)

    outcomes = [fill(bench, VIDEO_JOB, code, days) for days in (2, 1)]

    assert bench.calls()["video_list"] == 1
    assert [outcome.details["videos"] for outcome in outcomes] == [0, 0]
    assert "without any figure to carry" in outcomes[1].message


def test_a_video_that_is_gone_is_said_to_be_missing(bench: Bench) -> None:
    code = bench.code_with_videos()
    bench.import_stores(code)
    bench.insert_video(code, "gone")

    outcome = fill(bench, VIDEO_JOB, code, 1)

    assert outcome.details["gone_before_backfill"] == 1
    assert "1 gone from TikTok cannot be filled" in outcome.message
    assert "gone" not in counters(bench, 1)


def test_a_dry_run_of_a_past_day_writes_nothing(bench: Bench) -> None:
    bench.import_stores(CODE)

    bench.sync(USER_JOB, CODE, day=ago(1), dry_run=True)

    assert users(bench) == {}
    assert bench.rows("SELECT FROM backfill_readings") == []


def test_the_summary_says_what_could_be_filled(bench: Bench) -> None:
    codes = ["S001", "S002", "S003"]
    bench.import_stores(*codes)
    put_user_row(bench, 1, noon(1))
    for code in codes:
        fill(bench, USER_JOB, code, 1, run_id="backfill")

    summary = summarize(
        SyncLog(bench.conn), RunKey(USER_JOB, "backfill", ago(1).date), codes, min_success_rate=0.9
    )

    assert summary.message == "3 of 3 stores synced (1 observed in time, 2 filled late)"
    assert summary.details["backfill"] == {"present": 1, "carried": 2}
