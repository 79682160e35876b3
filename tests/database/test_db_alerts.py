"""Is everything that an operator must know raised, once, and nothing every night?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

import alerting
import sync_dag
import sync_tasks
from include.tiktok_sync.alert_message import message_of
from include.tiktok_sync.alert_rules import EndedRun, alerts_of
from include.tiktok_sync.alerts import Alert, AlertLog, NewAlert
from include.tiktok_sync.database import Connection
from include.tiktok_sync.store_run import REFRESH_JOB, USER_JOB, VIDEO_JOB
from include.tiktok_sync.summary import RunSummary
from include.tiktok_sync.sync_log import RunKey, StoreStatus, SyncLog
from tests.alert_receiver import SECRET, Receiver, alert_receiver
from tests.database.bench import DAY, UTC, row, rows
from tests.database.task_bodies import connections

RUN: Any = {"job_name": USER_JOB, "run_id": "night-1"}
OK = RunSummary("success", "2 of 2 stores synced", {})
BAD = RunSummary("failed", "1 of 2 stores synced, 1 failed.", {"stores": 2, "failed": 1})


@pytest.fixture
def stores(conn: Connection) -> list[str]:
    codes = ["S1", "S2", "S3"]
    for code in codes:
        conn.execute("INSERT INTO stores (store_code, store_name) VALUES (%s, 'x')", [code])
        conn.execute(
            "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
            " refresh_expires_at) VALUES (%s, %s, '', '', '', now() + interval '300 days')",
            [code, code],
        )
    return codes


@pytest.fixture
def receiver(conn: Connection, db_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A channel, and Airflow's connections to it and to the database."""
    del conn
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", connections(db_url)["AIRFLOW_CONN_STORE_DB"])
    monkeypatch.setenv("AIRFLOW_VAR_TIKTOK_MIN_SUCCESS_RATE", "0.9")
    with alert_receiver() as found:
        monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_ALERTS", found.connection())
        yield found


def ended(
    stores: Sequence[str], summary: RunSummary = OK, *, job: str = USER_JOB, **changes: Any
) -> EndedRun:
    values: dict[str, Any] = {"duration": timedelta(minutes=3), "sla": timedelta(minutes=15)}
    key = RunKey(job, changes.pop("run_id", "night-1"), DAY.date)
    return EndedRun(key, stores, summary, **values | changes)


def raised(conn: Connection, run: EndedRun) -> list[Alert]:
    """What is new of what a run raises."""
    return AlertLog(conn).raise_new(
        alerts_of(conn, run),
        job_name=run.key.job_name,
        run_id=run.key.run_id,
        day=run.key.snapshot_date,
    )


def kinds(alerts: Sequence[Alert]) -> list[tuple[str, str | None]]:
    return [(alert.kind, alert.store_code) for alert in alerts]


def kill_grant(conn: Connection, *codes: str) -> None:
    conn.execute(
        "UPDATE store_tokens SET status = 'needs_consent', status_since = clock_timestamp(),"
        " status_reason = 'The grant has ended.' WHERE store_code = ANY(%s)",
        [list(codes)],
    )


def test_an_alert_is_raised_once_a_run_kind_and_store(conn: Connection, stores: list[str]) -> None:
    log = AlertLog(conn)
    first = log.raise_once("run_failed", "It failed.", **RUN, snapshot_date=DAY.date)

    assert first is not None
    assert (first.kind, first.snapshot_date, first.details) == ("run_failed", DAY.date, {})
    assert log.raise_once("run_failed", "It failed again.", **RUN) is None
    for other in (
        log.raise_once("sla_missed", "Late.", **RUN),
        log.raise_once("run_failed", "x", job_name=USER_JOB, run_id="night-2"),
        log.raise_once("needs_consent", "x", **RUN, store_code=stores[0]),
        log.raise_once("needs_consent", "x", **RUN, store_code=stores[1]),
    ):
        assert other is not None
    assert log.raise_once("needs_consent", "x", **RUN, store_code=stores[1]) is None


def test_a_good_night_raises_nothing(conn: Connection, stores: list[str]) -> None:
    assert raised(conn, ended(stores)) == []


def test_a_failed_run_and_a_late_one_are_raised(conn: Connection, stores: list[str]) -> None:
    alerts = raised(conn, ended(stores, BAD, duration=timedelta(minutes=18)))

    assert kinds(alerts) == [("run_failed", None), ("sla_missed", None)]
    assert alerts[0].message == BAD.message
    assert "longer than 15 minutes (SLA_MINUTES): it ended after 18.0 minutes" in alerts[1].message
    backfill = ended(stores, duration=timedelta(hours=9), sla=None, run_id="x", is_backfill=True)
    assert raised(conn, backfill) == []


