"""Sends alerts through the Airflow connection ``tiktok_alerts``.

The connection's Apprise URLs hold secrets: no log line, no row and no error shows them.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
import structlog
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from include.tiktok_sync.alerts.log import NO_CHANNEL, AlertKind, AlertLog, NewAlert
from include.tiktok_sync.alerts.message import LEAST_ROOM, Message, message_of
from include.tiktok_sync.alerts.rules import late_message
from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.errors import SyncError
from include.tiktok_sync.jobs import RunKey
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection, database_errors
from include.tiktok_sync.sync.sync_log import SyncLog
from tiktok_airflow.hooks.store_db_hook import StoreDbHook

log = structlog.get_logger(__name__)

CONNECTION = "tiktok_alerts"
SEND_SECONDS = 40
"""Time for all channels together, including retries: a callback in the Dag processor is killed
after 50 s (``dag_file_processor_timeout``). The next run sends what was cut off."""

TRIES_AGAIN = 2
WAIT_SECONDS = 5.0
"""Between two tries of a channel that did not accept the message."""

_AROUND_TITLE = 24
"""Characters that Apprise adds around a title that becomes part of the body."""

_ENDED = frozenset({"success", "failed"})


@dataclass(frozen=True)
class Delivery:
    """How the delivery of a message ended.

    Attributes:
        taken: Channels that accepted it.
        error: Names the channels that did not, or says that there is none; ``None`` = all did.
    """

    taken: int
    error: str | None = None


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
    delivery = _deliver(message)
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


def _deliver(message: Message) -> Delivery:
    try:
        channels = _channels()
        if not channels:
            return Delivery(0, NO_CHANNEL)
        with _silent():
            results = _send_to_all(channels, message)
    except Exception as error:  # noqa: BLE001 - a channel must fail no run; the text may hold its URL
        return Delivery(
            0, f"The channels of {CONNECTION} could not be used: {type(error).__name__}."
        )
    failures = [failure for failure in results if failure]
    return Delivery(
        len(results) - len(failures),
        f"Of {CONNECTION}: {'; '.join(failures)}." if failures else None,
    )


def _send_to_all(channels: Sequence[tuple[str, str | None]], message: Message) -> list[str | None]:
    """Send to every channel at once; each one's error, ``None`` = it accepted the whole message."""
    # Heavy, and only needed by a run with an alert.
    from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - see above

    ends = time.monotonic() + SEND_SECONDS
    asset = AppriseAsset(default_service_retry=TRIES_AGAIN, default_service_wait=WAIT_SECONDS)

    def send_to(number: int, url: str, tag: str | None) -> str | None:
        apprise = Apprise(asset=asset)
        if not apprise.add(url, tag=tag):
            return f"channel {number} is not an Apprise URL"
        plugin = apprise[0]
        try:
            taken = _send_parts(apprise, plugin, url, message, ends)
        except Exception as error:  # noqa: BLE001 - it must not hide the results of the others
            return f"channel {number} ({plugin.service_name}) failed: {type(error).__name__}"
        return None if taken else f"channel {number} ({plugin.service_name}) did not accept it"

    with ThreadPoolExecutor(len(channels)) as pool:
        tries = [
            pool.submit(send_to, number, *channel) for number, channel in enumerate(channels, 1)
        ]
        return [one.result() for one in tries]


def _send_parts(apprise: Any, plugin: Any, url: str, message: Message, ends: float) -> bool:
    """Send the message in parts that fit the service, one by one."""
    from apprise import NotifyFormat, OverflowMode  # noqa: PLC0415 - see _send_to_all

    if "overflow=" not in url:  # if a part is longer than expected after all, nothing is lost
        plugin.overflow_mode = OverflowMode.SPLIT
    for part in _parts_for(plugin, message):
        seconds = ends - time.monotonic()
        # As text, so that Apprise escapes what the service would read as markup.
        if seconds <= 0 or not apprise.notify(
            part.body, title=part.title, body_format=NotifyFormat.TEXT, timeout=seconds
        ):
            return False
    return True


def _parts_for(plugin: Any, message: Message) -> list[Message]:
    """The message in parts within the limits that Apprise knows of the service, markup included."""
    from apprise import NotifyFormat  # noqa: PLC0415 - see _send_to_all
    from apprise.conversion import convert_between  # noqa: PLC0415 - likewise

    convert: Any = convert_between  # has no types
    form = plugin.resolve_format(NotifyFormat.TEXT)
    counts_title = plugin.title_maxlen <= 0 or plugin.overflow_amalgamate_title

    def size(part: Message) -> int:
        texts = [part.body, part.title] if counts_title else [part.body]
        length = _AROUND_TITLE if counts_title else 0
        for text in texts:
            length += len(convert(NotifyFormat.TEXT, form, text))
        return length

    most = room = int(plugin.body_maxlen)
    parts = message.parts(room, lines=plugin.body_max_line_count)
    while max(map(size, parts)) > most and room > LEAST_ROOM:
        room = room * 9 // 10
        parts = message.parts(room, lines=plugin.body_max_line_count)
    return parts


def _channels() -> list[tuple[str, str | None]]:
    try:
        connection = BaseHook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        return []
    config = connection.extra_dejson.get("config") or []
    if isinstance(config, str):  # the UI's field holds JSON as text
        config = json.loads(config)
    entries = [config] if isinstance(config, dict) else config
    for entry in entries:
        mask_secret(entry["path"])
    return [(entry["path"], entry.get("tag")) for entry in entries]


@contextmanager
def _silent() -> Iterator[None]:
    # Apprise logs a URL that it does not understand, secrets included.
    logger = logging.getLogger("apprise")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 cannot read the Z
