"""Do stores that come and are renamed make new versions of the Dags? By the real Dag processor.

Airflow keeps a version of a Dag for each change of what it serialises, once a run has used the one
before; nothing that changes from day to day may be a part of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.database.bench import Bench
from tests.database.servers.metadata import sqlalchemy_url
from tests.database.task_bodies import connections

ROOT = Path(__file__).resolve().parents[3]
SYNCS = ("refresh_tokens", "sync_user_daily", "sync_video_daily")

Airflow = Callable[..., None]


@pytest.fixture
def metadata_url(new_database: Callable[[str], str], metadata_template: str) -> str:
    return new_database(metadata_template)


@pytest.fixture
def airflow(bench: Bench, metadata_url: str, tmp_path: Path) -> Airflow:
    """Runs a command of Airflow on the project's own Dags."""
    env = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": sqlalchemy_url(metadata_url),
        **connections(bench.db_url, bench.sandbox),
        "PYTHONPATH": str(ROOT),
        "TIKTOK_TOKEN_KEYS": bench.settings.token_keys[0],
    }

    def run(*args: str) -> None:
        done = subprocess.run(  # noqa: S603 - fixed program, no shell
            [sys.executable, "-m", "airflow", *args],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    return run


def versions(metadata_url: str) -> dict[str, int]:
    with psycopg.connect(metadata_url) as conn:
        rows = conn.execute(
            "SELECT dag_id, count(*) FROM dag_version WHERE dag_id = ANY(%s) GROUP BY 1",
            [list(SYNCS)],
        )
        return dict(rows.fetchall())


def test_stores_that_come_and_are_renamed_make_no_new_version_of_a_dag(
    bench: Bench, airflow: Airflow, metadata_url: str
) -> None:
    bench.import_stores("S001", "S002")
    airflow("dag-processor", "--num-runs", "1")
    for dag_id in SYNCS:  # a version that no run has used is only replaced
        airflow("dags", "trigger", dag_id)
    assert versions(metadata_url) == dict.fromkeys(SYNCS, 1)

    for change in (
        "INSERT INTO stores (store_code, store_name) VALUES ('NEW', 'Added during a run')",
        "UPDATE stores SET store_name = 'Renamed' WHERE store_code = 'S001'",
        "UPDATE stores SET is_active = false WHERE store_code = 'S002'",
    ):
        bench.conn.execute(change.encode())
    airflow("dag-processor", "--num-runs", "1")

    assert versions(metadata_url) == dict.fromkeys(SYNCS, 1)
