"""How does one ``make sync`` go? All sync Dags at once, followed until they end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import psycopg

from include.local.console import say
from include.local.errors import AirflowApiError, LocalSyncError
from include.local.parts.airflow_api import AirflowApi, moment_of
from include.local.polling import wait_for
from include.local.run.faults import report_faults, switch_faults
from include.local.run.progress import Count, ProgressView
from include.local.run.report import report
from include.local.run.seed import seed_stores
from include.local.stack import Stack
from include.tiktok_sync.jobs import OTHER_DAGS
from include.tiktok_sync.sync.repository import StoreRepository

_POLL_SECONDS = 1.0
_STALL_SECONDS = 60.0
_SCHEDULED_SECONDS = 60.0
_ENDED = frozenset({"success", "failed"})


@dataclass(frozen=True)
class Run:
    """One Dag run that this sync follows.

    Attributes:
        dag_id: Its Dag.
        run_id: Its id.
        started: When it was asked for, on the monotonic clock.
    """

    dag_id: str
    run_id: str
    started: float


def sync(stack: Stack) -> bool:
    """Seed the sandbox's stores, switch its faults, run each sync once, show progress and outcome.

    Returns:
        Whether all runs succeeded.

    Raises:
        LocalStackError: The runs cannot be started or followed.
    """
    if stack.settings.uses_sandbox:
        switch_faults(stack, seed_stores(stack))
    runs = _start_runs(stack)
    totals = {run.dag_id: _active_stores(stack, run.dag_id) for run in runs}
    counts: dict[str, Count] = {}
    try:
        counts = _follow(stack, runs, totals)
    except KeyboardInterrupt:
        pages = "\n".join(f"  {stack.api.run_page(run.dag_id, run.run_id)}" for run in runs)
        message = f"Stopped watching; the runs go on. See:\n{pages}"
        raise LocalSyncError(message) from None
    report_faults(stack)
    report(stack, {run.dag_id: run.run_id for run in runs})
    return all(count.state == "success" for count in counts.values())


def _start_runs(stack: Stack) -> list[Run]:
    """Unpause all Dags, then start one run of each sync, together."""
    jobs = stack.settings.sync_jobs
    due = {dag_id: _due_run(stack, dag_id) for dag_id in jobs}
    for dag_id in jobs:
        for run_id in stack.api.active_runs(dag_id):
            say(f"  {dag_id}: the new run is queued behind {run_id}, which has not ended")
    for dag_id in (*stack.settings.nightly_jobs, *OTHER_DAGS):
        stack.api.unpause(dag_id)
    started = time.monotonic()
    runs = []
    for dag_id in jobs:
        moment = due[dag_id]
        scheduled = _await_scheduled(stack.api, dag_id, moment) if moment else None
        runs.append(Run(dag_id, scheduled or stack.api.trigger(dag_id), started))
    return runs


def _due_run(stack: Stack, dag_id: str) -> datetime | None:
    """The logical date of today's run, if unpausing the Dag is going to start it.

    Unpausing lets the scheduler make up the last run that was due; a run triggered
    as well would sync every store twice. A due run of an earlier day is no substitute: it is left
    to the scheduler, and today's run queues behind it.
    """
    dag = stack.api.dag(dag_id)
    if not dag or not dag["is_paused"] or not dag["next_dagrun_run_after"]:
        return None
    now = datetime.now(timezone.utc)
    logical_date = moment_of(dag["next_dagrun_logical_date"])
    day = ZoneInfo(stack.settings.env.get("SYNC_TIMEZONE", "UTC"))
    is_today = logical_date.astimezone(day).date() == now.astimezone(day).date()
    is_due = moment_of(dag["next_dagrun_run_after"]) <= now
    return logical_date if is_due and is_today else None


def _await_scheduled(api: AirflowApi, dag_id: str, logical_date: datetime) -> str | None:
    return wait_for(
        lambda: api.scheduled_run(dag_id, logical_date),
        seconds=_SCHEDULED_SECONDS,
        every=_POLL_SECONDS / 4,
    )


def _active_stores(stack: Stack, dag_id: str) -> int:
    with psycopg.connect(stack.settings.store_db_url) as connection:
        return len(StoreRepository(connection).active_store_codes(dag_id))


def _follow(stack: Stack, runs: list[Run], totals: dict[str, int]) -> dict[str, Count]:
    """Show the progress until all runs have ended.

    Raises:
        SyncError: No progress while Airflow is not healthy, or the time is over.
    """
    watch = _Watch(stack)
    counts: dict[str, Count] = {}
    with ProgressView(tuple(run.dag_id for run in runs)) as view:
        while True:
            try:
                for run in runs:
                    before = counts.get(run.dag_id)
                    if before is None or before.state not in _ENDED:
                        counts[run.dag_id] = _count(stack, run, totals[run.dag_id])
            except AirflowApiError as error:
                watch.trouble(str(error), "api-server")
            except psycopg.OperationalError as error:
                watch.trouble(f"Postgres does not answer ({type(error).__name__})", "postgres")
            else:
                ended = all(count.state in _ENDED for count in counts.values())
                view.show(counts, final=ended)
                if ended:
                    return counts
                watch.look(counts)
            time.sleep(_POLL_SECONDS)


def _count(stack: Stack, run: Run, total: int) -> Count:
    # The state first: the counts are then those of the state or newer, never older.
    state = stack.api.run_state(run.dag_id, run.run_id)
    # A connection each time: one that is kept does not outlive a restart of Postgres.
    with psycopg.connect(stack.settings.store_db_url) as connection:
        rows = connection.execute(
            """
            SELECT status, count(*) FROM sync_logs
            WHERE run_id = %s AND job_name = %s AND store_code IS NOT NULL GROUP BY 1
            """,
            [run.run_id, run.dag_id],
        ).fetchall()
    by_status: dict[str, int] = {row[0]: row[1] for row in rows}
    failed = by_status.get("failed", 0)
    return Count(
        total=total,
        done=by_status.get("success", 0),
        failed=failed,
        skipped=by_status.get("skipped", 0),
        seconds=time.monotonic() - run.started,
        state=state,
        retries=stack.api.waiting_retries(run.dag_id, run.run_id)
        if failed and state not in _ENDED and sum(by_status.values()) >= total
        else 0,
    )


class _Watch:
    """Distinguishes waiting from hanging: a run may be slow, but not behind a dead scheduler."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._minutes = stack.settings.sync_timeout_minutes
        self._deadline = time.monotonic() + self._minutes * 60
        self._seen: object = None
        self._moved = time.monotonic()
        self._trouble_since: float | None = None

    def look(self, counts: dict[str, Count]) -> None:
        """Note the progress.

        Raises:
            SyncError: There is none, and the scheduler is not healthy; or the time is over.
        """
        seen = [(count.finished, count.state) for count in counts.values()]
        if seen != self._seen:
            self._seen, self._moved = seen, time.monotonic()
        if time.monotonic() - self._moved < _STALL_SECONDS or self._scheduler_lives():
            self._trouble_since = None
        self._check_time()

    def trouble(self, reason: str, program: str) -> None:
        """A part did not answer.

        Runs may wait for minutes between their tries, and supervisord starts again what ended: so
        the patience begins with the trouble, not with the last progress.

        Raises:
            SyncError: It has not for too long.
        """
        now = time.monotonic()
        self._trouble_since = self._trouble_since or now
        if now - self._trouble_since > _STALL_SECONDS:
            self._give_up(reason, program)
        self._check_time()

    def _scheduler_lives(self) -> bool:
        try:
            alive = self._stack.api.heartbeats()["scheduler"] is not None
        except AirflowApiError as error:
            self.trouble(str(error), "api-server")
            return False
        if not alive:
            self.trouble("Airflow's scheduler has no heartbeat", "scheduler")
        return alive

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            reason = f"the runs have not ended after {self._minutes} minutes"
            self._give_up(f"{reason} (SYNC_TIMEOUT_MINUTES)", "scheduler")

    def _give_up(self, reason: str, program: str) -> None:
        log = self._stack.workspace.log_file(program)
        message = (
            f"Stopped waiting: {reason}. Its log: {log}. The runs are left as they are: "
            f"{self._stack.settings.airflow_url}"
        )
        raise LocalSyncError(message)