def test_a_dead_grant_is_raised_once_by_both_dags_and_again_when_it_dies_again(
    conn: Connection, stores: list[str]
) -> None:
    kill_grant(conn, "S1", "S2")
    assert kinds(raised(conn, ended(stores))) == [
        ("needs_consent", "S1"),
        ("needs_consent", "S2"),
    ]
    assert raised(conn, ended(stores, job=VIDEO_JOB)) == []
    assert raised(conn, ended(stores, run_id="night-2")) == []

    conn.execute("UPDATE store_tokens SET status = 'active', status_since = clock_timestamp()")
    kill_grant(conn, "S2")
    assert kinds(raised(conn, ended(stores, run_id="night-3"))) == [("needs_consent", "S2")]


def test_a_missing_permission_is_raised_as_well(conn: Connection, stores: list[str]) -> None:
    conn.execute("UPDATE store_tokens SET status = 'missing_scope' WHERE store_code = 'S3'")
    (alert,) = raised(conn, ended(stores))
    assert (alert.kind, alert.store_code) == ("needs_consent", "S3")
    assert "connect the account again" in alert.message


def test_consents_that_end_are_raised_once_at_30_14_and_3_days(
    conn: Connection, stores: list[str]
) -> None:
    # None = the check could not run, which does not keep the alert back.
    warnings = [{"check": "grants_end_soon", "found": None}]

    def night(run_id: str, *, first: int = 30, **days_left: float) -> dict[str, int]:
        for code, days in days_left.items():
            conn.execute(
                "UPDATE store_tokens SET refresh_expires_at = now() + %s WHERE store_code = %s",
                [timedelta(days=days), code],
            )
        run = ended(
            stores,
            job=REFRESH_JOB,
            warnings=warnings,
            run_id=run_id,
            consent_warning_days=first,
        )
        found = raised(conn, run)
        assert {alert.kind for alert in found} <= {"grant_ends"}
        return {str(alert.store_code): alert.details["days"] for alert in found}

    assert night("1", S1=31, S2=29.9, S3=200) == {"S2": 30}
    assert night("2") == {}
    assert night("3", S1=2.9, S2=13.9) == {"S1": 3, "S2": 14}
    # A refresh moves the end by its own seconds.
    assert night("4", S1=2.89999, S2=13.89999, S3=10, first=7) == {}
    assert night("5", S3=6, first=7) == {"S3": 7}
    assert night("6", S3=2, first=0) == {}
    alert = row(conn, "SELECT message, details FROM alerts WHERE store_code = 'S1'")
    assert f"ends on {alert['details']['ends_on']}" in alert["message"]


def test_consents_are_not_looked_at_where_nothing_was_found(
    conn: Connection, stores: list[str]
) -> None:
    conn.execute("UPDATE store_tokens SET refresh_expires_at = now() + interval '9 days'")
    assert raised(conn, ended(stores)) == []


def record(conn: Connection, job: str, **statuses: StoreStatus) -> None:
    for code, status in statuses.items():
        SyncLog(conn).record(
            RunKey(job, "night-1", DAY.date), code, status, "m", duration_ms=1, details={}
        )


def test_missing_figures_are_raised_without_the_stores_that_are_skipped(
    conn: Connection, stores: list[str]
) -> None:
    warnings = [{"check": "user_rows_missing", "found": 3, "examples": stores}]
    record(conn, USER_JOB, S1="skipped", S2="failed", S3="skipped")

    (alert,) = raised(conn, ended(stores, warnings=warnings))

    assert (alert.kind, alert.details) == ("data_missing", {"stores": ["S2"]})
    assert "1 store has no complete figures of the day: S2." in alert.message
    record(conn, USER_JOB, S2="skipped")
    assert alerts_of(conn, ended(stores, warnings=warnings)) == []
    assert alerts_of(conn, ended(stores, warnings=warnings, is_backfill=True)) == []


def test_a_store_whose_videos_failed_has_missing_figures(
    conn: Connection, stores: list[str]
) -> None:
    partial = RunSummary("partial", "m", {"failures": [{"store_code": "S3", "message": "m"}]})
    warnings = [{"check": "video_syncs_missing", "found": 1, "examples": ["S1"]}]
    record(conn, VIDEO_JOB, S2="success", S3="failed")

    (alert,) = raised(conn, ended(stores, partial, job=VIDEO_JOB, warnings=warnings))

    assert alert.details == {"stores": ["S1", "S3"]}


