"""How many connections are in use, and who says so, and how often?"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
import structlog

from include.tiktok_sync.jobs import REFRESH_JOB, RunKey
from include.tiktok_sync.store_db import database
from include.tiktok_sync.store_db.connections import ConnectionUse, connection_use
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync import store_run
from include.tiktok_sync.sync.sync_log import SyncLog
from tests.database.bench import UTC, Bench, today


def test_each_connection_of_the_product_is_counted_by_what_it_does(
    db_url: str, conn: Connection
) -> None:
    with (
        database.connect(db_url, application_name="tiktok_sync:one") as asking,
        database.connect(db_url, application_name="airflow:sync_user_daily.sync_store_user[7]"),
        database.connect(db_url, application_name="airflow:holds") as holds,
        database.connect(db_url, application_name="airflow:waits") as waits,
        psycopg.connect(db_url, application_name="psql"),
        ThreadPoolExecutor() as threads,
    ):
        holds.execute("SELECT pg_advisory_lock(1)")
        before = connection_use(asking)
        waiting = threads.submit(waits.execute, "SELECT pg_advisory_lock(1)")
        deadline = datetime.now(UTC) + timedelta(seconds=60)
        while (found := connection_use(asking)).waiting == 0:
            assert datetime.now(UTC) < deadline, found
        holds.execute("SELECT pg_advisory_unlock(1)")
        waiting.result(timeout=60)

    most = int(conn.execute("SHOW max_connections").fetchall()[0][0])
    assert before == ConnectionUse(total=4, idle=3, waiting=0, most=most)
    assert found == ConnectionUse(total=4, idle=2, waiting=1, most=most)


def test_the_line_is_the_earlier_systems_and_says_more_behind_it() -> None:
    assert ConnectionUse(total=45, idle=20, waiting=0, most=100).line() == (
        '{"totalCount":45,"idleCount":20,"waitingCount":0,"msg":"Database pool statistics",'
        '"maxConnections":100}'
    )


def test_the_first_store_of_a_minute_is_the_one_that_says_so(conn: Connection) -> None:
    log, run = SyncLog(conn), RunKey(REFRESH_JOB, "night", today().date)
    minute = datetime(2026, 11, 24, 2, 5, tzinfo=UTC)
    recorded = {
        "S001": minute - timedelta(seconds=1),
        "S002": minute,
        "S003": minute + timedelta(seconds=1),
        "S004": minute + timedelta(seconds=59),
        "S005": minute + timedelta(seconds=60),
    }
    for code, at in recorded.items():
        conn.execute("INSERT INTO stores (store_code, store_name) VALUES (%s, 'Store')", [code])
        log.record(run, code, "success", "done", duration_ms=1, details={})
        conn.execute("UPDATE sync_logs SET run_time = %s WHERE store_code = %s", [at, code])
    log.record(run, None, "success", "the summary is no store", duration_ms=1, details={})

    first = [code for code, at in recorded.items() if log.progress(run, at).first_of_minute]

    assert first == ["S001", "S002", "S005"]


def test_a_synced_store_logs_it_next_to_the_progress(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = structlog.testing.CapturingLogger()
    monkeypatch.setattr(store_run, "log", logs)
    bench.import_stores("S001")
    bench.sync(REFRESH_JOB, "S001")

    events = [call.args[0] for call in logs.calls]
    lines: list[dict[str, Any]] = [json.loads(text) for text in events if text.startswith("{")]
    assert [line["msg"] for line in lines] == ["Sync progress", "Database pool statistics"]
    assert lines[1]["totalCount"] >= lines[1]["idleCount"] >= 0
    assert lines[1]["waitingCount"] == 0
