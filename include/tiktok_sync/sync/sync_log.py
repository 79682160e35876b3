"""The rows of ``sync_logs``: one per store and run, and one summary per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from include.tiktok_sync.jobs import RunKey
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.repository import stores_of

StoreStatus = Literal["success", "failed", "skipped"]
SummaryStatus = Literal["success", "partial", "failed", "skipped"]

_WRITE = """
INSERT INTO sync_logs (
    job_name, run_id, store_code, status, message, duration_ms, run_time, snapshot_date, details)
VALUES (%(job_name)s, %(run_id)s, %(store_code)s, %(status)s, %(message)s, %(duration_ms)s,
    clock_timestamp(), %(snapshot_date)s, %(details)s)
ON CONFLICT (job_name, run_id, store_code) DO UPDATE SET
    status = excluded.status, message = excluded.message, duration_ms = excluded.duration_ms,
    run_time = excluded.run_time, snapshot_date = excluded.snapshot_date,
    details = excluded.details, attempts = sync_logs.attempts + 1
"""
_UPSERT = f"{_WRITE} RETURNING run_time"
_UPSERT_UNLESS_DONE = f"""{_WRITE}
WHERE sync_logs.status <> 'success'
    OR sync_logs.run_time < clock_timestamp() - %(lasted)s::interval
"""

_PROGRESS = """
SELECT count(*) AS done, (SELECT count(*) {stores}) AS active,
    count(*) FILTER (
        WHERE run_time >= date_trunc('minute', %(recorded_at)s) AND run_time < %(recorded_at)s
    ) = 0 AS first_of_minute
FROM sync_logs
WHERE job_name = %(job_name)s AND run_id = %(run_id)s AND store_code IS NOT NULL
"""


@dataclass(frozen=True)
class StoreResult:
    """One store's row: its result."""

    store_code: str
    status: StoreStatus
    message: str
    duration_ms: int
    details: Mapping[str, Any]


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    Attributes:
        done: Its stores that have a row.
        active: Stores that a run of all stores of the job has.
        first_of_minute: No other store of the run was recorded earlier in this minute. If several
            stores end at the same moment, this is true for at least one of them.
    """

    done: int
    active: int
    first_of_minute: bool


class SyncLog:
    """Access to ``sync_logs`` on one autocommit connection."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn

    def record(
        self,
        run: RunKey,
        store_code: str | None,
        status: StoreStatus | SummaryStatus,
        message: str,
        *,
        duration_ms: int,
        details: Mapping[str, Any],
    ) -> datetime:
        """Write the store's row, or the run's summary (``store_code`` None); a retry updates it.

        Returns:
            The time of the row, by the database's clock.
        """
        row = {
            **vars(run),
            "store_code": store_code,
            "status": status,
            "message": message,
            "duration_ms": duration_ms,
            "details": Jsonb(dict(details)),
        }
        recorded_at: datetime = self.conn.execute(_UPSERT, row).fetchall()[0][0]
        return recorded_at

    def record_stopped(
        self,
        run: RunKey,
        store_code: str,
        message: str,
        kind: str,
        lasted: timedelta | None = None,
    ) -> bool:
        """Record a store whose try was stopped from outside.

        Args:
            run: The run.
            store_code: The store.
            message: What happened.
            kind: For ``details``.
            lasted: How long ago work on the store began; ``None`` = it had not begun.

        Returns:
            False: another try has succeeded since then; its row stays.
        """
        row = {
            **vars(run),
            "store_code": store_code,
            "status": "failed",
            "message": message,
            "duration_ms": round(lasted / timedelta(milliseconds=1)) if lasted else 0,
            "details": Jsonb({"kind": kind}),
            "lasted": lasted,
        }
        return self.conn.execute(_UPSERT_UNLESS_DONE, row).rowcount == 1

    def succeeded(self, run: RunKey, store_codes: Sequence[str]) -> set[str]:
        """The stores that have succeeded in the run."""
        return {
            result.store_code
            for result in self.results(run, store_codes)
            if result.status == "success"
        }

    def progress(self, run: RunKey, recorded_at: datetime) -> RunProgress:
        """The progress of the run, after one of its stores was recorded.

        Not part of :meth:`record`: if two stores ended at once, neither statement would see the
        other's row, and no line would ever say 100 %.
        """
        with self.conn.cursor(row_factory=class_row(RunProgress)) as cursor:
            query = _PROGRESS.format(stores=stores_of(run.job_name)).encode()
            found = cursor.execute(query, {**vars(run), "recorded_at": recorded_at})
            return found.fetchall()[0]

    def results(self, run: RunKey, store_codes: Sequence[str]) -> list[StoreResult]:
        """The rows of these stores in this run, by store code."""
        with self.conn.cursor(row_factory=class_row(StoreResult)) as cursor:
            return cursor.execute(
                "SELECT store_code, status, message, duration_ms, details FROM sync_logs"
                " WHERE job_name = %s AND run_id = %s AND store_code = ANY(%s) ORDER BY store_code",
                [run.job_name, run.run_id, list(store_codes)],
            ).fetchall()
