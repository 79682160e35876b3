"""Does a backfill write a past day's true figures, in one call, and leave alone what is there?"""

from __future__ import annotations

from datetime import date, timedelta

import psycopg
import pytest

from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.errors import ConfigurationError, FatalError
from include.tiktok_sync.jobs import INSIGHTS_JOB, RunKey
from include.tiktok_sync.sync.insights.repository import InsightsRepository, KnownDay
from include.tiktok_sync.sync.store_job import StoreOutcome
from include.tiktok_sync.sync.summary import summarize
from include.tiktok_sync.sync.sync_log import SyncLog
from tests.database.bench import Bench, today, together
from tests.database.sync.insights.worlds import INSIGHTS_REFUSED, InsightsBench, day_figures

pytestmark = pytest.mark.usefixtures("no_waits")

CODE = "S001"


def ago(days: int) -> SnapshotDay:
    return SnapshotDay(today().date - timedelta(days=days), today().timezone)


def fill(world: InsightsBench, days: int) -> StoreOutcome:
    """One run of a backfill."""
    return world.sync(CODE, ago(days), run_id=f"backfill {days}")


def test_of_thirty_days_twenty_are_filled_by_one_call_and_the_ten_that_are_there_stay(
    world: InsightsBench,
) -> None:
    world.bench.import_stores(CODE)
    world.sync(CODE, world.night(today().date))
    world.bench.conn.execute(
        "DELETE FROM account_daily WHERE metric_date < %s OR metric_date > %s",
        [ago(30).date, ago(21).date],
    )
    before = world.days(CODE)
    calls = world.calls()["get"]

    outcomes = [fill(world, days) for days in range(30, 0, -1)]

    kept, told = world.days(CODE), world.truth(CODE)["days"]
    assert len(before) == 10
    assert {day: kept[day] for day in before} == before
    shown = [str(ago(days).date) for days in range(30, 0, -1) if str(ago(days).date) in told]
    assert len(shown) >= 28
    for day in shown:
        assert {name: kept[day][name] for name in day_figures(told[day])} == day_figures(told[day])
    assert world.calls()["get"] - calls == 1
    states = [outcome.details["backfill"] for outcome in outcomes]
    assert states.count("read") <= 1
    assert set(states) <= {"there", "read", "absent"}


def test_runs_of_a_backfill_at_once_read_a_store_once(world: InsightsBench) -> None:
    world.bench.import_stores(CODE)
    world.night(today().date)

    def one(number: int) -> StoreOutcome:
        with psycopg.connect(world.bench.db_url, autocommit=True) as conn:
            bench = Bench(world.bench.db_url, conn, world.bench.sandbox, world.bench.settings)
            own = InsightsBench(bench, world.patch)
            return fill(own, number + 10)

    outcomes = together(4, one)

    assert world.calls() == {"get": 1}
    assert sorted(o.details["backfill"] for o in outcomes) == ["read", "there", "there", "there"]
    assert sum("no call made" in o.message for o in outcomes) == 3


