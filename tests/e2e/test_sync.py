"""Both Dags through the real scheduler, into the real Postgres, against the sandbox over HTTP."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from psycopg import sql

from include.local.processes.programs import EXECUTION_API
from include.local.stack import Stack
from include.tiktok_sync.jobs import ALL_DAGS
from tests.e2e.conftest import STORES, RunningStack, paused
from tests.truth import COUNTERS, USER_COLUMNS, VIDEO_COLUMNS, differences

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SEED_QUERY = """
SELECT job_name, status, message, duration_ms / 1000 as duration_sec, run_time
FROM sync_logs WHERE store_code IS NULL ORDER BY run_time DESC LIMIT 10;
"""


def admin(stack: RunningStack, path: str) -> Any:
    answer = requests.get(f"{stack.sandbox_url}/admin/{path}", timeout=60)
    answer.raise_for_status()
    return answer.json()


def rows(stack: RunningStack, query: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(stack.db_url) as conn:
        return conn.execute(query.encode(), values).fetchall()


def snapshot(stack: RunningStack) -> Mapping[str, list[tuple[Any, ...]]]:
    """Every figure in the product's tables, without the times of observation."""
    return {
        "users": rows(
            stack,
            f"SELECT store_code, snapshot_date, {', '.join(USER_COLUMNS)}"  # noqa: S608 - fixed names
            " FROM user_daily_stats ORDER BY 1, 2",
        ),
        "videos": rows(
            stack,
            f"SELECT video_id, store_code, removed_at, {', '.join(VIDEO_COLUMNS)}"  # noqa: S608 - fixed names
            " FROM videos ORDER BY 1",
        ),
        "counters": rows(
            stack,
            f"SELECT video_id, snapshot_date, store_code, {', '.join(COUNTERS)}"  # noqa: S608 - fixed names
            " FROM video_daily_stats ORDER BY 1, 2",
        ),
    }


def wait_for_summary(stack: RunningStack, run_id: str) -> tuple[str, str]:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        found = rows(
            stack,
            "SELECT status, message FROM sync_logs WHERE run_id = %s AND store_code IS NULL",
            run_id,
        )
        if found:
            return found[0][0], found[0][1]
        time.sleep(1)
    pytest.fail(f"The run {run_id} left no summary in sync_logs")


@pytest.fixture(scope="module")
def synced(stack: RunningStack) -> RunningStack:
    """The stack after its first sync, with what the first sync printed already checked."""
    done = stack.sync()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{STORES} of {STORES} stores" in " ".join(done.stdout.split())
    assert stack.airflow_url in done.stdout
    return stack


def test_a_first_sync_leaves_no_dag_paused(synced: RunningStack) -> None:
    with psycopg.connect(Stack.load(dict(synced.env)).settings.airflow_db_url) as conn:
        query = "SELECT dag_id FROM dag WHERE dag_id = ANY(%s) AND is_paused"
        assert conn.execute(query, [list(ALL_DAGS)]).fetchall() == []


def test_a_first_sync_leaves_two_successful_summaries(synced: RunningStack) -> None:
    found = rows(synced, SEED_QUERY)
    assert sorted((row[0], row[1]) for row in found) == [
        ("sync_user_daily", "success"),
        ("sync_video_daily", "success"),
    ]


def test_a_store_costs_the_api_server_no_superfluous_call(synced: RunningStack) -> None:
    file = Stack.load(dict(synced.env)).workspace.log_file(EXECUTION_API)
    log = file.read_text(encoding="utf-8")
    calls: dict[str, list[str]] = {}
    for task, call in re.findall(r"path=/execution/task-instances/([-0-9a-f]{36})/(\S+)", log):
        calls.setdefault(task, []).append(call)
    stores = {task: asked for task, asked in calls.items() if "rendered-map-index" in asked}
    with psycopg.connect(Stack.load(dict(synced.env)).settings.airflow_db_url) as conn:
        query = "SELECT id::text, extract(epoch FROM end_date - start_date) FROM task_instance"
        took: dict[str, Any] = dict(conn.execute(query).fetchall())

    # Besides these there is the XCom with the store; connections and template fields cost none.
    once = [sorted(set(asked)) for asked in stores.values()]
    assert once == [["heartbeat", "rendered-map-index", "run", "state"]] * (2 * STORES)
    for task, asked in stores.items():
        # It says that it lives when it begins and every 20 s; a slow machine may need as long.
        beats = 1 + (took[task] + 2) // 20
        assert len(asked) <= len(once[0]) - 1 + beats, (asked, took[task])
    assert "/execution/connections/" not in log


def test_every_figure_is_the_sandboxs_own(synced: RunningStack) -> None:
    assert len(admin(synced, "truth")) == STORES
    days = rows(synced, "SELECT DISTINCT snapshot_date FROM sync_logs")
    assert len(days) == 1
    assert differences(synced.db_url, synced.sandbox_url, days[0][0]) == []
    assert rows(synced, "SELECT FROM videos WHERE removed_at IS NOT NULL") == []


