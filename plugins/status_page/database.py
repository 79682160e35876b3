"""The store database in Airflow's API server: few connections, none for long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import BoundedSemaphore
from typing import Annotated

from fastapi import Depends

from hooks.store_db_hook import StoreDbHook
from include.tiktok_sync.database import Connection, database_errors
from include.tiktok_sync.errors import DatabaseUnavailableError
from include.tiktok_sync.schema import check_schema

CONNECTIONS = 4
"""Pages that read at once in one process of the API server; more of them wait."""

STATEMENT_TIMEOUT = timedelta(seconds=5)
_PATIENCE_S = 10

_places = BoundedSemaphore(CONNECTIONS)


def store_db() -> Iterator[Connection]:
    """A connection for one page, from the Airflow connection ``store_db``.

    Raises:
        ConfigurationError: There is no such connection, or the schema is another one.
        DatabaseUnavailableError: The database cannot be reached, or too many pages are read.
    """
    with _place():
        hook = StoreDbHook(
            application_name="airflow:status_page", statement_timeout=STATEMENT_TIMEOUT
        )
        with hook.session() as conn, database_errors():
            check_schema(conn)
            yield conn


StoreDbDep = Annotated[Connection, Depends(store_db)]


@contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(timeout=_PATIENCE_S):
        message = "Too many status pages are read at once. Load this one again in a moment."
        raise DatabaseUnavailableError(message, retry_after_s=_PATIENCE_S)
    try:
        yield
    finally:
        _places.release()
