"""The store database in Airflow's API server: few connections, none for long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import BoundedSemaphore
from typing import Annotated

import psycopg
from fastapi import Depends

from include.tiktok_sync.errors import ConfigurationError, DatabaseUnavailableError
from include.tiktok_sync.store_db.database import Connection, database_errors
from include.tiktok_sync.store_db.schema import check_schema
from tiktok_airflow.hooks.store_db_hook import StoreDbHook

CONNECTIONS = 4
"""Pages that read at once in one process of the API server; more of them wait."""

STATEMENT_TIMEOUT = timedelta(seconds=5)
_PATIENCE_S = 10

_places = BoundedSemaphore(CONNECTIONS)


def store_db() -> Iterator[Connection]:
    """A connection for one page, from the Airflow connection ``store_db``.

    Raises:
        ConfigurationError: There is no such connection, the schema is another one, or the
            connection's role may not do what was asked.
        DatabaseUnavailableError: The database cannot be reached, or too many pages are read.
    """
    with _place():
        hook = StoreDbHook(
            application_name="airflow:status_page", statement_timeout=STATEMENT_TIMEOUT
        )
        with hook.session() as conn, errors_of_a_page():
            check_schema(conn)
            yield conn


StoreDbDep = Annotated[Connection, Depends(store_db)]


@contextmanager
def errors_of_a_page() -> Iterator[None]:
    """Turn what the database refuses into errors with a next step.

    Raises:
        ConfigurationError: The role may not.
        DatabaseUnavailableError: As :func:`database_errors` says.
    """
    with database_errors():
        try:
            yield
        except (
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.ReadOnlySqlTransaction,
        ) as error:
            message = (
                f"The database role of the connection store_db may not do this"
                f" ({error.diag.message_primary}). The API server needs the role that owns the"
                " tables, as the syncs do: tiktok_sync, which db prepare makes."
            )
            raise ConfigurationError(message) from error


@contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(timeout=_PATIENCE_S):
        message = "Too many status pages are read at once. Load this one again in a moment."
        raise DatabaseUnavailableError(message, retry_after_s=_PATIENCE_S)
    try:
        yield
    finally:
        _places.release()
