"""Who tells of a run that is late, dies, or ends badly? Callbacks and summary together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from include.tiktok_sync.alerts.rules import alerts_of
from include.tiktok_sync.jobs import USER_JOB
from include.tiktok_sync.store_db.database import Connection
from tests.alert_receiver import Receiver
from tests.database.bench import UTC, row, rows
from tests.database.rows.alert_runs import ended, kill_grant, record, tell
from tiktok_airflow import alerting
from tiktok_airflow import dag as sync_dag
from tiktok_airflow.tasks import sync as sync_tasks


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


def test_callback_and_summary_together_report_a_missed_deadline_once(
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


def test_a_run_that_dies_without_a_summary_raises_an_alert(
    conn: Connection, receiver: Receiver
) -> None:
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


def test_the_message_goes_out_though_the_schema_is_an_old_one(
    conn: Connection, receiver: Receiver
) -> None:
    conn.execute("DROP TABLE alerts")
    dag = DAG(USER_JOB, schedule=None)
    sync_dag.on_run_failure({"dag": dag, "run_id": "night-1", "reason": "task_failure"})

    (message,) = receiver.messages
    assert "run failed" in message["title"]
    assert 'Not recorded: UndefinedTable: relation "alerts" does not exist.' in message["message"]


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
    for said in ("run failed", "run is late", "1 store needs consent"):
        assert said in message["title"]


def test_stores_that_could_not_be_listed_raise_an_alert(
    conn: Connection, receiver: Receiver
) -> None:
    with pytest.raises(AirflowFailException):
        sync_tasks.record_summary(summary_context(None, datetime.now(UTC)))

    assert "The schema is old." in receiver.messages[0]["message"]
    assert row(conn, "SELECT kind FROM alerts") == {"kind": "run_failed"}
