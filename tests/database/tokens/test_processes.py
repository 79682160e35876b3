"""Do separate processes, which share nothing but the database, refresh a store exactly once?"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import psycopg

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.settings import Settings
from tests.database.bench import Bench

EXPIRED = "S004"
PROCESSES = 20
PATIENCE_S = 600


@dataclass(frozen=True)
class Task:
    """What a process needs to know."""

    db_url: str
    app: TikTokApp
    settings: Settings


def refresh(task: Task, gate: Barrier, found: Queue[tuple[str, int]]) -> None:
    """Ask for the store's token at the same moment as all others."""
    with psycopg.connect(task.db_url, autocommit=True) as conn, task.app.transport() as http:
        client = task.app.client(EXPIRED, http=http, conn=conn, settings=task.settings)
        gate.wait(PATIENCE_S)
        found.put((client.tokens.access_token(), client.tokens.refreshes))


def test_twenty_processes_refresh_one_store_with_one_call(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    bench.sandbox.admin("PATCH", "/settings", json={"latency": {"oauth_token": 0.3}})
    # Forks of one fresh process that has imported all this, so that it is imported once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    gate, found = context.Barrier(PROCESSES), context.Queue()
    task = Task(bench.db_url, bench.app, bench.settings)
    processes = [
        context.Process(target=refresh, args=(task, gate, found)) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    try:
        answers = [found.get(timeout=PATIENCE_S) for _ in processes]
    finally:
        for process in processes:
            process.join(PATIENCE_S)
    newest = bench.sandbox.row(EXPIRED)["access_token"]
    assert {token for token, _ in answers} == {newest}
    assert sorted(refreshes for _, refreshes in answers) == [0] * (PROCESSES - 1) + [1]
    stats = bench.stats()
    assert (stats["refreshes"], stats["refresh_calls"]) == ({EXPIRED: 1}, 1)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
