"""Do Dags that wait for the syncs' assets get their turn, under the URIs of now and of before?"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.database.bench import Bench
from tests.database.servers.airflow_runs import Airflow, airflow_on

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "dbt_after_sync.py"

WAITING = """
from airflow.sdk import DAG, Asset
for number, asset in enumerate((
    # As versions up to 0.3 documented it.
    Asset("user_daily_stats", uri="tiktok-sync://store_db/public/user_daily_stats"),
    Asset(uri="postgres://store-db:5432/tiktok_sync/public/user_daily_stats"),
    # Airflow adds the port to the URI and not to the name that it makes of it.
    Asset(uri="postgres://store-db/tiktok_sync/public/user_daily_stats"),
    Asset("user_daily_stats", uri="postgres://elsewhere/tiktok_sync/public/user_daily_stats"),
)):
    with DAG(f"waits_{number}", schedule=[asset]):
        pass
"""


@pytest.fixture
def airflow(
    bench: Bench, new_database: Callable[[str], str], metadata_template: str, tmp_path: Path
) -> Airflow:
    found = airflow_on(bench, new_database(metadata_template), tmp_path)
    (found.project / "dags" / "waiting.py").write_text(WAITING, encoding="utf-8")
    shutil.copy(EXAMPLE, found.project / "dags")
    return found


def test_a_sync_wakes_dags_that_wait_for_its_assets_old_and_new(airflow: Airflow) -> None:
    airflow.bench.import_stores("S001")
    subprocess.run(
        [sys.executable, "-m", "airflow", "dags", "reserialize"],
        cwd=airflow.project,
        env=airflow.env,
        stdout=subprocess.DEVNULL,
        timeout=800,
        check=True,
    )
    with psycopg.connect(airflow.metadata_url, autocommit=True) as conn:
        conn.execute("UPDATE dag SET is_paused = false")

        airflow.run("sync_user_daily")

        events = conn.execute(
            "SELECT a.uri, e.source_task_id FROM asset_event AS e"
            " JOIN asset AS a ON a.id = e.asset_id ORDER BY a.uri"
        ).fetchall()
        woken = conn.execute(
            "SELECT q.target_dag_id, a.uri FROM asset_dag_run_queue AS q"
            " JOIN asset AS a ON a.id = q.asset_id ORDER BY q.target_dag_id"
        ).fetchall()
    new, old = (
        "postgres://store-db:5432/tiktok_sync/public/user_daily_stats",
        "tiktok-sync://store_db/public/user_daily_stats",
    )
    assert events == [(new, "record_summary"), (old, "record_summary")]
    # The example also waits for the videos; the last two name an asset that is not active.
    assert woken == [("dbt_after_sync", new), ("waits_0", old), ("waits_1", new)]