def test_the_pools_bound_what_tiktok_sees_and_no_dead_token_is_used(synced: RunningStack) -> None:
    stats = admin(synced, "stats")
    calls = stats["endpoints"]
    assert 0 < calls["user_info"]["in_flight_max"] <= 30
    assert 0 < calls["video_list"]["in_flight_max"] <= 20
    assert set(calls["user_info"]["by_code"]) == {"ok"}
    assert set(calls["video_list"]["by_code"]) == {"ok"}
    assert stats["dead_token_uses"] == 0


def test_each_expired_token_is_refreshed_once_by_both_dags_together(synced: RunningStack) -> None:
    refreshes = admin(synced, "stats")["refreshes"]
    assert set(refreshes.values()) == {1}
    assert len(refreshes) == STORES // 4


def test_a_second_sync_changes_no_row_and_refreshes_nothing(synced: RunningStack) -> None:
    before, refreshes = snapshot(synced), admin(synced, "stats")["refreshes"]
    again = synced.sync()
    assert again.returncode == 0, again.stdout + again.stderr
    assert snapshot(synced) == before
    assert admin(synced, "stats")["refreshes"] == refreshes
    assert len(rows(synced, "SELECT FROM sync_logs WHERE store_code IS NULL")) == 4


def test_progress_lines_are_on_the_schedulers_output_and_in_the_task_logs(
    synced: RunningStack,
) -> None:
    state = Path(synced.env["LOCAL_STATE_DIR"])
    wanted = f'"processed":{STORES},"total":{STORES},"percent":100,"msg":"Sync progress"}}'
    scheduler = (state / "logs" / "scheduler.log").read_text(encoding="utf-8")
    assert wanted in scheduler
    connections = r'"totalCount":\d+,"idleCount":\d+,"waitingCount":\d+,"msg":"Database pool stat'
    assert re.search(connections, scheduler)
    events = [
        json.loads(line)["event"]
        for log in (state / "airflow" / "logs").rglob("dag_id=sync_*/**/*.log")
        for line in log.read_text(encoding="utf-8").splitlines()
        if "Sync progress" in line
    ]
    assert {json.loads(event)["total"] for event in events} == {STORES}


def test_a_triggered_run_syncs_just_the_stores_it_names(synced: RunningStack) -> None:
    run_id = "by-hand"
    triggered = synced.run(
        [
            *("airflow", "dags", "trigger", "sync_user_daily", "--run-id", run_id),
            *("--conf", '{"stores": ["S001"]}'),
        ]
    )
    assert triggered.returncode == 0, triggered.stderr
    assert wait_for_summary(synced, run_id) == ("success", "1 of 1 stores synced")
    synced_codes = rows(
        synced,
        "SELECT store_code FROM sync_logs WHERE run_id = %s AND store_code IS NOT NULL",
        run_id,
    )
    assert synced_codes == [("S001",)]


def test_dags_test_syncs_just_the_stores_it_names(synced: RunningStack) -> None:
    conf = '{"stores": ["S002", "S003"]}'
    with paused(synced, "sync_user_daily"):
        tested = synced.run(["airflow", "dags", "test", "sync_user_daily", "-c", conf])
    assert tested.returncode == 0, tested.stdout + tested.stderr
    newest = rows(
        synced,
        "SELECT store_code FROM sync_logs WHERE run_id = (SELECT run_id FROM sync_logs"
        " ORDER BY run_time DESC LIMIT 1) AND store_code IS NOT NULL ORDER BY 1",
    )
    assert newest == [("S002",), ("S003",)]


def test_a_finding_of_the_data_checks_is_reported_and_the_run_succeeds(
    synced: RunningStack,
) -> None:
    run_id = "day-before"
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    triggered = synced.run(
        [
            *("airflow", "dags", "trigger", "sync_user_daily", "--run-id", run_id),
            *("--logical-date", yesterday.isoformat(), "--conf", '{"stores": ["S001"]}'),
        ]
    )
    assert triggered.returncode == 0, triggered.stderr
    assert wait_for_summary(synced, run_id) == (
        "success",
        "1 of 1 stores synced (1 filled late); 1 warning",
    )
    ((warnings,),) = rows(
        synced,
        "SELECT details -> 'warnings' FROM sync_logs WHERE run_id = %s AND store_code IS NULL",
        run_id,
    )
    assert [(item["check"], item["found"], item["examples"]) for item in warnings] == [
        ("user_rows_late", 1, ["S001"])
    ]
    assert synced.end("sync_user_daily", run_id) == "success"


def test_an_unknown_store_is_refused_by_name_before_anything_is_called(
    synced: RunningStack,
) -> None:
    calls = admin(synced, "stats")["endpoints"]["video_list"]["calls"]
    run_id = "unknown-store"
    synced.trigger("sync_video_daily", run_id, stores=["S001", "S9999"])
    status, message = wait_for_summary(synced, run_id)
    assert status == "failed"
    assert "S9999" in message
    assert admin(synced, "stats")["endpoints"]["video_list"]["calls"] == calls


