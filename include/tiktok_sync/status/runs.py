"""How did the runs go? Summaries, the stores of one run, and the progress of a running one.

Every query reads an index of ``sync_logs`` and is bounded by a number of rows or of days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from psycopg.rows import class_row

from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.store_db.database import Connection

HISTORY_DAYS = 90
"""Days that the charts show."""

LAST_RUNS = 15
STORES_SHOWN = 500
"""Stores shown on a run's page; the download has all."""

_HISTORY_ROWS = 1000  # two runs a night and as many by hand again, five times over

_SUMMARY = """
SELECT job_name, run_id, status, message, duration_ms, run_time, snapshot_date,
    (details ->> 'stores')::bigint AS stores, (details ->> 'success')::bigint AS success,
    (details ->> 'failed')::bigint AS failed, (details ->> 'skipped')::bigint AS skipped,
    (details ->> 'rate_limited')::bigint AS rate_limited
FROM sync_logs
WHERE store_code IS NULL
"""

_STORES = """
SELECT l.store_code, s.store_name, l.status, l.message, l.attempts, l.duration_ms, l.run_time,
    (l.details ->> 'calls')::bigint AS calls,
    (l.details ->> 'repeats')::bigint AS repeats,
    (l.details ->> 'rate_limited')::bigint AS rate_limited,
    (l.details ->> 'waited_s')::float8 AS waited_s,
    (l.details ->> 'refreshes')::bigint AS refreshes,
    l.details ->> 'kind' AS kind, l.details ->> 'log_id' AS log_id
FROM sync_logs AS l JOIN stores AS s USING (store_code)
WHERE l.job_name = %(job)s AND l.run_id = %(run)s AND l.store_code IS NOT NULL
    AND (%(status)s = '' OR l.status = %(status)s)
ORDER BY l.duration_ms DESC NULLS LAST, l.store_code
"""


@dataclass(frozen=True)
class Summary:
    """A run's row of ``sync_logs``; ``None`` = the run ended before that was known."""

    job_name: str
    run_id: str
    status: str
    message: str
    duration_ms: int | None
    run_time: datetime
    snapshot_date: date
    stores: int | None
    success: int | None
    failed: int | None
    skipped: int | None
    rate_limited: int | None

    @property
    def minutes(self) -> float | None:
        """How long the run took."""
        return None if self.duration_ms is None else self.duration_ms / 60_000

    @property
    def success_percent(self) -> float | None:
        """Successes as a share of successes and failures; ``None`` if there were neither."""
        return _percent((self,))

    def is_full(self, active_stores: int) -> bool:
        """Whether the run covered the stores at large, not just a few chosen by hand."""
        return bool(self.stores) and 2 * (self.stores or 0) >= active_stores


@dataclass(frozen=True)
class Night:
    """The newest full runs of both syncs for one day.

    Attributes:
        day: The day that the figures stand for.
        user: Run of the profiles; ``None`` = there was none for that day.
        video: Run of the videos; ``None`` = there was none for that day.
    """

    day: date
    user: Summary | None
    video: Summary | None

    @property
    def total_minutes(self) -> float | None:
        """From the start of the first to the end of the last; ``None`` unless both ended."""
        ends = [run.run_time for run in self.runs]
        begins = [
            run.run_time - timedelta(milliseconds=run.duration_ms)
            for run in self.runs
            if run.duration_ms is not None
        ]
        if len(begins) < len((USER_JOB, VIDEO_JOB)):
            return None
        return (max(ends) - min(begins)).total_seconds() / 60

    @property
    def success_percent(self) -> float | None:
        """Of both runs together."""
        return _percent(self.runs)

    @property
    def runs(self) -> Sequence[Summary]:
        """The runs that there were."""
        return [run for run in (self.user, self.video) if run]


@dataclass(frozen=True)
class StoreRunRow:
    """How one store ended in a run, and what it cost."""

    store_code: str
    store_name: str
    status: str
    message: str
    attempts: int
    duration_ms: int | None
    run_time: datetime
    calls: int | None
    repeats: int | None
    rate_limited: int | None
    waited_s: float | None
    refreshes: int | None
    kind: str | None
    log_id: str | None


