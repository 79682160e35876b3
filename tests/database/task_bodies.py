"""The bodies of tasks without Airflow around them: the context and the connections they look up."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from include.tiktok_sync.repository import StoreRepository
from include.tiktok_sync.store_run import USER_JOB
from tests.database.bench import UTC, Bench, today


def task_context(days_ago: int = 0, **ti: Any) -> dict[str, Any]:
    """What of Airflow's context the bodies read; ``ti`` adds to the task instance."""
    now = datetime.now(UTC)
    return {
        "params": {"stores": [], "dry_run": False},
        "run_id": "run-1",
        "dag_run": SimpleNamespace(
            dag_id=USER_JOB,
            run_id="run-1",
            run_type="scheduled",
            logical_date=now - timedelta(days=days_ago),
            run_after=now,
            start_date=now,
        ),
        "ti": SimpleNamespace(dag_id=USER_JOB, task_id="task", map_index=0, **ti),
        "task": SimpleNamespace(execution_timeout=timedelta(minutes=10), upstream_task_ids=set()),
    }


def set_airflow_env(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench's database, TikTok and keys in the environment, as Airflow's tasks find them."""
    parts: Any = conninfo_to_dict(bench.db_url)
    store_db = {
        "conn_type": "postgres",
        "host": parts["host"],
        "port": int(parts["port"]),
        "login": parts["user"],
        "password": parts["password"],
        "schema": parts["dbname"],
    }
    tiktok = {
        "conn_type": "http",
        "host": bench.sandbox.url,
        "login": bench.sandbox.client_key,
        "password": bench.sandbox.client_secret,
    }
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", json.dumps(store_db))
    monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_DEFAULT", json.dumps(tiktok))
    monkeypatch.setenv("TIKTOK_TOKEN_KEYS", ",".join(bench.settings.token_keys))


def prepare_tasks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, with every store imported and a rate limit that holds nobody up."""
    set_airflow_env(bench, monkeypatch)
    monkeypatch.setenv("AIRFLOW_VAR_TIKTOK_MIN_SUCCESS_RATE", "0.9")
    monkeypatch.setenv("TIKTOK_RATE_LIMIT_PER_MINUTE", "600")
    bench.import_stores()
    StoreRepository(bench.conn).ensure_partitions(today().date)
