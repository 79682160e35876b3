"""One night on the compose stack: both syncs, a blow half-way, and what must hold afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import psycopg
import requests
from rich.console import Console

from include.local.parts.airflow_api import AirflowApi
from include.local.ports import HOST
from tests.compose.native_stack import NativeStack
from tests.truth import ask, differences

DAGS = ("sync_user_daily", "sync_video_daily")
SLOTS = {"user_info": 30, "video_list": 20}
"""Endpoint -> slots of the pool whose tasks call it."""

MOST_CONNECTIONS = 0.70

_RUN_SECONDS = 1500.0
_QUICK = {"user_info": 1.0, "video_list": 0.5, "video_query": 0.5}
console = Console(width=110)


@dataclass
class Night:
    """What happened.

    Attributes:
        runs: Run id by Dag.
        struck_at: Stores whose videos were done at the blow; ``None`` = it did not come.
        lost: Tasks in the hands of what was lost.
        again: Tasks that were tried more than once.
        held: Most connections to the product's server at once.
        most: Its ``max_connections``.
        seconds: From the trigger to the end of both.
        before: TikTok's figures before the night.
        after: The same afterwards.
    """

    runs: dict[str, str]
    struck_at: int | None = None
    lost: int = 0
    again: int = 0
    held: int = 0
    most: int = 0
    seconds: float = 0.0
    before: Any = field(default=None, repr=False)
    after: Any = field(default=None, repr=False)


def sandbox(stack: NativeStack) -> str:
    """Its base URL."""
    return f"http://{HOST}:{stack.port('sandbox', 8095)}"


def stats(stack: NativeStack) -> Any:
    """What TikTok has seen so far."""
    return ask(sandbox(stack), "stats").json()


def one(url: str, query: str, *values: Any) -> tuple[Any, ...]:
    """The only row of a query."""
    with psycopg.connect(url) as conn:
        row = conn.execute(query.encode(), values).fetchone()
    assert row is not None
    return row


def new_day(stack: NativeStack, day: date) -> None:
    """Let TikTok's figures be those of another day, and forget what it has seen."""
    with requests.Session() as session:
        session.trust_env = False
        wanted = {"latency": _QUICK, "date": day.isoformat()}
        url = f"{sandbox(stack)}/admin"
        session.patch(f"{url}/settings", json=wanted, timeout=30).raise_for_status()


def play(stack: NativeStack, api: AirflowApi, strike: Callable[[], int], *, stores: int) -> Night:
    """Run both syncs to their end; strike once the videos of half of the stores are done.

    Args:
        stack: Whose.
        api: Its Airflow.
        strike: Takes a part away; gives how many tasks were in its hands.
        stores: How many there are.
    """
    before, started = stats(stack), time.monotonic()
    night = Night({dag_id: api.trigger(dag_id) for dag_id in DAGS}, before=before)

    def look() -> None:
        held, night.most = one(
            stack.url("tiktok_sync"),
            "SELECT sum(numbackends)::integer, current_setting('max_connections')::integer"
            " FROM pg_stat_database",
        )
        night.held = max(night.held, held)
        if night.struck_at is None:
            (done,) = one(
                stack.url("tiktok_sync"),
                "SELECT count(*) FROM sync_logs WHERE run_id = %s AND store_code IS NOT NULL",
                night.runs["sync_video_daily"],
            )
            if done >= stores // 2:
                night.struck_at, night.lost = done, strike()

    await_end(api, night.runs, look)
    night.seconds, night.after = time.monotonic() - started, stats(stack)
    _show(stack, night)
    return night


def problems(stack: NativeStack, night: Night, *, stores: int) -> list[str]:
    """What is wrong after it; empty = data equal TikTok's, and every limit held."""
    return [*_figures(stack, night, stores), *_limits(night)]


def _figures(stack: NativeStack, night: Night, stores: int) -> Iterator[str]:
    (day,) = one(
        stack.url("tiktok_sync"),
        "SELECT snapshot_date FROM sync_logs WHERE run_id = %s AND store_code IS NULL",
        night.runs["sync_video_daily"],
    )
    yield from differences(stack.url("tiktok_sync"), sandbox(stack), day)
    rows = one(
        stack.url("tiktok_sync"),
        "SELECT count(*), count(DISTINCT (job_name, store_code)) FROM sync_logs"
        " WHERE run_id = ANY(%s) AND store_code IS NOT NULL AND status = 'success'",
        list(night.runs.values()),
    )
    if rows != (2 * stores, 2 * stores):
        yield f"sync_logs has {rows} rows of success"


def _limits(night: Night) -> Iterator[str]:
    for name, slots in SLOTS.items():
        found = night.after["endpoints"][name]["in_flight_max"]
        if found > slots:
            yield f"{name}: {found} calls in flight, the pool has {slots} slots"
    for name, figures in night.after["endpoints"].items():
        refused = figures["by_code"].get("rate_limit_exceeded", 0)
        if refused:
            yield f"{name}: {refused} answers 429"
    if night.after["refreshes"] != night.before["refreshes"]:
        yield "tokens were refreshed again"
    if night.held >= MOST_CONNECTIONS * night.most:
        yield f"{night.held} of {night.most} connections"
    if night.struck_at is None or not night.lost:
        yield "nothing was lost, so nothing was tried"


def _show(stack: NativeStack, night: Night) -> None:
    night.again, most = one(
        stack.url("airflow"),
        "SELECT count(*) FILTER (WHERE try_number > 1), max(try_number)"
        " FROM task_instance WHERE run_id = ANY(%s)",
        list(night.runs.values()),
    )
    endpoints = night.after["endpoints"]
    console.print(
        f"\nboth syncs: {night.seconds:.0f} s; struck after {night.struck_at} stores, with"
        f" {night.lost} tasks in the hands of what was lost;"
        f" {night.again} tasks tried again (at most {most} tries);"
        f" in flight at most { {n: endpoints[n]['in_flight_max'] for n in SLOTS} };"
        f" answers { {n: f['by_code'] for n, f in endpoints.items() if f['by_code']} };"
        f" connections {night.held} of {night.most};"
        f" refreshes {sum(night.after['refreshes'].values())},"
        f" before {sum(night.before['refreshes'].values())}"
    )


def await_end(
    api: AirflowApi, runs: dict[str, str], look: Callable[[], None] | None = None
) -> None:
    """Wait until all runs have succeeded; ``look`` is called once a second."""
    deadline = time.monotonic() + _RUN_SECONDS
    states = dict.fromkeys(runs, "")
    while set(states.values()) - {"success"}:
        assert "failed" not in states.values(), states
        assert time.monotonic() < deadline, states
        time.sleep(1)
        if look:
            look()
        states = {dag_id: api.run_state(dag_id, run_id) for dag_id, run_id in runs.items()}
