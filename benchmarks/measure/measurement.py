"""One measurement: run it, and say what it took and what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from benchmarks.errors import BenchError
from benchmarks.measure.airflow_runs import run_dags, statuses
from benchmarks.measure.bench_stack import BenchStack
from benchmarks.measure.meter import PLAIN, ExecutionCalls, MemoryWatch, cpu_seconds
from benchmarks.measure.variants import AIRFLOW_WAYS
from benchmarks.workload import USER, VIDEO, Job
from include.local.environment import base_env
from include.local.parts.airflow_env import product_env
from include.local.parts.migrations import tail
from include.local.run.sandbox_admin import ask
from include.sandbox.settings import DEFAULT_LATENCY

OTHER_LANE = "video_query"
"""The video sync's second endpoint."""

_PLAIN_LOG = "plain"
_WINDOW_SECONDS = 61.0


@dataclass
class JobFigures:
    """One sync's part of a measurement.

    Attributes:
        wall_s: From the first store's start to the last one's end, of all stores.
        run_s: The whole Dag run; ``None`` without Airflow.
        task_s: Average duration of a mapped task; ``None`` without Airflow.
        tasks: Mapped tasks.
        retries: Tries beyond the first.
        succeeded: Stores that ``sync_logs`` has as ``success``.
    """

    wall_s: float
    run_s: float | None = None
    task_s: float | None = None
    tasks: int = 0
    retries: int = 0
    succeeded: int = 0


@dataclass
class Measurement:
    """What one variant showed.

    Attributes:
        key: Of the variant.
        way: Who synced.
        jobs: Names of its jobs.
        latency: How TikTok answered.
        stores: How many stores the time is of.
        stores_per_task: Stores in a mapped task.
        limit: Calls a minute and endpoint, 0 = lifted.
        lanes: 1 = the client only lists.
        sample: Stores that were really done, if the time is extrapolated.
        floor_s: Seconds if only TikTok took time.
        barrier_floor_s: The same with a barrier after each batch.
        problem: Why it is not valid, if it is not.
        wall_s: From the first store's start to the last one's end, over all jobs.
        by_job: Per job.
        cpu_s: Processor seconds by part, of what was really done.
        memory_mb: Most memory of all parts together.
        memory_samples: How often it was looked at.
        in_flight_max: Most calls at once, per endpoint.
        calls: Calls per endpoint.
        refused: Calls per endpoint that got a 429.
        largest_window: Most calls in any minute, per endpoint.
        execution_calls: Requests of tasks to the API server.
        task_tries: Task tries, mapped or not.
        machine: Where and when, and of which commit.
    """

    key: str
    way: str
    jobs: list[str]
    latency: str
    stores: int
    stores_per_task: int
    sample: int | None
    floor_s: float
    barrier_floor_s: float
    problem: str | None = None
    wall_s: float = 0.0
    by_job: dict[str, JobFigures] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    memory_mb: float = 0.0
    memory_samples: int = 0
    in_flight_max: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    largest_window: dict[str, int] = field(default_factory=dict)
    execution_calls: int = 0
    task_tries: int = 0
    limit: int = 0
    lanes: int = 2
    machine: Mapping[str, str | int] = field(default_factory=dict)