def test_a_dry_run_calls_tiktok_and_writes_nothing(synced: RunningStack) -> None:
    before = snapshot(synced)
    logged = rows(synced, "SELECT count(*) FROM sync_logs")
    calls = admin(synced, "stats")["endpoints"]["video_list"]["calls"]
    run_id = "dry"
    synced.trigger("sync_video_daily", run_id, stores=["S001", "S004"], dry_run=True)
    assert synced.end("sync_video_daily", run_id) == "success"
    assert admin(synced, "stats")["endpoints"]["video_list"]["calls"] > calls
    state = Path(synced.env["LOCAL_STATE_DIR"])
    logs = (state / "airflow" / "logs").rglob(f"run_id={run_id}/**/*.log")
    assert any("Dry run, nothing written" in log.read_text("utf-8") for log in logs)
    assert rows(synced, "SELECT count(*) FROM sync_logs") == logged
    assert snapshot(synced) == before


def test_tokens_are_refreshed_in_batches_ahead_of_the_night(synced: RunningStack) -> None:
    with psycopg.connect(synced.db_url) as conn:
        conn.execute(
            "UPDATE store_tokens SET access_expires_at = now() + interval '1 hour',"
            " refresh_expires_at = CASE store_code WHEN 'S007' THEN now() + interval '9 days'"
            " ELSE refresh_expires_at END WHERE store_code IN ('S001', 'S002', 'S007')"
        )
    before = Counter(admin(synced, "stats")["refreshes"])
    run_id = "refresh-ahead"
    synced.trigger("refresh_tokens", run_id)
    status, message = wait_for_summary(synced, run_id)
    assert status == "success"
    assert message.startswith(f"{STORES} of {STORES} stores synced")
    after = Counter(admin(synced, "stats")["refreshes"])
    assert after - before == Counter({"S001": 1, "S002": 1, "S007": 1})
    ((found,),) = rows(
        synced,
        "SELECT details -> 'warnings' FROM sync_logs WHERE run_id = %s AND store_code IS NULL",
        run_id,
    )
    # The refresh moved the end that this test made up back to TikTok's own.
    assert found in (None, [])
    said = rows(
        synced,
        "SELECT message FROM sync_logs WHERE run_id = %s AND store_code = 'S001'",
        run_id,
    )
    assert said[0][0].startswith("Token refreshed, valid until ")


def test_no_secret_is_anywhere_but_encrypted(synced: RunningStack) -> None:
    secrets = [
        secret
        for found in admin(synced, "secrets").values()
        for secret in (found if isinstance(found, list) else [found])
    ]
    assert len(secrets) > 2 * STORES
    state = Path(synced.env["LOCAL_STATE_DIR"])
    airflow_url = Stack.load(dict(synced.env)).settings.airflow_db_url
    places = {
        **{f"store database: {t}": dump for t, dump in dump_tables(synced.db_url).items()},
        **{f"metadata database: {t}": dump for t, dump in dump_tables(airflow_url).items()},
        **{
            str(log.relative_to(state)): log.read_text("utf-8", errors="replace")  # being written
            for folder in (state / "logs", state / "airflow" / "logs")
            for log in folder.rglob("*.log")
        },
    }
    assert any("task_id=sync_store_user" in place for place in places)
    leaks = sorted(
        {
            place
            for place, text in places.items()
            if any(secret in text for secret in secrets) or "rft." in text
        }
    )
    assert leaks == []


def dump_tables(url: str) -> dict[str, str]:
    with psycopg.connect(url) as conn:
        tables = [
            name
            for (name,) in conn.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            )
        ]
        dumps = {}
        for table in tables:
            copy = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(table))
            with conn.cursor().copy(copy) as lines:
                dumps[table] = b"".join(bytes(line) for line in lines).decode(errors="replace")
    return dumps


def test_no_active_store_ends_as_a_skipped_run_with_its_reason(synced: RunningStack) -> None:
    done = synced.sync(STORES="0")
    assert done.returncode == 0, done.stdout + done.stderr
    newest = rows(synced, SEED_QUERY)[:2]
    with psycopg.connect(synced.db_url) as conn:
        conn.execute("UPDATE stores SET is_active = true")
    assert {row[1] for row in newest} == {"skipped"}
    assert all("No active store" in row[2] for row in newest)


def test_a_store_gets_a_link_that_opens_the_connect_app(synced: RunningStack) -> None:
    synced.up()
    done = synced.run("python -m include.tiktok_sync stores link S001 --json")
    assert done.returncode == 0, done.stderr
    page = requests.get(json.loads(done.stdout)["url"], timeout=30)
    assert page.status_code == 200
    assert "Continue to TikTok" in page.text
