"""Does the documented `airflow db clean` remove old history alone, and leave nothing behind?"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from include.tiktok_sync.doctor import metadata as doctor_metadata
from include.tiktok_sync.doctor.finding import Finding
from tests.database.servers.metadata import sqlalchemy_url

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operations.md"

_HISTORY = """
INSERT INTO dag (dag_id, is_paused, is_stale, last_parsed_time, fileloc, max_active_tasks,
    max_consecutive_failed_dag_runs, has_task_concurrency_limits, bundle_name, timetable_type,
    fail_fast, partition_mapper_info)
VALUES ('night', false, false, now(), 'night.py', 16, 0, false, 'dags-folder', 't', false, '{}');
INSERT INTO log (dttm, event) VALUES (now() - interval '200 days', 'old'), (now(), 'new');
INSERT INTO job (state, job_type, latest_heartbeat)
VALUES ('success', 'SchedulerJob', now() - interval '200 days'),
    ('running', 'SchedulerJob', now());
"""


@pytest.fixture
def metadata_url(new_database: Callable[[str], str], metadata_template: str) -> str:
    """A database of Airflow's with a little history, old and new."""
    url = new_database(metadata_template)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("INSERT INTO dag_bundle (name, active) VALUES ('dags-folder', true)")
        for statement in _HISTORY.split(";\n"):
            if statement.strip():
                conn.execute(statement.encode())
    return url


def documented(command: str) -> str:
    """The command as docs/operations.md has it, from `airflow` on."""
    found = re.search(rf"`[^`]*?({command}[^`]*)`", PAGE.read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def run(command: str, metadata_url: str, home: Path) -> None:
    """As a shell of the container would; the date is the shell's own work."""
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": sqlalchemy_url(metadata_url),
        "PYTHON": sys.executable,
    }
    done = subprocess.run(  # noqa: S602 - our own page's command
        command.replace("airflow ", '"$PYTHON" -m airflow ', 1),
        shell=True,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def column(metadata_url: str, query: str) -> list[str]:
    with psycopg.connect(metadata_url) as conn:
        return [str(row[0]) for row in conn.execute(query.encode())]


def archives(metadata_url: str) -> list[str]:
    return column(
        metadata_url, "SELECT relname FROM pg_class WHERE relname LIKE '\\_airflow\\_deleted%'"
    )


def said(metadata_url: str) -> list[Finding]:
    return list(doctor_metadata.check({doctor_metadata.VARIABLE: sqlalchemy_url(metadata_url)}))


def test_the_documented_command_removes_the_old_and_leaves_nothing_behind(
    metadata_url: str, tmp_path: Path
) -> None:
    command = documented("airflow db clean")
    assert "--skip-archive" in shlex.split(command)

    run(command, metadata_url, tmp_path)

    assert archives(metadata_url) == []
    assert [finding.status for finding in said(metadata_url)] == ["ok"]
    events = column(metadata_url, "SELECT event FROM log ORDER BY id")
    assert (events[0], "old" in events) == ("new", False)  # and what the command itself logged
    assert column(metadata_url, "SELECT state FROM job") == ["running"]
    assert column(metadata_url, "SELECT dag_id FROM dag") == ["night"]


def test_the_doctor_names_what_was_left_before_and_its_command_drops_it(
    metadata_url: str, tmp_path: Path
) -> None:
    run(documented("airflow db clean").replace(" --skip-archive", ""), metadata_url, tmp_path)
    left = archives(metadata_url)
    assert left

    (finding,) = said(metadata_url)

    assert (finding.check, finding.status) == ("Airflow's history", "warn")
    assert finding.text.startswith(f"{len(left)} archive tables of airflow db clean take ")
    run(finding.todo.partition(";")[0], metadata_url, tmp_path)
    assert archives(metadata_url) == []
    assert [finding.status for finding in said(metadata_url)] == ["ok"]


def test_a_database_that_cannot_be_asked_is_passed_over() -> None:
    away = {doctor_metadata.VARIABLE: "postgresql+psycopg2://a:s3cret@127.0.0.1:1/airflow"}
    assert [finding.status for finding in doctor_metadata.check(away)] == ["skip"]
    assert "s3cret" not in str(list(doctor_metadata.check(away)))
    assert list(doctor_metadata.check({doctor_metadata.VARIABLE: "sqlite:////tmp/x.db"})) == []
    assert list(doctor_metadata.check({})) == []
