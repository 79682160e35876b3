"""The compose file as it stands, run without Docker: ``make compose-test`` (10 min).

300 stores, two Celery workers, the database behind PgBouncer; one worker is killed half-way, with
all its tasks. The tests follow one another and share the stack.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests
from rich.console import Console

from include.local.airflow_api import AirflowApi
from include.local.ports import HOST
from tests.compose.conftest import STORES
from tests.compose.native_stack import NativeStack
from tests.truth import ask, differences

DAGS = ("sync_user_daily", "sync_video_daily")
SLOTS = {"user_info": 30, "video_list": 20}
"""Endpoint -> slots of the pool whose tasks call it."""

MOST_CONNECTIONS = 0.70

_RUN_SECONDS = 1200.0
console = Console(width=110)


@dataclass
class Watch:
    """What was seen during the runs."""

    held: int = 0
    most: int = 0
    killed_at: int | None = None
    lost: int = 0
    states: dict[str, str] = field(default_factory=dict)


def sandbox(stack: NativeStack) -> str:
    return f"http://{HOST}:{stack.port('sandbox', 8095)}"


def stats(stack: NativeStack) -> Any:
    return ask(sandbox(stack), "stats").json()


def doctor(stack: NativeStack) -> dict[str, dict[str, str]]:
    """The doctor's findings by check, in the environment of the debugging shell."""
    done = stack.call("cli", ["python", "-m", "include.tiktok_sync", "doctor", "--json"])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr
    assert done.returncode == int(any(line["status"] == "fail" for line in found))
    return {line["check"]: line for line in found}


def one(url: str, query: str, *values: Any) -> tuple[Any, ...]:
    with psycopg.connect(url) as conn:
        row = conn.execute(query.encode(), values).fetchone()
    assert row is not None
    return row


@pytest.mark.timeout(900)
def test_every_health_check_passes(stack: NativeStack) -> None:
    said = {name: stack.is_healthy(name) for name in stack.running}

    assert {name: text for name, (healthy, text) in said.items() if not healthy} == {}
    assert {"worker-1", "worker-2", "pgbouncer", "redis", "api-server"} <= set(said)


@pytest.mark.timeout(300)
def test_workers_have_imported_what_tasks_need_before_any_task_runs(stack: NativeStack) -> None:
    """A slot is forked from a warm process: the compiled parts of what tasks import are mapped."""
    for name in ("worker-1", "worker-2"):
        slots = stack.running[name].family()[1:]
        warm = [p for p in slots if {"_psycopg", "_rust"} <= _compiled(p)]
        assert len(warm) >= int(stack.env["WORKER_CONCURRENCY"]), name


def _compiled(process: psutil.Process) -> set[str]:
    return {Path(mapped.path).name.split(".")[0] for mapped in process.memory_maps()}


@pytest.mark.timeout(300)
def test_doctor_finds_a_healthy_stack_healthy(stack: NativeStack, api: AirflowApi) -> None:
    del api
    found = doctor(stack)

    assert {n: f["text"] for n, f in found.items() if f["status"] in {"fail", "skip"}} == {}
    assert found["pool tiktok_users"]["text"] == "30 slots"
    assert found["stored tokens"]["text"] == f"{STORES} read, all decrypted"


@pytest.mark.timeout(600)
def test_tokens_are_refreshed_before_the_night_once_each(
    stack: NativeStack, api: AirflowApi
) -> None:
    ended = one(
        stack.url("tiktok_sync"),
        "SELECT count(*) FROM store_tokens WHERE access_expires_at < now() + interval '5 minutes'",
    )[0]
    assert ended > 0

    run_id = api.trigger("refresh_tokens")
    _await_end(api, {"refresh_tokens": run_id})

    refreshes = stats(stack)["refreshes"]
    assert set(refreshes.values()) == {1}
    assert len(refreshes) >= ended


