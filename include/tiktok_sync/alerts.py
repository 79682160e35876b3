"""The rows of ``alerts``: what an operator must be told of, once, and whether anybody was told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from include.tiktok_sync.database import Connection

AlertKind = Literal["sla_missed", "run_failed", "needs_consent", "data_missing", "grant_ends"]

_COLUMNS = "id, kind, job_name, run_id, store_code, snapshot_date, message, details"

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

# A sender that dies gives its rows back with its connection; others pass over what it holds.
_UNTOLD = f"""
SELECT {_COLUMNS} FROM alerts
WHERE job_name = %s AND run_id = %s AND notified_at IS NULL AND notify_error IS NULL
ORDER BY id FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - names of our own columns


@dataclass(frozen=True)
class NewAlert:
    """What is to be raised, unless it is known.

    Attributes:
        kind: What happened.
        message: The cause and the next step; never a secret.
        store_code: Which store; ``None`` = the run as a whole.
        subject: Makes it known for the store in every later run too; ``None`` = once a run.
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
            The alert; ``None`` = it is known: the run (and store) has one of this kind.
        """
        alert = NewAlert(kind, message, store_code, details=details or {})
        raised = self.raise_new([alert], job_name=job_name, run_id=run_id, day=snapshot_date)
        return raised[0] if raised else None

    def raise_new(
        self, alerts: Sequence[NewAlert], *, job_name: str, run_id: str, day: date | None
    ) -> list[Alert]:
        """Raise those of the alerts that are not known, in one statement.

        Args:
            alerts: What was noticed.
            job_name: Dag id of the run in which it was noticed.
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

    @contextmanager
    def untold(self, job_name: str, run_id: str) -> Iterator[list[Alert]]:
        """The run's alerts that nobody tried to tell yet; within the block nobody else gets them.

        Say inside the block what came of them (:meth:`told`, :meth:`not_told`).
        """
        with self.conn.transaction(), self.conn.cursor(row_factory=class_row(Alert)) as cursor:
            yield cursor.execute(_UNTOLD.encode(), [job_name, run_id]).fetchall()

    def told(self, alerts: Sequence[Alert], error: str | None = None) -> None:
        """A channel took them; ``error`` names those that did not."""
        self.conn.execute(
            "UPDATE alerts SET notified_at = clock_timestamp(), notify_error = %s"
            " WHERE id = ANY(%s)",
            [error, [alert.id for alert in alerts]],
        )

    def not_told(self, alerts: Sequence[Alert], error: str) -> None:
        """No channel took them; never a secret in ``error``."""
        self.conn.execute(
            "UPDATE alerts SET notify_error = %s WHERE id = ANY(%s)",
            [error, [alert.id for alert in alerts]],
        )
