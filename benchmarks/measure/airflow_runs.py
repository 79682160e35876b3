"""One run of some Dags: started together, followed to the end, timed from Airflow's database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from benchmarks.errors import BenchError
from benchmarks.measure.bench_stack import BenchStack
from benchmarks.workload import JOBS, Job
from include.local.console import say
from include.local.errors import LocalStackError
from include.local.run.progress import Count, ProgressView
from include.local.stack import Stack
from include.sandbox.settings import DEFAULT_LATENCY

_POLL_SECONDS = 1.0
_LAST_WORDS_SECONDS = 30.0
"""Until the tasks of an abandoned run notice it, with their next heartbeat."""

_WARM_UP_STORES = 20
_QUICK = dict.fromkeys(DEFAULT_LATENCY, 0.05)
_ENDED = frozenset({"success", "failed"})

_TIMES = """
SELECT extract(epoch FROM min(t.start_date)), extract(epoch FROM max(t.end_date)),
    avg(extract(epoch FROM t.end_date - t.start_date)), count(*),
    sum(greatest(t.try_number, 1) - 1),
    extract(epoch FROM d.start_date), extract(epoch FROM d.end_date)
FROM dag_run d JOIN task_instance t USING (dag_id, run_id)
WHERE d.dag_id = %s AND d.run_id = %s AND t.task_id = %s AND t.map_index >= 0
GROUP BY d.start_date, d.end_date
"""


@dataclass(frozen=True)
class RunTimes:
    """When one Dag's run happened, in seconds since 1970 unless stated otherwise.

    Attributes:
        first_start: The first mapped task's start.
        last_end: The last mapped task's end.
        task_s: Average duration of a mapped task, seconds.
        tasks: Mapped tasks.
        retries: Tries beyond the first.
        begun: The run's start.
        ended: The run's end.
        instances: Tries of all tasks, mapped or not.
    """

    first_start: float
    last_end: float
    task_s: float
    tasks: int
    retries: int
    begun: float
    ended: float
    instances: int


def run_dags(
    stack: Stack, jobs: Sequence[Job], stores: int, timeout_s: float
) -> dict[str, tuple[str, RunTimes]]:
    """Trigger one run of each job's Dag and wait until all have ended.

    Args:
        stack: Whose Airflow; its Dags are not paused.
        jobs: Which Dags.
        stores: How many stores, for the progress bar.
        timeout_s: After that many seconds the runs are given up.

    Returns:
        Run id and times by the job's name.

    Raises:
        BenchError: The time is over.
        LocalStackError: Airflow refuses.
    """
    runs = {job.dag_id: stack.api.trigger(job.dag_id) for job in jobs}
    try:
        _follow(stack, runs, stores, timeout_s)
    except BaseException:
        for dag_id, run_id in runs.items():
            with suppress(LocalStackError):
                stack.api.end_run(dag_id, run_id)
        time.sleep(_LAST_WORDS_SECONDS)
        raise
    return {job.name: (runs[job.dag_id], _times(stack, job, runs[job.dag_id])) for job in jobs}


def warm_up(stack: BenchStack, stores: int, timeout_s: float) -> None:
    """Run both Dags for some stores: a night finds Airflow warm.

    Raises:
        BenchError: The time is over.
        LocalStackError: Airflow refuses.
    """
    few = min(stores, _WARM_UP_STORES)
    say(f"  warming up with {few} stores")
    stack.begin_anew(latency=_QUICK)
    with stack.only(few):
        run_dags(stack, list(JOBS.values()), few, timeout_s)


def _follow(stack: Stack, runs: dict[str, str], stores: int, timeout_s: float) -> None:
    begun = time.monotonic()
    # The databases are asked, not the API server: it is what is measured.
    with (
        psycopg.connect(stack.settings.airflow_db_url, autocommit=True) as airflow,
        psycopg.connect(stack.settings.store_db_url, autocommit=True) as store_db,
        ProgressView(tuple(runs)) as view,
    ):
        while True:
            seconds = time.monotonic() - begun
            counts = {
                dag_id: _count(airflow, store_db, dag_id, run_id, stores, seconds)
                for dag_id, run_id in runs.items()
            }
            ended = all(count.state in _ENDED for count in counts.values())
            view.show(counts, final=ended)
            if ended:
                return
            if seconds > timeout_s:
                message = f"not finished after {timeout_s:.0f} s"
                raise BenchError(message)
            time.sleep(_POLL_SECONDS)


def _count(
    airflow: psycopg.Connection[tuple[object, ...]],
    store_db: psycopg.Connection[tuple[object, ...]],
    dag_id: str,
    run_id: str,
    stores: int,
    seconds: float,
) -> Count:
    row = airflow.execute(
        "SELECT state FROM dag_run WHERE dag_id = %s AND run_id = %s", [dag_id, run_id]
    ).fetchone()
    by_status = statuses(store_db, dag_id, run_id)
    return Count(
        total=stores,
        done=by_status.get("success", 0),
        failed=by_status.get("failed", 0),
        skipped=by_status.get("skipped", 0),
        seconds=seconds,
        state=str(row[0]) if row else "queued",
    )


def statuses(
    store_db: psycopg.Connection[tuple[object, ...]], job_name: str, run_id: str
) -> dict[str, int]:
    """How many stores of a run have which outcome in ``sync_logs``."""
    rows = store_db.execute(
        """
        SELECT status, count(*) FROM sync_logs
        WHERE job_name = %s AND run_id = %s AND store_code IS NOT NULL GROUP BY 1
        """,
        [job_name, run_id],
    ).fetchall()
    return {str(status): int(str(count)) for status, count in rows}


def _times(stack: Stack, job: Job, run_id: str) -> RunTimes:
    with psycopg.connect(stack.settings.airflow_db_url) as conn:
        row = conn.execute(_TIMES, [job.dag_id, run_id, job.task_id]).fetchone()
        tries = conn.execute(
            "SELECT sum(greatest(try_number, 0)) FROM task_instance"
            " WHERE dag_id = %s AND run_id = %s",
            [job.dag_id, run_id],
        ).fetchone()
    if row is None or None in row or tries is None:
        message = f"{job.dag_id} ended without running {job.task_id}; see {run_id} in its log"
        raise BenchError(message)
    first, last, average, tasks, retries, begun, ended = row
    return RunTimes(
        first_start=float(first),
        last_end=float(last),
        task_s=float(average),
        tasks=int(tasks),
        retries=int(retries),
        begun=float(begun),
        ended=float(ended),
        instances=int(tries[0]),
    )
