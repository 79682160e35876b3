"""How did the runs end? The summary, the stores not synced, and where to look further."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from rich import box
from rich.table import Table
from rich.text import Text

from include.local.console import result
from include.local.stack import Stack
from include.tiktok_sync.doctor.airflow_client import ADMIN

_MOST = 20
_WERE: Mapping[str, str] = {"failed": "failed", "skipped": "were skipped"}


def report(stack: Stack, runs: Mapping[str, str]) -> None:
    """Print the outcome of some runs.

    Args:
        stack: Whose runs.
        runs: Run id by Dag id.

    Raises:
        AirflowApiError: Airflow does not say which tasks failed.
    """
    with psycopg.connect(stack.settings.store_db_url) as connection:
        summarised = _print_summaries(connection, runs)
        for status in ("failed", "skipped"):
            _print_stores(connection, runs, status)
    for dag_id, run_id in runs.items():
        if dag_id not in summarised:
            _print_failed_tasks(stack, dag_id, run_id)
    result.print()
    width = max(map(len, runs), default=0)
    for dag_id, run_id in runs.items():
        result.print(f"{dag_id:<{width}}  {stack.api.run_page(dag_id, run_id)}", markup=False)
    result.print(
        f"Sign in as {ADMIN}; the password is AIRFLOW_ADMIN_PASSWORD in {stack.workspace.env_file}",
        markup=False,
    )


def _print_summaries(connection: psycopg.Connection, runs: Mapping[str, str]) -> set[str]:
    rows = connection.execute(
        """
        SELECT job_name, status, message, duration_ms, run_time, details -> 'warnings'
        FROM sync_logs
        WHERE store_code IS NULL AND run_id = ANY(%s) AND job_name = ANY(%s)
        ORDER BY job_name
        """,
        [list(runs.values()), list(runs)],
    ).fetchall()
    if rows:
        result.print()
        result.print(summary_table(row[:5] for row in rows))
    for job, status, message, *_ in rows:
        if status != "success":  # a cell is too narrow for a cause and its next step
            result.print(f"\n{job} {status}: {message}", markup=False, soft_wrap=True)
    for job, *_, warnings in rows:
        print_warnings(job, warnings or ())
    return {row[0] for row in rows}


def print_warnings(job: str, warnings: Sequence[Mapping[str, Any]]) -> None:
    """Print what the data checks of a run found: which check, how much, where, what to do.

    Args:
        job: Dag id.
        warnings: As the summary's ``details`` keep them
            (:class:`include.tiktok_sync.sync.data_checks.check.Outcome`).
    """
    if warnings:
        result.print(f"\nWarnings of {job}:", markup=False)
    for warning in warnings:
        line = f"  {warning['check']}  {warning['message']}"
        result.print(line, markup=False, soft_wrap=True)


def summary_table(rows: Iterable[tuple[str, str, str, int | None, datetime]]) -> Table:
    """Summary rows on any width: the message gives way, the other columns never do.

    Args:
        rows: Dag id, status, message, milliseconds, time of the run.
    """
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("job_name", no_wrap=True)
    table.add_column("status", no_wrap=True)
    # Of columns that may not wrap, rich drops some when the line is full; so only the cell may not.
    table.add_column("message")
    table.add_column("duration", no_wrap=True, justify="right")
    table.add_column("run_time", no_wrap=True)
    for job, status, message, milliseconds, run_time in rows:
        seconds = "" if milliseconds is None else f"{milliseconds / 1000:.1f} s"
        cell = Text(message, no_wrap=True, overflow="ellipsis")
        table.add_row(job, status, cell, seconds, f"{run_time:%H:%M:%S}")
    return table


def _print_stores(connection: psycopg.Connection, runs: Mapping[str, str], status: str) -> None:
    rows = connection.execute(
        """
        SELECT job_name, store_code, message FROM sync_logs
        WHERE store_code IS NOT NULL AND status = %s
          AND run_id = ANY(%s) AND job_name = ANY(%s)
        ORDER BY store_code, job_name
        """,
        [status, list(runs.values()), list(runs)],
    ).fetchall()
    if not rows:
        return
    result.print(f"\nStores that {_WERE[status]}:")
    for job, store, message in rows[:_MOST]:
        result.print(f"  {store}  {job}  {message}", markup=False, soft_wrap=True)
    if len(rows) > _MOST:
        result.print(f"  and {len(rows) - _MOST} more (table sync_logs)")


def _print_failed_tasks(stack: Stack, dag_id: str, run_id: str) -> None:
    tasks, found = stack.api.failed_tasks(dag_id, run_id, _MOST)
    result.print(f"\n{dag_id} wrote no summary. Failed tasks: {found or 'none'}", markup=False)
    for task in tasks:
        index = task["map_index"]
        name = task["task_id"] if index < 0 else f"{task['task_id']}[{index}]"
        log = _task_log(stack.workspace.task_logs, task)
        result.print(f"  {name}  {task['state']}  {log}", markup=False)
    if found > len(tasks):
        result.print(f"  and {found - len(tasks)} more")


def _task_log(logs: Path, task: Mapping[str, object]) -> str:
    """Where Airflow's default ``log_filename_template`` puts the log of the last try."""
    folder = logs / f"dag_id={task['dag_id']}" / f"run_id={task['dag_run_id']}"
    folder /= f"task_id={task['task_id']}"
    if task["map_index"] != -1:
        folder /= f"map_index={task['map_index']}"
    file = folder / f"attempt={task['try_number']}.log"
    return str(file) if file.exists() else "(never started)"
