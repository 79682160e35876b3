"""Operations on a running Airflow: the doctor asks it, the retention Dag thins through it."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.e2e.conftest import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def doctor(stack: RunningStack, **env: str) -> dict[str, dict[str, str]]:
    """The doctor's findings by check; how full the disk is is this machine's own affair."""
    change = ["env", *(f"{name}={value}" for name, value in env.items())]
    done = stack.run([*change, "python", "-m", "include.tiktok_sync", "doctor", "--json"])
    found = {line["check"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert found, done.stderr
    found.pop("disk")
    return found


def test_doctor_finds_the_stack_healthy_and_pools_that_differ_from_settings(
    stack: RunningStack,
) -> None:
    healthy = doctor(stack)
    other = doctor(stack, SYNC_CONCURRENCY="31")
    locked_out = doctor(stack, AIRFLOW_ADMIN_PASSWORD="wrong")

    assert {n: f["text"] for n, f in healthy.items() if f["status"] in {"fail", "skip"}} == {}
    assert {"Airflow's scheduler", "pool tiktok_users", "connection store_db"} <= set(healthy)
    assert other["pool tiktok_users"]["text"] == "has 30 slots, SYNC_CONCURRENCY says 31"
    assert locked_out["Airflow"]["status"] == "fail"
    assert "HTTP 401" in locked_out["Airflow"]["text"]


def test_retention_dag_thins_only_when_told_to(stack: RunningStack) -> None:
    stack.api.unpause("apply_retention")
    with psycopg.connect(stack.db_url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO stores (store_code, store_name, is_active) VALUES ('OLD', '', false)"
        )
        conn.execute(
            "INSERT INTO videos (video_id, store_code, first_seen_at, last_seen_at)"
            " VALUES ('old', 'OLD', now(), now())"
        )
        conn.execute("SELECT ensure_video_daily_stats_partitions('2024-01-01', 1)")
        conn.execute(
            "INSERT INTO video_daily_stats (video_id, store_code, snapshot_date, observed_at)"
            " SELECT 'old', 'OLD', day, day"
            " FROM generate_series(date '2024-01-01', date '2024-02-11', '1 day') AS day"
        )  # six weeks from Monday to Sunday

        def days() -> int:
            query = "SELECT count(*) FROM video_daily_stats WHERE video_id = 'old'"
            return int((conn.execute(query).fetchone() or (0,))[0])

        try:
            stack.trigger("apply_retention", "dry")
            assert stack.end("apply_retention", "dry") == "success"
            assert days() == 42
            stack.trigger("apply_retention", "real", dry_run=False)
            assert stack.end("apply_retention", "real") == "success"
            assert days() == 6
        finally:
            conn.execute("DELETE FROM stores WHERE store_code = 'OLD'")
