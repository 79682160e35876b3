"""The compose file as it stands, run without Docker: ``make compose-test``.

300 stores, two Celery workers, the database behind PgBouncer; one worker is killed half-way, with
all its tasks. The tests of this folder follow one another and share the stack.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import psutil
import pytest

from include.local.parts.airflow_api import AirflowApi
from tests.compose.conftest import STORES, Doctor
from tests.compose.native_stack import NativeStack
from tests.compose.night import new_day, play, problems, stats


@pytest.mark.timeout(900)
def test_every_health_check_passes(stack: NativeStack) -> None:
    said = {name: stack.is_healthy(name) for name in stack.running}

    assert {name: text for name, (healthy, text) in said.items() if not healthy} == {}
    assert {"worker-1", "worker-2", "pgbouncer", "redis", "api-server"} <= set(said)


def test_workers_have_imported_what_tasks_need_before_any_task_runs(stack: NativeStack) -> None:
    """A slot is forked from a warm process: the compiled parts of what tasks import are mapped."""
    for name in ("worker-1", "worker-2"):
        slots = stack.running[name].family()[1:]
        warm = [p for p in slots if {"_psycopg", "_rust"} <= _compiled(p)]
        assert len(warm) >= int(stack.env["WORKER_CONCURRENCY"]), name


def _compiled(process: psutil.Process) -> set[str]:
    return {Path(mapped.path).name.split(".")[0] for mapped in process.memory_maps()}


@pytest.mark.timeout(300)
def test_doctor_finds_a_healthy_stack_healthy(doctor: Doctor) -> None:
    found = doctor()

    assert {n: f["text"] for n, f in found.items() if f["status"] in {"fail", "skip"}} == {}
    assert found["pool tiktok_users"]["text"] == "30 slots"
    assert found["stored tokens"]["text"] == f"{STORES} read, all decrypted"


@pytest.mark.timeout(600)
def test_tokens_are_refreshed_before_the_night_once_each(
    stack: NativeStack, fresh_tokens: int
) -> None:
    refreshes = stats(stack)["refreshes"]

    assert 0 < fresh_tokens <= len(refreshes)
    assert set(refreshes.values()) == {1}


@pytest.mark.usefixtures("fresh_tokens")
@pytest.mark.timeout(1800)
def test_a_worker_killed_half_way_costs_nothing(stack: NativeStack, api: AirflowApi) -> None:
    new_day(stack, date(2026, 12, 1))

    def strike() -> int:
        worker = stack.running["worker-2"]
        lost = worker.tasks()
        worker.kill()
        return lost

    night = play(stack, api, strike, stores=STORES)

    assert problems(stack, night, stores=STORES) == []
    assert 0 < night.again <= 2 * int(stack.env["WORKER_CONCURRENCY"])