def test_a_day_that_another_run_writes_during_the_look_is_there(
    world: InsightsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.bench.import_stores(CODE)
    world.night(today().date)
    look = InsightsRepository.known_day

    def look_just_before_another_run_reads(
        insights: InsightsRepository, store_code: str, day: date
    ) -> KnownDay | None:
        found = look(insights, store_code, day)
        monkeypatch.setattr(InsightsRepository, "known_day", look)
        fill(world, 11)
        return found

    monkeypatch.setattr(InsightsRepository, "known_day", look_just_before_another_run_reads)

    assert fill(world, 10).details["backfill"] == "there"
    assert world.calls() == {"get": 1}


def test_a_day_that_tiktok_does_not_have_is_named_and_not_asked_for_again(
    world: InsightsBench,
) -> None:
    world.bench.import_stores(CODE)
    world.night(today().date)
    fill(world, 30)
    world.bench.conn.execute("DELETE FROM account_daily WHERE metric_date = %s", [ago(20).date])

    outcome = fill(world, 20)

    assert outcome.details["backfill"] == "absent"
    assert "TikTok has no figures of this day" in outcome.message
    assert world.calls() == {"get": 1}
    assert str(ago(20).date) not in world.days(CODE)


def test_a_day_beyond_sixty_is_refused_before_any_call(world: InsightsBench) -> None:
    world.bench.import_stores(CODE)
    world.night(today().date)
    with pytest.raises(ConfigurationError, match=r"more than 60 days ago.*begin the backfill on"):
        fill(world, 61)
    assert world.calls() == {}
    assert fill(world, 60).details["backfill"] in {"read", "absent"}


def test_a_day_that_may_still_change_is_read_again_and_a_final_one_is_not(
    world: InsightsBench,
) -> None:
    world.bench.import_stores(CODE)
    world.night(today().date)
    fill(world, 5)
    world.bench.conn.execute(
        "UPDATE account_daily SET video_views = 1, fetched_at = fetched_at - interval '1 day'"
    )

    states = [fill(world, days).details["backfill"] for days in (30, 5)]

    assert states == ["there", "read"]
    kept, told = world.days(CODE), world.truth(CODE)["days"]
    final, fresh = str(ago(30).date), str(ago(5).date)
    assert kept[final]["video_views"] == 1
    assert kept[fresh]["video_views"] == told[fresh]["video_views"]


def test_a_backfill_that_was_refused_the_figures_says_so_and_the_next_one_reads_them(
    world: InsightsBench,
) -> None:
    world.bench.import_stores(CODE)
    world.night(today().date)
    world.bench.sandbox.admin("POST", "/faults", json={"rules": INSIGHTS_REFUSED})

    with pytest.raises(FatalError, match="switched off this endpoint, or a field"):
        fill(world, 30)

    assert world.days(CODE) == {}
    assert fill(world, 20).details["backfill"] == "read"
    assert fill(world, 30).details["backfill"] == "there"


def test_a_final_day_with_gaps_is_read_once_a_day(world: InsightsBench) -> None:
    world.bench.import_stores(CODE)
    world.night(today().date)
    fill(world, 5)
    whole = world.days(CODE)
    world.bench.conn.execute(
        "UPDATE account_daily SET video_views = NULL WHERE metric_date IN (%s, %s)",
        [ago(30).date, ago(20).date],
    )
    world.bench.conn.execute(
        "UPDATE account_daily SET fetched_at = fetched_at - interval '1 day';"
        "UPDATE backfill_readings SET observed_day = observed_day - 1"
    )
    calls = world.calls()["get"]

    assert [fill(world, days).details["backfill"] for days in (30, 20)] == ["read", "there"]
    for day in (str(ago(30).date), str(ago(20).date)):
        assert world.days(CODE)[day]["video_views"] == whole[day]["video_views"]
    world.bench.conn.execute("UPDATE account_daily SET video_views = NULL")
    world.bench.conn.execute("UPDATE account_daily SET fetched_at = fetched_at - interval '1 day'")
    assert fill(world, 30).details["backfill"] == "there"  # today's reading brought no more
    assert world.calls()["get"] - calls == 1


def test_a_reading_that_brought_nothing_new_names_no_other_days(
    world: InsightsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.bench.import_stores(CODE)
    world.night(today().date)
    monkeypatch.setattr(InsightsRepository, "save_days", lambda *_: 0)
    assert fill(world, 30).message.endswith("read, with 0 other days")


def test_the_summary_says_what_the_backfill_found(world: InsightsBench) -> None:
    world.bench.import_stores(CODE)
    world.night(today().date)
    fill(world, 30)
    run = RunKey(INSIGHTS_JOB, "backfill 30", ago(30).date)

    summary = summarize(SyncLog(world.bench.conn), run, [CODE], min_success_rate=0.9)

    assert summary.status == "success"
    assert "1 filled with that day's figures" in summary.message
    assert summary.details["calls"] == 1
