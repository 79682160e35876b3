"""The rows of ``alerts``: each alert once, and whether it was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from include.tiktok_sync.store_db.database import Connection

AlertKind = Literal[
    "sla_missed",
    "run_failed",
    "needs_consent",
    "data_missing",
    "grant_ends",
    "refusals_doubted",
]

NO_CHANNEL = (
    "No channel is configured: set ALERTS_URL, or the Airflow connection tiktok_alerts"
    " (docs/alerts.md)."
)
"""``notify_error`` of an alert raised without a channel: it is not sent later."""

TRIED_FOR = timedelta(hours=36)
"""How long later runs keep trying to send an alert that no channel accepted: into the next night,
but not until it is old news."""

_COLUMNS = (
    "id, kind, job_name, run_id, store_code, snapshot_date, message, details, raised_at,"
    " notify_error"
)

_RAISE = f"""
INSERT INTO alerts (
    kind, job_name, run_id, store_code, snapshot_date, message, details, subject)
SELECT kind, %(job_name)s, %(run_id)s, store_code, %(snapshot_date)s, message,
    coalesce(details, '{{}}'), subject
FROM jsonb_to_recordset(%(alerts)s) AS a (
    kind text, store_code text, message text, details jsonb, subject text)
ON CONFLICT DO NOTHING
RETURNING {_COLUMNS}
"""  # noqa: S608 - names of our own columns

_UNSENT = """
notified_at IS NULL AND notify_error IS DISTINCT FROM %(no_channel)s
    AND raised_at > now() - %(tried_for)s
"""
_RUNS_LEFT = f"""
SELECT job_name, run_id FROM alerts WHERE {_UNSENT}
GROUP BY job_name, run_id
ORDER BY (job_name, run_id) = (%(job_name)s, %(run_id)s) DESC, max(id) DESC
"""  # noqa: S608 - our own condition

# If a sender dies, its rows are unlocked with its connection; other senders skip locked rows.
_CLAIM = f"""
SELECT {_COLUMNS} FROM alerts
WHERE job_name = %(job_name)s AND run_id = %(run_id)s AND {_UNSENT}
ORDER BY id FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - names of our own columns


@dataclass(frozen=True)
class NewAlert:
    """An alert to raise, unless it has been raised already.

    Attributes:
        kind: What happened.
        message: The cause and the next step; never a secret.
        store_code: The store; ``None`` = the run as a whole.
        subject: The same store and subject are never raised again, in any run; ``None`` = once per
            run.
        details: Figures and the stores behind it.
    """

    kind: AlertKind
    message: str
    store_code: str | None = None
    subject: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Alert:
    """One row."""

    id: int
    kind: AlertKind
    job_name: str
    run_id: str
    store_code: str | None
    snapshot_date: date | None
    message: str
    details: Mapping[str, Any]
    raised_at: datetime
    notify_error: str | None


class AlertLog:
    """Access to ``alerts`` on one autocommit connection."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn

    def raise_once(
        self,
        kind: AlertKind,
        message: str,
        *,
        job_name: str,
        run_id: str,
        store_code: str | None = None,
        snapshot_date: date | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Alert | None:
        """Raise one alert.

        Returns:
            The alert; ``None`` = the run (and store) already has one of this kind.
        """
        alert = NewAlert(kind, message, store_code, details=details or {})
        raised = self.raise_new([alert], job_name=job_name, run_id=run_id, day=snapshot_date)
        return raised[0] if raised else None

    def raise_new(
        self, alerts: Sequence[NewAlert], *, job_name: str, run_id: str, day: date | None
    ) -> list[Alert]:
        """Raise the alerts that have not been raised yet, in one statement.

        Args:
            alerts: The alerts.
            job_name: Dag id of the run that raises them.
            run_id: That run.
            day: The day that the run's figures stand for; ``None`` = unknown.
        """
        if not alerts:
            return []
        with self.conn.cursor(row_factory=class_row(Alert)) as cursor:
            return cursor.execute(
                _RAISE.encode(),
                {
                    "job_name": job_name,
                    "run_id": run_id,
                    "snapshot_date": day,
                    "alerts": Jsonb([vars(alert) for alert in alerts]),
                },
            ).fetchall()

    def runs_left(self, job_name: str, run_id: str) -> list[tuple[str, str]]:
        """Runs with unsent alerts, each as Dag id and run id.

        The named run comes first, then the newest.
        """
        values = self._values(job_name, run_id)
        return self.conn.execute(_RUNS_LEFT.encode(), values).fetchall()

    @contextmanager
    def unsent(self, job_name: str, run_id: str) -> Iterator[list[Alert]]:
        """The run's unsent alerts, locked against other senders within the block.

        Record the result inside the block (:meth:`mark_sent`, :meth:`mark_unsent`).
        """
        with self.conn.transaction(), self.conn.cursor(row_factory=class_row(Alert)) as cursor:
            yield cursor.execute(_CLAIM.encode(), self._values(job_name, run_id)).fetchall()

    def mark_sent(self, alerts: Sequence[Alert], error: str | None = None) -> None:
        """Record that a channel accepted them; ``error`` names the channels that did not."""
        self.conn.execute(
            "UPDATE alerts SET notified_at = clock_timestamp(), notify_error = %s"
            " WHERE id = ANY(%s)",
            [error, [alert.id for alert in alerts]],
        )

    def mark_unsent(self, alerts: Sequence[Alert], error: str) -> None:
        """Record that no channel accepted them; never a secret in ``error``."""
        self.conn.execute(
            "UPDATE alerts SET notify_error = %s WHERE id = ANY(%s)",
            [error, [alert.id for alert in alerts]],
        )

    @staticmethod
    def _values(job_name: str, run_id: str) -> dict[str, Any]:
        return {
            "job_name": job_name,
            "run_id": run_id,
            "no_channel": NO_CHANNEL,
            "tried_for": TRIED_FOR,
        }
