"""Are the grants of the Accounts API refreshed by a Dag of their own, as those of the first are?"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.airflow_settings import SETTINGS_FILE, connection_variables, read_settings
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import ConfigurationError, RateLimitedError, SyncError
from include.tiktok_sync.jobs import INSIGHTS_JOB, INSIGHTS_SWITCH, REFRESH_BUSINESS_JOB
from include.tiktok_sync.sync.token_refresh import FRESH_FOR
from tests.database.bench import together
from tests.database.business.conftest import CODES, BusinessBench
from tests.database.commands import run_command
from tests.database.task_bodies import task_context
from tests.sandbox_server import BUSINESS_APP
from tiktok_airflow.retry_policy import SyncRetryPolicy
from tiktok_airflow.tasks import sync as sync_tasks

CONNECTION = "AIRFLOW_CONN_TIKTOK_BUSINESS"

EXPIRED = "UPDATE business_tokens SET access_expires_at = now()"


def context(job: str = REFRESH_BUSINESS_JOB, **ti: Any) -> dict[str, Any]:
    found = task_context(xcom_push=lambda *_: None, **ti)
    found["dag_run"].dag_id = found["ti"].dag_id = job
    return found


def refresh(*codes: str, job: str = REFRESH_BUSINESS_JOB) -> None:
    sync_tasks.sync_stores(job, codes, context(job))


def sum_up(*codes: str, job: str = REFRESH_BUSINESS_JOB) -> None:
    sync_tasks.record_summary(context(job, xcom_pull=lambda **_: [list(codes)]))


def refreshes(bench: BusinessBench) -> int:
    return bench.calls().get("business_refresh", 0)


@pytest.fixture
def tasks(bench: BusinessBench, monkeypatch: pytest.MonkeyPatch) -> BusinessBench:
    """The bench, with the environment of Airflow's tasks."""
    env = {
        "STORE_DB_URL": bench.db_url,
        "TIKTOK_BUSINESS_URL": bench.sandbox.url,
        INSIGHTS_SWITCH: BUSINESS_APP["app_id"],
        "TIKTOK_BUSINESS_SECRET": BUSINESS_APP["secret"],
    }
    for name, value in connection_variables(read_settings(SETTINGS_FILE, env)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIKTOK_TOKEN_KEYS", ",".join(bench.settings.token_keys))
    monkeypatch.setenv("TIKTOK_RATE_LIMIT_PER_MINUTE", "0")
    monkeypatch.setenv("AIRFLOW_VAR_TIKTOK_MIN_SUCCESS_RATE", "0.9")
    return bench


def test_every_active_store_with_the_second_consent_is_refreshed_and_nothing_else(
    tasks: BusinessBench,
) -> None:
    tasks.conn.execute("DELETE FROM business_tokens WHERE store_code = 'S002'")
    tasks.conn.execute("UPDATE stores SET is_active = false WHERE store_code = 'S003'")
    tasks.conn.execute(EXPIRED)
    first = tasks.rows("SELECT * FROM store_tokens ORDER BY 1")
    (batch,) = sync_tasks.list_stores(context(), 50)
    assert batch == ["S001", *CODES[3:]]

    refresh(*batch)
    sum_up(*batch)

    fresh = tasks.rows(
        "SELECT store_code FROM business_tokens WHERE access_expires_at > %s ORDER BY 1",
        utc_now() + FRESH_FOR,
    )
    assert [found["store_code"] for found in fresh] == batch
    assert tasks.rows("SELECT * FROM store_tokens ORDER BY 1") == first
    row = tasks.log_row("S001")
    assert (row["job_name"], row["status"]) == ("refresh_business_tokens", "success")
    assert row["message"].startswith("Token refreshed, valid until")
    summary = tasks.row("SELECT job_name, message FROM sync_logs WHERE store_code IS NULL")
    assert summary == {
        "job_name": "refresh_business_tokens",
        "message": f"{len(batch)} of {len(batch)} stores synced",
    }
    asked = refreshes(tasks)
    refresh(*batch)
    assert refreshes(tasks) == asked


def test_the_night_begins_whatever_tiktok_says_of_a_token_that_cannot_exist(
    tasks: BusinessBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    switched = {"business": {"unknown_refresh_token": "40002"}}
    tasks.sandbox.admin("PATCH", "/settings", json=switched)
    assert sync_tasks.list_stores(context(), 50) == [CODES]
    assert refreshes(tasks) == 1  # that was the check of the app
    wrong = os.environ[CONNECTION].replace(BUSINESS_APP["secret"], "another-one")
    monkeypatch.setenv(CONNECTION, wrong)
    with pytest.raises(ConfigurationError, match="tiktok_business"):
        sync_tasks.list_stores(context(), 50)


def test_an_app_that_is_restricted_asks_for_no_token_until_five_minutes_later(
    tasks: BusinessBench,
) -> None:
    tasks.conn.execute(EXPIRED)
    rule = {"fault": "business_too_many", "endpoints": ["business_refresh"], "times": 1}
    tasks.sandbox.admin("POST", "/faults", json={"rules": [rule]})
    for number, job in ((1, REFRESH_BUSINESS_JOB), (2, REFRESH_BUSINESS_JOB), (3, INSIGHTS_JOB)):
        with pytest.raises(RateLimitedError) as caught:
            refresh(f"S{number:03}", job=job)
        again = SyncRetryPolicy().evaluate(caught.value, 1, 3)
        assert again.action is RetryAction.RETRY
        assert again.retry_delay is not None
        assert timedelta(seconds=270) < again.retry_delay <= timedelta(minutes=5)
    assert refreshes(tasks) == 1
    tasks.conn.execute("UPDATE rate_limits SET paused_until = clock_timestamp()")
    refresh("S001", "S002", "S003")
    assert refreshes(tasks) == 4


def test_it_and_the_insights_refresh_a_store_once_between_them(tasks: BusinessBench) -> None:
    sync_tasks.list_stores(context(INSIGHTS_JOB), None)  # makes what the rows go into
    tasks.conn.execute(EXPIRED)
    before = refreshes(tasks)
    jobs = (REFRESH_BUSINESS_JOB, INSIGHTS_JOB)

    together(2, lambda number: refresh("S001", job=jobs[number]))

    done = tasks.rows("SELECT status, (details ->> 'refreshes')::int AS n FROM sync_logs")
    assert [found["status"] for found in done] == ["success"] * 2
    assert (sum(found["n"] for found in done), refreshes(tasks) - before) == (1, 1)


def test_a_dead_grant_is_marked_and_raises_one_alert_that_names_the_api(
    tasks: BusinessBench,
) -> None:
    tasks.business_grant("S001", revoke=True)
    tasks.conn.execute(EXPIRED)
    for job in (REFRESH_BUSINESS_JOB, INSIGHTS_JOB):
        with pytest.raises(AirflowSkipException, match="for the Accounts API has ended"):
            refresh("S001", job=job)
        sum_up("S001", job=job)

    assert tasks.status_of("S001") == "needs_consent"
    alert = tasks.row("SELECT kind, job_name, store_code, message FROM alerts")
    assert alert["job_name"] == REFRESH_BUSINESS_JOB
    assert "for the Accounts API has ended" in alert["message"]
    assert tasks.row("SELECT status FROM store_tokens WHERE store_code = 'S001'") == {
        "status": "active"
    }


def test_a_missing_permission_is_named_as_one_of_the_accounts_api(tasks: BusinessBench) -> None:
    tasks.conn.execute(
        "UPDATE business_tokens SET status = 'missing_scope',"
        " scope = replace(scope, 'video.insights', 'none') WHERE store_code = 'S001'"
    )
    refresh("S001")
    sum_up("S001")
    message = tasks.row("SELECT message FROM alerts")["message"]
    assert message.startswith("Not granted for the Accounts API: video.insights.")


def test_many_refusals_at_once_mark_no_store(tasks: BusinessBench) -> None:
    for code in CODES:
        tasks.business_grant(code, revoke=True)
    tasks.conn.execute(EXPIRED)
    with pytest.raises(SyncError):
        refresh(*CODES)
    with pytest.raises(AirflowFailException):
        sum_up(*CODES)
    assert {tasks.status_of(code) for code in CODES} == {"active"}
    assert {found["kind"] for found in tasks.rows("SELECT kind FROM alerts")} == {
        "run_failed",
        "refusals_doubted",
    }


def test_the_command_refreshes_one_store(bench: BusinessBench, command_env: dict[str, str]) -> None:
    env = {
        **command_env,
        "TIKTOK_BUSINESS_URL": bench.settings.business_url,
        INSIGHTS_SWITCH: bench.settings.business_app_id,
        "TIKTOK_BUSINESS_SECRET": bench.settings.business_secret,
    }
    bench.conn.execute(EXPIRED)
    done = run_command(env, "sync-store", "S001", "--job", "refresh-business")
    assert (done.returncode, done.stdout[:21]) == (0, "S001: Token refreshed")
    assert bench.log_row("S001")["job_name"] == REFRESH_BUSINESS_JOB


def test_a_dry_run_refreshes_nothing(tasks: BusinessBench) -> None:
    tasks.conn.execute(
        "UPDATE business_tokens SET access_expires_at = %s", [utc_now() + timedelta(minutes=80)]
    )
    asked = refreshes(tasks)
    dry = context()
    dry["params"]["dry_run"] = True
    sync_tasks.sync_stores(REFRESH_BUSINESS_JOB, ["S001"], dry)
    assert refreshes(tasks) == asked
