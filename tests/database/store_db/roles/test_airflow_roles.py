"""Airflow's own server: its parts log in with roles of their own, none of them a superuser."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.roles import prepare_airflow
from tests.postgres_server import PostgresServer, scratch_postgres

PASSWORD = "airflow-Pa55word"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """As Postgres's image makes it, and as Airflow left it when its role was the superuser."""
    with scratch_postgres() as server:
        server.run("CREATE DATABASE airflow")
        yield server


def url(server: PostgresServer, role: str, database: str, scheme: str = "postgresql") -> str:
    return f"{scheme}://{role}:{PASSWORD}@127.0.0.1:{server.port}/{database}"


def prepared(server: PostgresServer) -> None:
    prepare_airflow(
        server.url("airflow"),
        url(server, "airflow_app", "airflow", "postgresql+psycopg2"),
        url(server, "airflow_results", "airflow_results", "db+postgresql+psycopg2"),
    )


def test_an_older_database_is_handed_over_with_its_contents(server: PostgresServer) -> None:
    with psycopg.connect(server.url("airflow")) as conn:
        conn.execute(
            "CREATE TYPE mood AS ENUM ('ok'); CREATE SEQUENCE loose;"
            " CREATE TABLE dag_run (id serial PRIMARY KEY, mood mood);"
            " CREATE VIEW runs AS SELECT * FROM dag_run; INSERT INTO dag_run (mood) VALUES ('ok')"
        )

    prepared(server)
    prepared(server)

    with psycopg.connect(url(server, "airflow_app", "airflow"), autocommit=True) as conn:
        assert conn.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        # What a migration of Airflow's does.
        conn.execute("ALTER TABLE dag_run ADD COLUMN note text")
        conn.execute("ALTER TYPE mood ADD VALUE 'bad'")
        conn.execute("INSERT INTO dag_run (mood) VALUES ('bad')")
        conn.execute("DROP VIEW runs; DROP SEQUENCE loose; CREATE TABLE more (id integer)")
        for statement in ("CREATE ROLE other", "CREATE DATABASE other", "SELECT * FROM pg_authid"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement.encode())


def test_a_worker_reaches_results_and_nothing_of_airflow(server: PostgresServer) -> None:
    prepared(server)

    with psycopg.connect(url(server, "airflow_results", "airflow_results")) as conn:
        conn.execute("CREATE TABLE celery_taskmeta (id integer)")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(url(server, "airflow_results", "airflow"))


def test_the_superuser_is_refused_as_airflows_role(server: PostgresServer) -> None:
    with pytest.raises(ConfigurationError, match="postgres of Airflow's database is a superuser"):
        prepare_airflow(
            server.url("airflow"),
            url(server, "postgres", "airflow"),
            url(server, "airflow_results", "airflow_results"),
        )
    with psycopg.connect(server.url()) as conn:  # its password is what it was
        assert conn.execute("SELECT 1").fetchone() == (1,)