def test_one_message_names_everything(conn: Connection, stores: list[str]) -> None:
    kill_grant(conn, "S1", "S3")
    message = message_of(raised(conn, ended(stores, BAD)))

    assert message.title == (
        f"TikTok sync sync_user_daily of {DAY.date}: run failed, 2 stores to be connected again"
    )
    assert message.body.splitlines() == [
        "Run failed:",
        "- 1 of 2 stores synced, 1 failed.",
        "",
        "To be connected again:",
        "- S1, S3: The grant has ended.",
        "",
        "Dag sync_user_daily, run night-1",
    ]


def tell(conn: Connection, *alerts: NewAlert) -> None:
    alerting.raise_and_tell(conn, alerts, **RUN, day=DAY.date)


FAILED = NewAlert("run_failed", "It failed.")


def test_a_channel_gets_one_message_and_no_second_one(
    conn: Connection, receiver: Receiver, stores: list[str]
) -> None:
    dead = [NewAlert("needs_consent", "Ended.", code, subject="since") for code in stores]
    for _ in range(2):  # the task is tried again, or cleared
        tell(conn, FAILED, *dead)

    (message,) = receiver.messages
    assert "3 stores to be connected again" in message["title"]
    assert "S1, S2, S3: Ended." in message["message"]
    told = rows(conn, "SELECT notified_at, notify_error FROM alerts")
    assert len(told) == 4
    assert all(line["notified_at"] and line["notify_error"] is None for line in told)


