"""An Airflow of its own on a copy of the project, for runs without a scheduler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from tests.database.bench import Bench
from tests.database.servers.metadata import sqlalchemy_url
from tests.database.task_bodies import connections

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Airflow:
    """An Airflow of its own on a copy of the project.

    Attributes:
        project: The copy.
        env: Environment of its commands.
        metadata_url: Libpq URL of its metadata database.
        bench: The product's database and sandbox.
    """

    project: Path
    env: dict[str, str]
    metadata_url: str
    bench: Bench

    def run(self, dag_id: str, *, date: datetime | None = None, **conf: Any) -> str:
        """Run a Dag once; gives what it logged."""
        when = [date.isoformat()] if date else []
        done = subprocess.run(  # noqa: S603 - fixed program, no shell
            [
                *(sys.executable, "-m", "airflow", "dags", "test", dag_id),
                *(*when, "--conf", json.dumps(conf)),
            ],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=800,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def states(self) -> dict[str, str]:
        """State of each check of the newest run, and of the run itself as ``run``."""
        with psycopg.connect(self.metadata_url) as conn:
            newest = conn.execute(
                "SELECT run_id, state FROM dag_run ORDER BY id DESC LIMIT 1"
            ).fetchone()
            assert newest is not None
            tasks = conn.execute(
                "SELECT task_id, state FROM task_instance WHERE run_id = %s"
                " AND (task_id LIKE 'data_checks.%%' OR task_id = 'record_summary')",
                [newest[0]],
            ).fetchall()
        found = {str(task).removeprefix("data_checks."): str(state) for task, state in tasks}
        return found | {"run": str(newest[1])}

    def summary(self) -> dict[str, Any]:
        """The newest summary row."""
        return self.bench.rows(
            "SELECT status, message, details FROM sync_logs WHERE store_code IS NULL"
            " ORDER BY run_time DESC LIMIT 1"
        )[0]


def airflow_on(bench: Bench, url: str, folder: Path) -> Airflow:
    """Copy the project into a folder, and point its Airflow at a migrated database."""
    for name in ("dags", "plugins", "include"):
        # Python writes and renames files there while the suite's other process imports.
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=caches)
    env = os.environ | {
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": sqlalchemy_url(url),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        **connections(bench.db_url, bench.sandbox),
        "PYTHONPATH": str(folder),
        "TIKTOK_TOKEN_KEYS": bench.settings.token_keys[0],
        "TIKTOK_RATE_LIMIT_PER_MINUTE": "0",
    }
    return Airflow(folder, dict(env), url, bench)
