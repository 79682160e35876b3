"""The bodies of tasks without Airflow around them: the context and the connections they look up."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from include.airflow_settings import SETTINGS_FILE, connection_variables, read_settings
from include.tiktok_sync.jobs import USER_JOB
from include.tiktok_sync.sync.repository import StoreRepository
from tests.database.bench import UTC, Bench, today
from tests.sandbox_server import SandboxServer


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


def connections(db_url: str, sandbox: SandboxServer | None = None) -> dict[str, str]:
    """``AIRFLOW_CONN_…`` variables that lead to a database, and to a sandbox."""
    env = {"STORE_DB_URL": db_url}
    if sandbox is not None:
        env |= {
            "TIKTOK_API_URL": sandbox.url,
            "TIKTOK_CLIENT_KEY": sandbox.client_key,
            "TIKTOK_CLIENT_SECRET": sandbox.client_secret,
        }
    return connection_variables(read_settings(SETTINGS_FILE, env))


def set_airflow_env(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench's database, TikTok and keys in the environment, as Airflow's tasks find them."""
    for name, value in connections(bench.db_url, bench.sandbox).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIKTOK_TOKEN_KEYS", ",".join(bench.settings.token_keys))


def prepare_tasks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, with every store imported and a rate limit that holds nobody up."""
    set_airflow_env(bench, monkeypatch)
    monkeypatch.setenv("AIRFLOW_VAR_TIKTOK_MIN_SUCCESS_RATE", "0.9")
    monkeypatch.setenv("TIKTOK_RATE_LIMIT_PER_MINUTE", "600")
    bench.import_stores()
    for days in (1, 0):  # on the 1st the day before is another month's
        StoreRepository(bench.conn).ensure_partitions(today().date - timedelta(days=days))
