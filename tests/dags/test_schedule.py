"""When do the Dags run? 02:00 in the zone of the stores, once a day, daylight saving or not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DataInterval, TimeRestriction

from tiktok_airflow import dag as sync_dag

UTC = ZoneInfo("UTC")
SYNCS = ("sync_user_daily", "sync_video_daily")


class Night:
    """The scheduler's timetable of a nightly Dag, with a clock to set.

    Args:
        monkeypatch: For the clock.
        zone: ``SYNC_TIMEZONE``.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
        monkeypatch.setenv("SYNC_TIMEZONE", zone)
        self._monkeypatch = monkeypatch
        self.zone = ZoneInfo(zone or "UTC")
        dag = DAG("night", schedule=sync_dag.nightly(), catchup=False)
        self._timetable = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable

    def next(self, now: datetime, *, last: datetime | None = None) -> datetime:
        """The next run as of ``now``, where ``last`` was the last scheduled one."""
        self._monkeypatch.setattr(
            "airflow.timetables.trigger.utcnow", lambda: pendulum.instance(now.astimezone(UTC))
        )
        ended = DataInterval.exact(pendulum.instance(last)) if last else None
        info: Any = self._timetable.next_dagrun_info(
            last_automated_data_interval=ended,
            restriction=TimeRestriction(earliest=None, latest=None, catchup=False),
        )
        run_after: datetime = info.run_after
        return run_after.astimezone(self.zone)

    def at(self, year: int, month: int, day: int, hour: int, minute: int = 0) -> datetime:
        """A moment on the clock of the zone."""
        return datetime(year, month, day, hour, minute, tzinfo=self.zone)


def test_both_syncs_are_nightly_and_tokens_are_fresh_before(dag: DAG) -> None:
    if dag.dag_id in SYNCS:
        assert dag.schedule == sync_dag.nightly("0 2 * * *")
    elif dag.dag_id == "apply_retention":
        assert dag.schedule == sync_dag.nightly("0 12 * * *")  # far from any night
    elif dag.dag_id == "report_weekly":
        assert dag.schedule == sync_dag.nightly("0 6 * * 1")  # Mondays, after the night
    elif dag.dag_id == "sync_insights_daily":
        assert dag.schedule == sync_dag.nightly("0 5 * * *")  # what it compares with is there
    elif dag.dag_id == "refresh_business_tokens":
        assert dag.schedule == sync_dag.nightly("30 4 * * *")  # half an hour before those
    else:
        assert dag.dag_id == "refresh_tokens"
        assert dag.schedule == sync_dag.nightly("30 1 * * *")


@pytest.mark.parametrize("zone", ["", "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_next_run_is_at_two_in_the_zone_of_the_stores(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    night = Night(monkeypatch, zone)

    run = night.next(night.at(2026, 11, 23, 14, 30))

    assert run == night.at(2026, 11, 24, 2)
    assert (run.hour, run.minute, run.second) == (2, 0, 0)


@pytest.mark.parametrize(
    "clock", [(2, 15), (2, 59), (9, 0), (23, 59)], ids=lambda clock: f"{clock[0]}:{clock[1]:02}"
)
def test_switching_a_dag_on_starts_no_run_for_a_night_gone_by(
    monkeypatch: pytest.MonkeyPatch, clock: tuple[int, int]
) -> None:
    night = Night(monkeypatch, "Europe/Berlin")
    now = night.at(2026, 11, 23, *clock)

    run = night.next(now)

    assert now < run == night.at(2026, 11, 24, 2)


def test_a_night_missed_while_airflow_was_down_is_made_up_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    night = Night(monkeypatch, "Europe/Berlin")
    back = night.at(2026, 11, 23, 7)

    made_up = night.next(back, last=night.at(2026, 11, 19, 2))

    assert made_up == night.at(2026, 11, 23, 2)
    assert night.next(back, last=made_up) == night.at(2026, 11, 24, 2)


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", (2027, 3, 28)),  # 02:00 does not exist
        ("Europe/Berlin", (2026, 10, 25)),  # 02:00 is there twice
        ("America/New_York", (2027, 3, 14)),
        ("America/New_York", (2026, 11, 1)),
    ],
)
def test_every_day_has_one_run_around_a_clock_change(
    monkeypatch: pytest.MonkeyPatch, zone: str, change: tuple[int, int, int]
) -> None:
    night = Night(monkeypatch, zone)
    run = night.at(*change, 2) - timedelta(days=3)
    runs = [run]

    for _ in range(6):
        # The scheduler looks again a minute after each run.
        run = night.next(run.astimezone(UTC) + timedelta(minutes=1), last=run)
        runs.append(run)

    first = runs[0].date()
    assert [run.date() for run in runs] == [first + timedelta(days=i) for i in range(7)]
    assert {run.time() for run in runs if run.date() != night.at(*change, 2).date()} == {
        night.at(2026, 1, 1, 2).time()
    }


def test_unknown_timezone_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="Mars/Phobos"):
        Night(monkeypatch, "Mars/Phobos")
