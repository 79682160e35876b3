"""Sends alerts through the Airflow connection ``tiktok_alerts``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import psycopg
import structlog

from include.tiktok_sync.alerts.log import NO_CHANNEL, AlertKind, AlertLog, NewAlert
from include.tiktok_sync.alerts.message import Message, message_of
from include.tiktok_sync.alerts.rules import late_message
from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.errors import SyncError
from include.tiktok_sync.jobs import RunKey
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection, database_errors
from include.tiktok_sync.sync.sync_log import SyncLog
from tiktok_airflow.channels import Delivery, deliver
from tiktok_airflow.hooks.store_db_hook import StoreDbHook

log = structlog.get_logger(__name__)

CONNECTION = "tiktok_alerts"
_ENDED = frozenset({"success", "failed"})


def raise_and_notify(
    conn: Connection, alerts: Sequence[NewAlert], *, job_name: str, run_id: str, day: date | None
) -> None:
    """Record the new alerts and send them as one message; a failing channel fails no run.

    Alerts that no channel accepted earlier are sent too, even if there is nothing new: one message
    for each run, until one is refused again.
    """
    alert_log = AlertLog(conn)
    alert_log.raise_new(alerts, job_name=job_name, run_id=run_id, day=day)
    for left in alert_log.runs_left(job_name, run_id):
        if not _send_unsent(alert_log, *left):
            return


def _send_unsent(alert_log: AlertLog, job_name: str, run_id: str) -> bool:
    """Send the unsent alerts of a run; ``False`` = no channel accepted them."""
    with alert_log.unsent(job_name, run_id) as unsent:
        if not unsent:  # another process is sending them
            return True
        delivery = send(message_of(unsent))
        if delivery.taken:
            alert_log.mark_sent(unsent, delivery.error)
        else:
            alert_log.mark_unsent(unsent, delivery.error or NO_CHANNEL)
    return bool(delivery.taken)


def send(message: Message) -> Delivery:
    """Send a message to every channel of the connection; log its text if none accepts it."""
    delivery = deliver(message, CONNECTION)
    if not delivery.taken and delivery.error is None:
        delivery = replace(delivery, error=NO_CHANNEL)
    log.warning(
        "Alert sent" if delivery.taken else "Alert raised, but no channel accepted it",
        title=message.title,
        channels=delivery.taken,
        error=delivery.error,
        **({} if delivery.taken else {"text": message.body}),
    )
    return delivery


def deadline_missed(context: Mapping[str, Any], minutes: float) -> None:
    """Airflow calls this when a run is not done ``minutes`` after it was queued."""
    run = context["dag_run"]
    dag_id, run_id = str(run["dag_id"]), str(run["dag_run_id"])
    if run["state"] in _ENDED or run["run_type"] == "backfill":
        # Airflow 3.3.2 keeps the deadline of a run that failed in time (issue 60927).
        log.info("Deadline ignored", dag_id=dag_id, run_id=run_id, state=run["state"])
        return
    due = _moment(run["logical_date"] or run["run_after"])
    day = SnapshotDay.of(due, Settings.from_env().timezone).date
    alarm("sla_missed", RunKey(dag_id, run_id, day), minutes=minutes)


def run_failed(context: Mapping[str, Any]) -> None:
    """Airflow calls this when a run fails; a failure that the summary reported is known already."""
    run, day = context.get("dag_run"), None
    if run is not None:
        due = run.logical_date or run.run_after
        day = SnapshotDay.of(due, Settings.from_env().timezone).date
    reason = context.get("reason") or "no reason given"
    alarm("run_failed", RunKey(context["dag"].dag_id, context["run_id"], day), reason=reason)  # type: ignore[arg-type]  # the day may be unknown


def alarm(kind: AlertKind, run: RunKey, *, minutes: float = 0, reason: str = "") -> None:
    """Raise an alert from outside the run's tasks, even if the store database is unavailable."""
    message = (
        f"It ended without a summary ({reason}). See its failed tasks in Airflow, and clear them."
    )
    try:
        with (
            StoreDbHook(application_name="airflow:alerts").session() as conn,
            database_errors(),
        ):
            if kind == "sla_missed":
                done = SyncLog(conn).progress(run, utc_now()).done
                message = late_message(minutes, f"{done} stores are done so far")
            raise_and_notify(
                conn,
                [NewAlert(kind, message)],
                job_name=run.job_name,
                run_id=run.run_id,
                day=run.snapshot_date,
            )
    except (SyncError, psycopg.Error) as error:
        # The message matters more than its row; a table may be missing, too.
        if kind == "sla_missed":
            message = late_message(minutes, "its progress could not be read")
        cause = str(error) if isinstance(error, SyncError) else _in_short(error)
        body = f"{message}\n\nNot recorded: {cause}\n\nDag {run.job_name}, run {run.run_id}"
        send(Message(f"TikTok sync {run.job_name}: {kind.replace('_', ' ')}", body))


def _in_short(error: psycopg.Error) -> str:
    return f"{type(error).__name__}: {error.diag.message_primary or 'no reason given'}."


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 cannot read the Z
