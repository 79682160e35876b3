"""The tasks of the third Dag: which stores, with which app, and which days do they refuse?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from include.airflow_settings import SETTINGS_FILE, connection_variables, read_settings
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import INSIGHTS_JOB, INSIGHTS_SWITCH
from include.tiktok_sync.sync.insights.account import utc_today
from tests.database.sync.insights.worlds import InsightsBench
from tests.database.task_bodies import task_context
from tests.sandbox_server import BUSINESS_APP
from tiktok_airflow.tasks import sync as sync_tasks


def context(days_ago: int = 0, *stores: str) -> dict[str, Any]:
    found = task_context(days_ago, xcom_push=lambda *_: None)
    found["dag_run"].dag_id = found["ti"].dag_id = INSIGHTS_JOB
    found["params"]["stores"] = list(stores)
    return found


@pytest.fixture
def tasks(world: InsightsBench, monkeypatch: pytest.MonkeyPatch) -> InsightsBench:
    """Three stores, of which one gave no second consent, and the environment of Airflow's tasks."""
    world.bench.import_stores("S001", "S002", "S003")
    world.bench.conn.execute("DELETE FROM business_tokens WHERE store_code = 'S002'")
    sandbox = world.bench.sandbox
    env = {
        "STORE_DB_URL": world.bench.db_url,
        "TIKTOK_BUSINESS_URL": sandbox.url,
        INSIGHTS_SWITCH: BUSINESS_APP["app_id"],
        "TIKTOK_BUSINESS_SECRET": BUSINESS_APP["secret"],
    }
    for name, value in connection_variables(read_settings(SETTINGS_FILE, env)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIKTOK_TOKEN_KEYS", ",".join(world.bench.settings.token_keys))
    monkeypatch.setenv("TIKTOK_RATE_LIMIT_PER_MINUTE", "0")
    return world


def test_stores_without_the_second_consent_are_left_out_of_the_night(tasks: InsightsBench) -> None:
    assert sync_tasks.list_stores(context(), None) == [["S001"], ["S003"]]
    made = tasks.bench.row(
        "SELECT count(*) AS n FROM pg_inherits WHERE inhparent = 'video_insights_daily'::regclass"
    )
    assert made["n"] >= 4

    sync_tasks.sync_stores(INSIGHTS_JOB, ["S001"], context())

    row = tasks.bench.log_row("S001")
    assert (row["job_name"], row["status"]) == (INSIGHTS_JOB, "success")
    assert tasks.days("S001")
    called = tasks.bench.calls().keys()
    assert {"business_get", "business_video_list"} <= called
    assert all(name.startswith("business_") for name in called)


def test_a_backfill_beyond_sixty_days_is_refused_before_any_store(tasks: InsightsBench) -> None:
    first = utc_today() - timedelta(days=60)
    with pytest.raises(ConfigurationError, match=r"begin the backfill on .* or later") as refused:
        sync_tasks.list_stores(context(62), None)
    assert str(first) in str(refused.value)
    assert tasks.bench.calls() == {}
    assert sync_tasks.list_stores(context(59), None) == [["S001"], ["S003"]]
