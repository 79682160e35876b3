"""Services of the file that are not there every night: Prometheus, backup and restore."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest
import requests
import yaml

from include.local.ports import HOST
from tests.compose.compose_file import ROOT
from tests.compose.conftest import BACKUP_FILE, STORES, Doctor
from tests.compose.native_stack import NativeStack


@pytest.mark.timeout(300)
def test_prometheus_takes_its_rules_and_asks_the_exporter(stack: NativeStack) -> None:
    stack.up("prometheus")

    base = f"http://{HOST}:{stack.port('prometheus', 9090)}/api/v1"
    groups = requests.get(f"{base}/rules", timeout=60).json()["data"]["groups"]
    loaded = {rule["name"] for group in groups for rule in group["rules"]}
    written = yaml.safe_load((ROOT / "deploy/monitoring/alerts.yaml").read_text(encoding="utf-8"))
    assert loaded == {rule["alert"] for group in written["groups"] for rule in group["rules"]}
    deadline = (
        time.monotonic() + 120
    )  # Prometheus takes up its targets some seconds after its start
    while (jobs := asked_of(base)) != {"airflow", "prometheus"}:
        assert time.monotonic() < deadline, jobs
        time.sleep(1)


@pytest.mark.timeout(600)
def test_a_backup_is_restored_into_a_new_database_and_nowhere_else(
    stack: NativeStack, doctor: Doctor, backups: Path
) -> None:
    stack.run_to_end("backup")
    (dump,) = backups.glob("tiktok_sync-*.dump")
    dump.rename(backups / BACKUP_FILE)
    with pytest.raises(AssertionError, match=f"holds {STORES} stores already"):
        stack.run_to_end("restore")
    before = counts(stack)

    with psycopg.connect(stack.url("postgres"), autocommit=True) as conn:
        # Closed first: the pooler would be back before the database has its new name.
        conn.execute("ALTER DATABASE tiktok_sync ALLOW_CONNECTIONS false")
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tiktok_sync'"
        )
        conn.execute("ALTER DATABASE tiktok_sync RENAME TO lost")
    stack.run_to_end("init")
    assert counts(stack)["stores"] == 0
    stack.run_to_end("restore")
    stack.run_to_end("init")

    assert counts(stack) == before
    found = doctor()
    assert {n: f["text"] for n, f in found.items() if f["status"] in {"fail", "skip"}} == {}
    assert found["stored tokens"]["text"] == f"{STORES} read, all decrypted"


def asked_of(base: str) -> set[str]:
    """The jobs that Prometheus asks for figures."""
    targets = requests.get(f"{base}/targets", timeout=60).json()["data"]["activeTargets"]
    return {target["labels"]["job"] for target in targets}


def counts(stack: NativeStack) -> dict[str, int]:
    """Rows by table."""
    query = """
        SELECT 'stores', count(*) FROM stores
        UNION ALL SELECT 'store_tokens', count(*) FROM store_tokens
        UNION ALL SELECT 'user_daily_stats', count(*) FROM user_daily_stats
        UNION ALL SELECT 'videos', count(*) FROM videos
        UNION ALL SELECT 'video_daily_stats', count(*) FROM video_daily_stats
    """
    with psycopg.connect(stack.url("tiktok_sync")) as conn:
        return dict(conn.execute(query).fetchall())