def test_a_channel_that_fails_is_recorded_without_its_secret_and_fails_nobody(
    conn: Connection, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.status = 500
    tell(conn, FAILED)

    found = row(conn, "SELECT * FROM alerts")
    assert found["notified_at"] is None
    assert found["notify_error"] == "Of tiktok_alerts: channel 1 (JSON) did not take it."
    assert SECRET not in str(found) + "".join(capfd.readouterr())


def test_one_of_several_channels_is_enough(
    conn: Connection,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    more = (f"json://x:{SECRET}@127.0.0.1:1/", f"nosuch://{SECRET}/")
    monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_ALERTS", receiver.connection(*more))
    tell(conn, FAILED)

    found = row(conn, "SELECT * FROM alerts")
    assert len(receiver.messages) == 1
    assert found["notified_at"] is not None
    assert "channel 3 is no Apprise URL" in found["notify_error"]
    assert "(JSON) did not take it" in found["notify_error"]
    assert SECRET not in str(found) + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("connection", "error"),
    [
        pytest.param('{"conn_type": "apprise"}', "No channel is configured", id="blank"),
        pytest.param(
            '{"conn_type": "apprise", "extra": {"config": "no JSON s3cr3t"}}',
            "could not be used: JSONDecodeError",
            id="broken",
        ),
    ],
)
def test_without_a_channel_it_is_logged_and_recorded(
    conn: Connection,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    connection: str,
    error: str,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_ALERTS", connection)
    tell(conn, FAILED)

    found = row(conn, "SELECT * FROM alerts")
    assert receiver.messages == []
    assert (found["notified_at"], error in found["notify_error"]) == (None, True)
    said = "".join(capfd.readouterr())
    assert "nobody could be told" in said
    assert "It failed." in said
    assert "s3cr3t" not in said


def test_what_a_killed_sender_left_is_sent_by_the_next_try(
    conn: Connection, db_url: str, receiver: Receiver
) -> None:
    AlertLog(conn).raise_new([FAILED], **RUN, day=DAY.date)
    with psycopg.connect(db_url, autocommit=True) as other, AlertLog(other).untold(**RUN) as held:
        assert len(held) == 1
        tell(conn, FAILED)  # is being sent at this moment
        assert receiver.messages == []

    tell(conn, FAILED)
    assert len(receiver.messages) == 1


def deadline_context(**changes: Any) -> dict[str, Any]:
    run = {
        "dag_id": USER_JOB,
        "dag_run_id": "night-1",
        "state": "running",
        "run_type": "scheduled",
        "logical_date": "2026-03-10T02:00:00Z",
        "run_after": "2026-03-10T02:00:00Z",
    }
    return {"dag_run": run | changes, "deadline": {}}


def test_a_missed_deadline_is_told_once_by_callback_and_summary_together(
    conn: Connection, receiver: Receiver, stores: list[str]
) -> None:
    record(conn, USER_JOB, S1="success")
    for _ in range(2):
        alerting.deadline_missed(deadline_context(), minutes=0.5)
    tell(conn, *alerts_of(conn, ended(stores, duration=timedelta(hours=1))))

    (message,) = receiver.messages
    assert "longer than 0.5 minutes (SLA_MINUTES): 1 stores are done so far" in message["message"]
    assert row(conn, "SELECT kind, snapshot_date, run_id FROM alerts") == {
        "kind": "sla_missed",
        "snapshot_date": date(2026, 3, 10),
        "run_id": "night-1",
    }


@pytest.mark.parametrize("changes", [{"state": "failed"}, {"run_type": "backfill"}])
def test_the_deadline_of_a_run_that_ended_or_of_a_backfill_says_nothing(
    conn: Connection, receiver: Receiver, changes: dict[str, str]
) -> None:
    alerting.deadline_missed(deadline_context(**changes), minutes=15)

    assert receiver.messages == []
    assert rows(conn, "SELECT FROM alerts") == []


def test_a_run_that_dies_without_a_summary_is_told_of(conn: Connection, receiver: Receiver) -> None:
    run = SimpleNamespace(logical_date=None, run_after=datetime(2026, 3, 10, 2, tzinfo=UTC))
    dag = DAG(USER_JOB, schedule=None)
    sync_dag.on_run_failure(
        {"dag": dag, "run_id": "night-1", "dag_run": run, "reason": "timed_out"}
    )
    sync_dag.on_run_failure({"dag": dag, "run_id": "night-1", "reason": "timed_out"})

    (message,) = receiver.messages
    assert "run failed" in message["title"]
    assert "It ended without a summary (timed_out)" in message["message"]
    assert row(conn, "SELECT snapshot_date FROM alerts") == {"snapshot_date": date(2026, 3, 10)}


def test_the_message_goes_out_though_the_store_database_is_away(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "x", "schema": "x"}
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", json.dumps(away))
    dag = DAG(USER_JOB, schedule=None)

    sync_dag.on_run_failure({"dag": dag, "run_id": "night-1", "reason": "task_failure"})
    alerting.deadline_missed(deadline_context(), minutes=15)

    assert ["run failed" in m["title"] for m in receiver.messages] == [True, False]
    assert all("cannot be reached" in message["message"] for message in receiver.messages)


def summary_context(codes: Sequence[str] | None, began: datetime) -> dict[str, Any]:
    def xcom_pull(**wanted: Any) -> Any:
        if wanted.get("key"):
            return "The schema is old."
        return None if codes is None else [[code] for code in codes]

    return {
        "params": {"stores": [], "dry_run": False},
        "run_id": "night-1",
        "dag_run": SimpleNamespace(
            dag_id=USER_JOB,
            run_id="night-1",
            logical_date=datetime(2026, 3, 10, 2, tzinfo=UTC),
            run_after=began,
            start_date=began,
            run_type="scheduled",
        ),
        "ti": SimpleNamespace(
            dag_id=USER_JOB, task_id="record_summary", map_index=-1, xcom_pull=xcom_pull
        ),
        "task": SimpleNamespace(execution_timeout=timedelta(minutes=1), upstream_task_ids=set()),
    }


def test_the_summary_tells_of_a_failed_and_late_run_with_dead_grants(
    conn: Connection, receiver: Receiver, stores: list[str]
) -> None:
    record(conn, USER_JOB, S1="success", S2="failed", S3="skipped")
    kill_grant(conn, "S3")
    context = summary_context(stores, datetime.now(UTC) - timedelta(minutes=20))
    for _ in range(2):
        with pytest.raises(AirflowFailException):
            sync_tasks.record_summary(context)

    (message,) = receiver.messages
    for said in ("run failed", "run is late", "1 store to be connected again"):
        assert said in message["title"]


def test_stores_that_could_not_be_listed_are_told_of(conn: Connection, receiver: Receiver) -> None:
    with pytest.raises(AirflowFailException):
        sync_tasks.record_summary(summary_context(None, datetime.now(UTC)))

    assert "The schema is old." in receiver.messages[0]["message"]
    assert row(conn, "SELECT kind FROM alerts") == {"kind": "run_failed"}


def test_no_alert_url_is_in_the_repository() -> None:
    text = (Path(__file__).resolve().parents[2] / "airflow_settings.yaml").read_text()
    assert "conn_id: tiktok_alerts" in text
    assert "://" not in text.split("tiktok_alerts\n")[1]
