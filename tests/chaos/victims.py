"""Which process is it, and how is it killed? Only processes of the stack under test, by pid."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any
from uuid import UUID

import psutil
import psycopg
import requests

from include.local.errors import AirflowApiError
from include.local.processes.programs import EXECUTION_API
from include.local.stack import Stack

TASK = "task process"
WORKER = "LocalExecutor worker"
PARTS = ("scheduler", "api-server", EXECUTION_API, "sandbox", "postgres")
KINDS = (TASK, WORKER, *PARTS)

_NOTICED_SECONDS = 10.0
"""Its worker notices the end of a task's process at once, unless a part is away just now."""

_WORKER_TITLE = "airflow worker -- LocalExecutor:"
_TASK_TITLE = "airflow worker -- "


@dataclass(frozen=True)
class Strike:
    """One kill.

    Attributes:
        kind: One of ``KINDS``.
        what: Who it was, for the table.
        is_back: Whether what it did is done again: the part answers, the task has succeeded.
            Raises an error of ``AWAY`` while a part that must be asked is away itself.
    """

    kind: str
    what: str
    is_back: Callable[[], bool]


AWAY = (
    AirflowApiError,
    psycopg.OperationalError,
    requests.RequestException,
    OSError,
)
"""What asking a part that has just been killed may raise."""


@dataclass(frozen=True)
class _Task:
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    store: str | None


def strike(local: Stack, kind: str, chance: random.Random) -> Strike | None:
    """Kill one process of a kind.

    Args:
        local: Whose.
        kind: One of ``KINDS``.
        chance: Picks among several.

    Returns:
        ``None`` if there is none just now: no task runs, or the part is starting.
    """
    if kind in PARTS:
        return _strike_part(local, kind, chance)
    return _strike_task(local, kind, chance)


def _strike_task(local: Stack, kind: str, chance: random.Random) -> Strike | None:
    """Kill a task's process, or the worker that watches over it.

    An idle worker is not struck: the first of those that wait for work holds the lock of
    Airflow's queue, which dies with it (see the docstring of test_chaos).
    """
    pairs = _running_tasks(local)
    chance.shuffle(pairs)
    for worker, process in pairs:
        task = _task_of(local, process)
        if task is None:
            continue
        try:
            (process if kind == TASK else worker).kill()
        except psutil.NoSuchProcess:
            continue
        if kind == TASK and _had_succeeded(local, task):
            continue
        who = f"{task.task_id} {task.store or ''}".strip()
        return Strike(kind, who, partial(_done, local, task))
    return None


def _running_tasks(local: Stack) -> list[tuple[psutil.Process, psutil.Process]]:
    """Each busy worker with its task's process: both below the scheduler, told by their titles."""
    found = []
    try:
        scheduler = psutil.Process(local.states()["scheduler"].pid)
        for worker in scheduler.children():
            if _title(worker).startswith(_WORKER_TITLE):
                found += [
                    (worker, child)
                    for child in worker.children()
                    if _title(child).startswith(_TASK_TITLE)
                ]
    except psutil.NoSuchProcess:
        return found  # the scheduler was struck a moment ago
    return found


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def _task_of(local: Stack, process: psutil.Process) -> _Task | None:
    try:
        task_instance = UUID(_title(process).removeprefix(_TASK_TITLE))
        with psycopg.connect(local.settings.airflow_db_url) as conn:
            row: Any = conn.execute(
                "SELECT dag_id, run_id, task_id, map_index, rendered_map_index"
                " FROM task_instance WHERE id = %s AND state = 'running'",
                [task_instance],
            ).fetchone()
    except (ValueError, psycopg.OperationalError):
        return None  # just forked and not yet named, or Postgres was struck a moment ago
    return _Task(*row) if row else None


def _state(local: Stack, task: _Task) -> str | None:
    with psycopg.connect(local.settings.airflow_db_url) as conn:
        row = conn.execute(
            "SELECT state FROM task_instance WHERE dag_id = %s AND run_id = %s AND task_id = %s"
            " AND map_index = %s",
            [task.dag_id, task.run_id, task.task_id, task.map_index],
        ).fetchone()
    return row[0] if row else None


def _done(local: Stack, task: _Task) -> bool:
    return _state(local, task) in {"success", "failed", "skipped", "upstream_failed"}


def _had_succeeded(local: Stack, task: _Task) -> bool:
    """Whether word of its success was on its way when it was killed: it is not done again then."""
    deadline = time.monotonic() + _NOTICED_SECONDS
    try:
        while (state := _state(local, task)) == "running" and time.monotonic() < deadline:
            time.sleep(0.05)
    except psycopg.OperationalError:
        return False  # Postgres was struck a moment ago
    return state == "success"


def _strike_part(local: Stack, kind: str, chance: random.Random) -> Strike | None:
    pid = local.states()[kind].pid
    if not pid:
        return None
    how = signal.SIGKILL
    if kind == "postgres":
        # SIGQUIT is Postgres's immediate shutdown; both end in crash recovery.
        how = chance.choice([signal.SIGKILL, signal.SIGQUIT])
    struck = datetime.now(timezone.utc)
    psutil.Process(pid).send_signal(how)
    answers: dict[str, Callable[[], bool]] = {
        "scheduler": lambda: _beats_since(local, struck),
        "api-server": lambda: bool(local.api.heartbeats()),
        EXECUTION_API: lambda: _answers(f"{local.settings.execution_url}/health"),
        "sandbox": lambda: _answers(f"{local.settings.sandbox_url}/admin/health"),
        "postgres": lambda: _postgres_answers(local),
    }
    return Strike(
        kind, how.name, lambda: local.states()[kind].pid not in {0, pid} and answers[kind]()
    )


def _beats_since(local: Stack, moment: datetime) -> bool:
    beat = local.api.heartbeats()["scheduler"]
    return beat is not None and beat > moment


def _answers(url: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=30).ok


def _postgres_answers(local: Stack) -> bool:
    psycopg.connect(local.settings.store_db_url, connect_timeout=30).close()
    return True
