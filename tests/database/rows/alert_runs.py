"""Runs that raise alerts: what the tests of rules, channels and late runs begin with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from include.tiktok_sync.alerts.log import Alert, AlertLog, NewAlert
from include.tiktok_sync.alerts.rules import EndedRun, alerts_of
from include.tiktok_sync.jobs import USER_JOB, RunKey
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.summary import RunSummary
from include.tiktok_sync.sync.sync_log import StoreStatus, SyncLog
from tests.database.bench import DAY
from tiktok_airflow import alerting

RUN: Any = {"job_name": USER_JOB, "run_id": "night-1"}
OK = RunSummary("success", "2 of 2 stores synced", {})
FAILED = NewAlert("run_failed", "It failed.")


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


def record(conn: Connection, job: str, **statuses: StoreStatus) -> None:
    for code, status in statuses.items():
        SyncLog(conn).record(
            RunKey(job, "night-1", DAY.date), code, status, "m", duration_ms=1, details={}
        )


def tell(conn: Connection, *alerts: NewAlert, run_id: str = "night-1") -> None:
    alerting.raise_and_notify(conn, alerts, job_name=USER_JOB, run_id=run_id, day=DAY.date)