def fill(
    stack: BenchStack,
    found: Measurement,
    jobs: tuple[Job, ...],
    timeout_s: float,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Run it and enter what it took.

    Args:
        stack: With Airflow as wanted, or without; tables empty.
        found: What is known before.
        jobs: Which syncs.
        timeout_s: When to give up.
        extra: Further variables of a program; Airflow has its own (see ``SetUp``).

    Raises:
        BenchError: It did not succeed for every store.
        LocalStackError: The stack fails.
    """
    before = cpu_seconds(stack)
    with MemoryWatch(stack) as memory:
        if found.way in AIRFLOW_WAYS:
            _by_airflow(stack, found, jobs, timeout_s)
        else:
            _plainly(stack, found, jobs, timeout_s, memory=memory, extra=extra)
    for part, seconds in cpu_seconds(stack).items():
        if part not in found.cpu_s:
            found.cpu_s[part] = seconds - before[part]
    found.memory_mb, found.memory_samples = memory.peak_mb, memory.samples
    figures = ask(stack, "GET", "/stats").json()["endpoints"]
    for endpoint in [*(job.endpoint for job in jobs), *([OTHER_LANE] if VIDEO in jobs else [])]:
        told = figures[endpoint]
        found.in_flight_max[endpoint] = told["in_flight_max"]
        found.calls[endpoint] = told["calls"]
        found.refused[endpoint] = told["by_code"].get("rate_limit_exceeded", 0)
        found.largest_window[endpoint] = told["largest_window"]
    wanted = found.sample or found.stores
    missing = [
        f"{wanted - figures.succeeded} of {wanted} stores without success in the {name} sync"
        for name, figures in found.by_job.items()
        if figures.succeeded != wanted
    ]
    if missing:
        raise BenchError("; ".join(missing))


def _by_airflow(
    stack: BenchStack, found: Measurement, jobs: tuple[Job, ...], timeout_s: float
) -> None:
    calls = ExecutionCalls(stack)
    runs = run_dags(stack, jobs, found.stores, timeout_s)
    found.execution_calls = calls.count()
    found.task_tries = sum(times.instances for _, times in runs.values())
    for job in jobs:
        run_id, times = runs[job.name]
        found.by_job[job.name] = JobFigures(
            wall_s=times.last_end - times.first_start,
            run_s=times.ended - times.begun,
            task_s=times.task_s,
            tasks=times.tasks,
            retries=times.retries,
            succeeded=_succeeded(stack, job, run_id),
        )
    ends = [times.last_end for _, times in runs.values()]
    found.wall_s = max(ends) - min(times.first_start for _, times in runs.values())


def read_profiles(stack: BenchStack, timeout_s: float) -> None:
    """Sync all users once, unmeasured and without waiting for TikTok.

    The video sync takes a store's number of videos from there; where it is not known, every page
    is read twice.

    Raises:
        BenchError: It failed.
        LocalStackError: The stack fails.
    """
    stack.begin_anew(latency=dict.fromkeys(DEFAULT_LATENCY, 0.0))
    _program(stack, "batches", (USER,), 0, timeout_s)


def live_a_night(stack: BenchStack, timeout_s: float) -> None:
    """Sync everything once, unmeasured and without waiting for TikTok: the videos are known then.

    The sandbox's window, too, is empty afterwards.

    Raises:
        BenchError: It failed.
        LocalStackError: The stack fails.
    """
    stack.begin_anew(latency=dict.fromkeys(DEFAULT_LATENCY, 0.0))
    begun = time.monotonic()
    _program(stack, "batches", (USER, VIDEO), 0, timeout_s)
    # The calls of a limited night before this one count for a minute.
    time.sleep(max(0.0, _WINDOW_SECONDS - (time.monotonic() - begun)))


def _plainly(
    stack: BenchStack,
    found: Measurement,
    jobs: tuple[Job, ...],
    timeout_s: float,
    *,
    memory: MemoryWatch,
    extra: Mapping[str, str] | None,
) -> None:
    sample = found.sample or found.stores
    told = _program(stack, found.way, jobs, sample, timeout_s, memory=memory, extra=extra)
    found.cpu_s[PLAIN] = told["cpu_s"]
    times = found.stores / found.sample if found.sample else 1.0
    for job in jobs:
        begun, ended = told["spans"][job.name]
        found.by_job[job.name] = JobFigures(
            wall_s=(ended - begun) * times, succeeded=_succeeded(stack, job, told["run_id"])
        )
    found.wall_s = max(figures.wall_s for figures in found.by_job.values())


def _program(
    stack: BenchStack,
    way: str,
    jobs: tuple[Job, ...],
    sample: int,
    timeout_s: float,
    *,
    memory: MemoryWatch | None = None,
    extra: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.contenders.plain_sync", way]
    command += [",".join(job.name for job in jobs), "--sample", str(sample)]
    log = stack.workspace.log_file(_PLAIN_LOG)
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(  # noqa: S603 - fixed arguments
            command,
            cwd=stack.workspace.root,
            env={
                **base_env(stack.workspace, os.environ),
                **product_env(stack.settings),
                **(extra or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
        if memory:
            memory.add(process.pid)
        try:
            printed, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            message = f"not finished after {timeout_s:.0f} s"
            raise BenchError(message) from None
    if process.returncode:
        message = f"the program ended with {process.returncode}:\n{tail(log)}"
        raise BenchError(message)
    told: dict[str, Any] = json.loads(printed)
    return told


def _succeeded(stack: BenchStack, job: Job, run_id: str) -> int:
    with psycopg.connect(stack.settings.store_db_url) as conn:
        return statuses(conn, job.dag_id, run_id).get("success", 0)
