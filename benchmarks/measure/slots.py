"""What happens in a slot between one store's last call and the next one's first?

Airflow's own records say it: the task instances, the task's log, and the local TikTok's log of
calls. Slots of a pool have no number; the store that was queued n-th after the pool was full has
the slot that became free n-th, and the averages do not depend on which slot it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
from rich import box
from rich.table import Table

from benchmarks.errors import BenchError
from benchmarks.measure.airflow_runs import run_dags, warm_up
from benchmarks.measure.bench_stack import BenchStack, bench_stack
from benchmarks.workload import Job
from include.local.console import result
from include.local.run.sandbox_admin import ask
from include.local.run.seed import seed_stores

_TOLD = "DAG bundles loaded: dags-folder"
_PARSED = "Worker startup parse complete"
_READY = "::endgroup::"  # the first of a log ends "Pre Execute"
_SYNCED = "Store synced"

_TASKS = """
SELECT map_index, queued_dttm, start_date, end_date, updated_at FROM task_instance
WHERE dag_id = %s AND run_id = %s AND task_id = %s AND map_index >= 0 AND state = 'success'
"""


@dataclass(frozen=True)
class StoreTimes:
    """A store's task, in seconds since 1970, in the order in which it happens.

    Attributes:
        queued: The scheduler gave it the slot.
        forked: Its process exists.
        told: The API server has answered that it may start.
        parsed: It has its Dag.
        ready: It has its store and its label; our own code begins.
        called: Its first call reached TikTok.
        answered: Its last call was answered.
        synced: Its rows are written.
        ended: Airflow's code in the task has ended.
        written: The API server has written its state: the slot is free.
    """

    queued: float
    forked: float
    told: float
    parsed: float
    ready: float
    called: float
    answered: float
    synced: float
    ended: float
    written: float


BEFORE = (
    "executor: queue, fork",
    "call of the API server: start",
    "parse the Dag",
    "calls of the API server: store, label, heartbeat",
    "database, token, limit",
)
"""From being queued to the first call; `StoreTimes` from ``queued`` to ``called``."""

AFTER = ("the store's rows", "end of the task", "call of the API server: state")
"""From the last answer to the free slot; `StoreTimes` from ``answered`` to ``written``."""

ROUND = "scheduler: its round"


def gaps(stores: Sequence[StoreTimes], slots: int) -> dict[str, float]:
    """Seconds of an average gap in a slot, by who spends them, in their order.

    Args:
        stores: Those of one run.
        slots: Of the pool.

    Raises:
        BenchError: No slot was used twice.
    """
    freed = sorted(stores, key=lambda store: store.written)
    taken = sorted(stores, key=lambda store: store.queued)[slots:]
    if not taken:
        message = f"{len(stores)} stores leave no gap in {slots} slots: take more stores."
        raise BenchError(message)
    found = dict.fromkeys((*AFTER, ROUND, *BEFORE), 0.0)
    for before, after in zip(freed, taken, strict=False):
        moments = astuple(before)[6:] + astuple(after)[:6]
        for name, (begun, ended) in zip(found, pairwise(moments), strict=True):
            found[name] += (ended - begun) / len(taken)
    return found


def store_times(
    task: Mapping[str, float], log: Sequence[Mapping[str, Any]], calls: Sequence[Mapping[str, Any]]
) -> StoreTimes:
    """Put one task together.

    Args:
        task: ``queued``, ``forked``, ``ended`` and ``written`` of its row.
        log: The lines of its log.
        calls: Its store's calls, in any order.

    Raises:
        BenchError: A line or a call is missing.
    """
    seen: dict[str, float] = {}
    for line in log:
        seen.setdefault(line["event"], datetime.fromisoformat(line["timestamp"]).timestamp())
    missing = [event for event in (_TOLD, _PARSED, _READY, _SYNCED) if event not in seen]
    if missing or not calls:
        message = f"A task's log has no line {missing}, or its store no call; mend slots.py."
        raise BenchError(message)
    return StoreTimes(
        queued=task["queued"],
        forked=task["forked"],
        told=seen[_TOLD],
        parsed=seen[_PARSED],
        ready=seen[_READY],
        called=min(call["at"] for call in calls),
        answered=max(call["at"] + call["duration_s"] for call in calls),
        synced=seen[_SYNCED],
        ended=task["ended"],
        written=task["written"],
    )


def times_of_run(stack: BenchStack, job: Job, run_id: str) -> list[StoreTimes]:
    """Every store of a run with one store a task.

    Raises:
        BenchError: A log line is missing.
        LocalStackError: The local TikTok does not answer.
    """
    calls: dict[str, list[Mapping[str, Any]]] = {}
    for call in ask(stack, "GET", f"/requests?endpoint={job.endpoint}").json():
        calls.setdefault(call["store_code"], []).append(call)
    with psycopg.connect(stack.settings.airflow_db_url) as conn:
        rows = conn.execute(_TASKS, [job.dag_id, run_id, job.task_id]).fetchall()
    folder = stack.workspace.task_logs / f"dag_id={job.dag_id}" / f"run_id={run_id}"
    found = []
    for map_index, *moments in rows:
        task = dict(
            zip(
                ("queued", "forked", "ended", "written"),
                [moment.timestamp() for moment in moments],
                strict=True,
            )
        )
        log = _lines(folder / f"task_id={job.task_id}" / f"map_index={map_index}/attempt=1.log")
        codes = [line["store_code"] for line in log if line["event"] == _SYNCED]
        found.append(store_times(task, log, calls.get(codes[0], []) if codes else []))
    return found


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def measure(jobs: Sequence[Job], stores: int, timeout_s: float) -> dict[str, dict[str, float]]:
    """Run the syncs once, on a stack of their own, and split the gaps of each.

    Raises:
        BenchError: The time is over, or a log line is missing.
        LocalStackError: The stack does not come up.
    """
    with bench_stack({"STORES": str(stores), "SANDBOX_PROFILE": "reference"}) as stack:
        stack.up()
        seed_stores(stack)
        for job in jobs:
            stack.api.unpause(job.dag_id)
        warm_up(stack, stores, timeout_s)
        stack.begin_anew()
        runs = run_dags(stack, jobs, stores, timeout_s)
        return {
            job.name: gaps(times_of_run(stack, job, runs[job.name][0]), job.slots) for job in jobs
        }


def show(found: Mapping[str, Mapping[str, float]]) -> None:
    """Print the gap of each sync, in milliseconds."""
    table = Table("in a slot, from last call to first, ms", *found, box=box.SIMPLE)
    for name in (*AFTER, ROUND, *BEFORE):
        table.add_row(name, *(f"{split[name] * 1000:,.0f}" for split in found.values()))
    table.add_row("all", *(f"{sum(split.values()) * 1000:,.0f}" for split in found.values()))
    result.print(table)