@pytest.mark.timeout(1500)
def test_a_worker_killed_half_way_costs_nothing(stack: NativeStack, api: AirflowApi) -> None:
    before = stats(stack)
    with requests.Session() as session:
        session.trust_env = False
        quick = {"latency": {"user_info": 1.0, "video_list": 0.5, "video_query": 0.5}}
        session.patch(f"{sandbox(stack)}/admin/settings", json=quick, timeout=30).raise_for_status()
    started = time.monotonic()
    runs = {dag_id: api.trigger(dag_id) for dag_id in DAGS}
    seen = Watch()

    _await_end(api, runs, lambda: _look(stack, runs, seen))

    seconds = time.monotonic() - started
    after = stats(stack)
    (day,) = one(
        stack.url("tiktok_sync"),
        "SELECT snapshot_date FROM sync_logs WHERE run_id = %s AND store_code IS NULL",
        runs["sync_video_daily"],
    )
    retried, hosts, most = one(
        stack.url("airflow"),
        "SELECT count(*) FILTER (WHERE try_number > 1), count(DISTINCT hostname), max(try_number)"
        " FROM task_instance WHERE run_id = ANY(%s)",
        list(runs.values()),
    )
    calls = {name: figures["calls"] for name, figures in after["endpoints"].items()}
    in_flight = {name: after["endpoints"][name]["in_flight_max"] for name in SLOTS}
    console.print(
        f"\nboth syncs of {STORES} stores, a worker killed after {seen.killed_at} stores with"
        f" {seen.lost} tasks in its hands: {seconds:.0f} s; {retried} tasks tried again"
        f" (at most {most} tries, {hosts} host name); calls {calls}; in flight at most {in_flight};"
        f" connections of the product's database: {seen.held} of {seen.most}"
        f" ({seen.held / seen.most:.0%}); refreshes {sum(after['refreshes'].values())}"
    )
    assert seen.killed_at is not None
    assert seen.lost > 0
    assert retried >= 1
    assert differences(stack.url("tiktok_sync"), sandbox(stack), day) == []
    assert {name: most for name, most in in_flight.items() if most > SLOTS[name]} == {}
    for name, figures in after["endpoints"].items():
        assert set(figures["by_code"]) <= {"ok", ""}, (name, figures["by_code"])
    assert after["refreshes"] == before["refreshes"]
    assert seen.held < MOST_CONNECTIONS * seen.most
    rows = one(
        stack.url("tiktok_sync"),
        "SELECT count(*), count(DISTINCT (job_name, store_code)) FROM sync_logs"
        " WHERE run_id = ANY(%s) AND store_code IS NOT NULL AND status = 'success'",
        list(runs.values()),
    )
    assert rows == (2 * STORES, 2 * STORES)


@pytest.mark.timeout(300)
def test_doctor_names_what_is_broken(stack: NativeStack, api: AirflowApi) -> None:
    """A pool of another size, none at all, a lost connection, a paused Dag, a dead triggerer."""
    stack.call("cli", ["airflow", "pools", "set", "tiktok_users", "5", "too small"])
    stack.call("cli", ["airflow", "pools", "delete", "tiktok_videos"])
    stack.call("cli", ["airflow", "connections", "delete", "tiktok_default"])
    stack.call("cli", ["airflow", "dags", "pause", "sync_user_daily"])
    stack.running["triggerer"].kill()
    deadline = time.monotonic() + 120
    while api.heartbeats()["triggerer"] is not None and time.monotonic() < deadline:
        time.sleep(2)

    found = doctor(stack)

    told = {name: (f["status"], f["text"]) for name, f in found.items()}
    assert told["pool tiktok_users"] == ("warn", "has 5 slots, SYNC_CONCURRENCY says 30")
    assert told["pool tiktok_videos"][0] == "fail"
    assert told["connection tiktok_default"][0] == "fail"
    assert told["Dags"] == ("warn", "paused: sync_user_daily")
    assert told["Airflow's triggerer"][0] == "fail"
    assert told["Airflow's scheduler"][0] == "ok"

    stack.running["api-server"].kill()
    found = doctor(stack)

    assert found["Airflow"]["status"] == "fail"
    assert "does not answer" in found["Airflow"]["text"]


def _look(stack: NativeStack, runs: dict[str, str], seen: Watch) -> None:
    """Count connections; kill a worker once half of the videos' stores are done."""
    held, most = one(
        stack.url("tiktok_sync"),
        "SELECT count(*) FILTER (WHERE backend_type = 'client backend'),"
        " current_setting('max_connections')::integer FROM pg_stat_activity",
    )
    seen.held, seen.most = max(seen.held, held), most
    if seen.killed_at is not None:
        return
    (done,) = one(
        stack.url("tiktok_sync"),
        "SELECT count(*) FROM sync_logs WHERE run_id = %s AND job_name = 'sync_video_daily'"
        " AND store_code IS NOT NULL",
        runs["sync_video_daily"],
    )
    if done >= STORES // 2:
        worker = stack.running["worker-2"]
        # Below a worker is a process for each slot, and below that one for a task at work.
        seen.lost = len(worker.family()) - 1 - len(worker.family()[0].children())
        worker.kill()
        seen.killed_at = done


def _await_end(api: AirflowApi, runs: dict[str, str], look: Any = None) -> None:
    deadline = time.monotonic() + _RUN_SECONDS
    states = dict.fromkeys(runs, "")
    while set(states.values()) - {"success"}:
        assert "failed" not in states.values(), states
        assert time.monotonic() < deadline, states
        time.sleep(1)
        if look:
            look()
        states = {dag_id: api.run_state(dag_id, run_id) for dag_id, run_id in runs.items()}
