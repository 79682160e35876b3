"""Airflow's own database, migrated by Airflow's own command."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.postgres_server import PostgresServer


def sqlalchemy_url(url: str) -> str:
    """A libpq URL as Airflow wants it."""
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)


def migrated(postgres: PostgresServer, name: str) -> str:
    """Make a database of this name and migrate it; gives the name."""
    postgres.run("CREATE DATABASE {}", name)
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=os.environ
        | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": sqlalchemy_url(postgres.url(name))},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=800,
    )
    return name
