"""StoreDbHook and the settings loader against a real Postgres."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from include.tiktok_sync.errors import DatabaseUnavailableError
from include.tiktok_sync.store_db.database import PREPARE_AFTER, database_errors
from tests.database.servers.metadata import sqlalchemy_url
from tests.database.task_bodies import connections
from tiktok_airflow.hooks.store_db_hook import StoreDbHook

ROOT = Path(__file__).resolve().parents[3]
SECRETS = {
    "TIKTOK_CLIENT_KEY": "key",
    "TIKTOK_CLIENT_SECRET": "s3cr3t: {odd} é",
    "STORE_DB_URL": "postgresql://syncer:p%40ss%3Aw%2Frd%25@db.test:6543/shop?sslmode=require",
}

Rows = dict[str, dict[str, tuple[Any, ...]]]


@pytest.fixture
def store_db(monkeypatch: pytest.MonkeyPatch, db_url: str) -> str:
    """The connection ``store_db`` leads to the test's database."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", connections(db_url)["AIRFLOW_CONN_STORE_DB"])
    return str(conninfo_to_dict(db_url)["dbname"])


def test_session_is_named_bounded_and_autocommits(store_db: str) -> None:
    hook = StoreDbHook(
        application_name="airflow:a dag.a task[3]", statement_timeout=timedelta(minutes=10)
    )

    with hook.session() as conn:
        row = conn.execute(
            "SELECT current_database(), current_setting('application_name'),"
            " current_setting('statement_timeout')"
        ).fetchone()
        assert row == (store_db, "airflow:a dag.a task[3]", "10min")
        assert conn.autocommit

    assert conn.closed


def test_options_of_the_connection_and_of_the_hook_both_hold(
    monkeypatch: pytest.MonkeyPatch, store_db: str
) -> None:
    del store_db
    fields = json.loads(os.environ["AIRFLOW_CONN_STORE_DB"])
    fields["extra"] = {"options": "-c search_path=public,extensions"}
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", json.dumps(fields))

    with StoreDbHook(statement_timeout=timedelta(minutes=10)).session() as conn:
        row = conn.execute(
            "SELECT current_setting('search_path'), current_setting('statement_timeout')"
        ).fetchone()

    assert row == ("public,extensions", "10min")


def test_a_repeated_statement_is_prepared_unless_the_connection_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, store_db: str
) -> None:
    del store_db
    with StoreDbHook().session() as conn:
        assert conn.prepare_threshold == PREPARE_AFTER

    fields = json.loads(os.environ["AIRFLOW_CONN_STORE_DB"])
    fields["extra"] = {"prepare_threshold": None}  # for a pooler that knows none
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", json.dumps(fields))

    with StoreDbHook().session() as conn:
        assert conn.prepare_threshold is None


def test_statement_that_outlives_its_task_is_ended_by_the_server(store_db: str) -> None:
    del store_db
    hook = StoreDbHook(statement_timeout=timedelta(milliseconds=200))

    with (
        hook.session() as conn,
        pytest.raises(DatabaseUnavailableError, match="time-out"),
        database_errors(),
    ):
        conn.execute("SELECT pg_sleep(10)")


def test_refused_login_is_tried_again_and_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, store_db: str
) -> None:
    del store_db
    fields = json.loads(os.environ["AIRFLOW_CONN_STORE_DB"]) | {"password": "wr0ng-password"}
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", json.dumps(fields))

    with (
        pytest.raises(DatabaseUnavailableError, match="password authentication failed") as caught,
        StoreDbHook().session(),
    ):
        pytest.fail("the login was not refused")

    assert "wr0ng-password" not in str(caught.value)


class Metadata:
    """A metadata database of Airflow, filled by the loader's command.

    Args:
        url: libpq URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._env = {
            **os.environ,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": sqlalchemy_url(url),
            "AIRFLOW__CORE__FERNET_KEY": "",  # values as they are, to be compared
            "PYTHONPATH": str(ROOT),
        }

    def load(self, env: Mapping[str, str], file: Path | None = None) -> str:
        """Run the loader; gives what it said."""
        arguments = ["plugins/load_airflow_settings.py", *([str(file)] if file else [])]
        return self._run(*arguments, env=env).stdout

    def rows(self) -> Rows:
        """Pools, connections and variables by their names, ids included."""
        tables = {
            "pools": "SELECT pool, id, slots, description, include_deferred FROM slot_pool",
            "connections": "SELECT conn_id, id, conn_type, host, schema, login, password, port,"
            " extra FROM connection",
            "variables": "SELECT key, id, val FROM variable",
        }
        with psycopg.connect(self._url) as conn:
            return {
                name: {row[0]: row[1:] for row in conn.execute(query.encode())}
                for name, query in tables.items()
            }

    def _run(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # noqa: S603 - fixed program, no shell
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**self._env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done


def test_loading_is_idempotent_and_follows_changes(
    new_database: Callable[[str], str], metadata_template: str
) -> None:
    metadata = Metadata(new_database(metadata_template))

    said = metadata.load(SECRETS)
    first = metadata.rows()

    assert said.splitlines()[-1] == (
        "Loaded 2 pools, 4 connections, 1 variables from airflow_settings.yaml."
    )
    assert {name: row[1] for name, row in first["pools"].items()} == {
        "default_pool": 128,
        "tiktok_users": 30,
        "tiktok_videos": 20,
    }
    assert first["connections"]["tiktok_default"][1:-1] == (
        "http",
        "https://open.tiktokapis.com",
        None,
        "key",
        "s3cr3t: {odd} é",
        None,
    )
    assert first["connections"]["store_db"][1:-1] == (
        "postgres",
        "db.test",
        "shop",
        "syncer",
        "p@ss:w/rd%",
        6543,
    )
    assert json.loads(first["connections"]["store_db"][-1]) == {
        "connect_timeout": 10,
        "sslmode": "require",
    }
    assert first["variables"]["tiktok_min_success_rate"][1] == "0.90"

    metadata.load(SECRETS)
    assert metadata.rows() == first

    metadata.load(
        {
            **SECRETS,
            "SYNC_CONCURRENCY": "7",
            "MIN_SUCCESS_RATE": "0.5",
            "TIKTOK_API_URL": "http://127.0.0.1:8099",
            "TIKTOK_CLIENT_SECRET": "another",
        }
    )
    changed = metadata.rows()

    assert changed["pools"]["tiktok_users"][:2] == (first["pools"]["tiktok_users"][0], 7)
    assert changed["pools"]["tiktok_videos"] == first["pools"]["tiktok_videos"]
    tiktok = changed["connections"]["tiktok_default"]
    assert tiktok[0] == first["connections"]["tiktok_default"][0]
    assert (tiktok[2], tiktok[5]) == ("http://127.0.0.1:8099", "another")
    assert changed["connections"]["store_db"] == first["connections"]["store_db"]
    assert changed["variables"]["tiktok_min_success_rate"][1] == "0.5"
    assert {name: len(rows) for name, rows in changed.items()} == {
        name: len(rows) for name, rows in first.items()
    }

    # Without the secrets in the environment those that Airflow has stay.
    metadata.load({})
    tiktok = metadata.rows()["connections"]["tiktok_default"]
    assert (tiktok[4], tiktok[5]) == ("key", "another")