@dataclass(frozen=True)
class Progress:
    """The number of stores of a run that have a result so far."""

    success: int
    failed: int
    skipped: int
    newest: datetime | None

    @property
    def done(self) -> int:
        """All of them."""
        return self.success + self.failed + self.skipped


def last_runs(conn: Connection) -> list[Summary]:
    """The newest summaries of all Dags, newest first."""
    with conn.cursor(row_factory=class_row(Summary)) as cursor:
        return cursor.execute(
            _SUMMARY.encode() + b"ORDER BY run_time DESC LIMIT %s", [LAST_RUNS]
        ).fetchall()


def history(conn: Connection) -> list[Summary]:
    """Summaries of both syncs from the last :data:`HISTORY_DAYS` days, newest first."""
    with conn.cursor(row_factory=class_row(Summary)) as cursor:
        return cursor.execute(
            _SUMMARY.encode() + b" AND run_time > now() - %s * interval '1 day'"
            b" AND job_name = ANY(%s) ORDER BY run_time DESC LIMIT %s",
            [HISTORY_DAYS, [USER_JOB, VIDEO_JOB], _HISTORY_ROWS],
        ).fetchall()


def full_runs(summaries: Iterable[Summary], active_stores: int) -> list[Summary]:
    """The newest full run of each Dag and day, from summaries sorted newest first."""
    newest: dict[tuple[str, date], Summary] = {}
    for run in summaries:
        if run.is_full(active_stores):
            newest.setdefault((run.job_name, run.snapshot_date), run)
    return list(newest.values())


def last_night(full: Iterable[Summary]) -> Night | None:
    """The newest day of full runs; ``None`` = there is none yet."""
    runs = list(full)
    if not runs:
        return None
    day = max(run.snapshot_date for run in runs)
    of_day = {run.job_name: run for run in runs if run.snapshot_date == day}
    return Night(day, of_day.get(USER_JOB), of_day.get(VIDEO_JOB))


def summary_of(conn: Connection, job_name: str, run_id: str) -> Summary | None:
    """A run's summary; ``None`` = it has none, so it has not ended."""
    with conn.cursor(row_factory=class_row(Summary)) as cursor:
        return cursor.execute(
            _SUMMARY.encode() + b" AND job_name = %s AND run_id = %s", [job_name, run_id]
        ).fetchone()


def progress(conn: Connection, job_name: str, run_id: str) -> Progress:
    """How far a run is."""
    with conn.cursor(row_factory=class_row(Progress)) as cursor:
        return cursor.execute(
            "SELECT count(*) FILTER (WHERE status = 'success') AS success,"
            " count(*) FILTER (WHERE status = 'failed') AS failed,"
            " count(*) FILTER (WHERE status = 'skipped') AS skipped, max(run_time) AS newest"
            " FROM sync_logs WHERE job_name = %s AND run_id = %s AND store_code IS NOT NULL",
            [job_name, run_id],
        ).fetchall()[0]


def slowest_stores(
    conn: Connection, job_name: str, run_id: str, status: str = ""
) -> list[StoreRunRow]:
    """The run's stores, or those of one status, slowest first, at most :data:`STORES_SHOWN`."""
    values = {"job": job_name, "run": run_id, "status": status, "most": STORES_SHOWN}
    with conn.cursor(row_factory=class_row(StoreRunRow)) as cursor:
        return cursor.execute(_STORES.encode() + b"LIMIT %(most)s", values).fetchall()


def all_stores(conn: Connection, job_name: str, run_id: str) -> Iterator[StoreRunRow]:
    """All of the run's stores, slowest first, one at a time."""
    values = {"job": job_name, "run": run_id, "status": ""}
    with conn.cursor(row_factory=class_row(StoreRunRow)) as cursor:
        yield from cursor.execute(_STORES.encode(), values)


def _percent(runs: Iterable[Summary]) -> float | None:
    success = sum(run.success or 0 for run in runs)
    judged = success + sum(run.failed or 0 for run in runs)
    return 100 * success / judged if judged else None
