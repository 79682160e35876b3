"""Connects to the product's database without Airflow, and turns its failures into our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from include.tiktok_sync.errors import ConfigurationError, DatabaseUnavailableError

Connection = psycopg.Connection[Any]

PREPARE_AFTER = 1
"""A statement's second execution on a connection is prepared (psycopg's own figure is 5, which a
store of seven pages hardly reaches; docs/decisions/0009)."""

_BAD_VALUE = "22"
"""Postgres' class of errors ("data exception") whose message itself quotes the value."""


@contextmanager
def connect(
    url: str, *, application_name: str, setting: str = "STORE_DB_URL"
) -> Iterator[Connection]:
    """An autocommit connection: transactions are opened where one is needed, and are short.

    It prepares no statements, so that the URL may lead to a pooler that cannot keep them (PgBouncer
    before 1.21 in transaction mode); a caller with many statements of one kind sets
    ``PREPARE_AFTER`` itself.

    Args:
        url: libpq URL.
        application_name: Shown in ``pg_stat_activity``.
        setting: Where the URL comes from, for the error.

    Raises:
        DatabaseUnavailableError: The server cannot be reached or refuses the login.
        ConfigurationError: The URL is not a libpq URL.
    """
    try:
        conn = psycopg.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            application_name=application_name,
            connect_timeout=10,
        )
    except psycopg.ProgrammingError as error:
        message = f"{setting} is not a libpq URL (postgresql://user:password@host:port/database)."
        raise ConfigurationError(message) from error
    except psycopg.OperationalError as error:
        raise unreachable(error, setting) from error
    with conn:
        yield conn


@contextmanager
def one_moment(conn: Connection) -> Iterator[None]:
    """A transaction that sees the database as it was at its beginning, and changes nothing.

    Args:
        conn: Autocommit connection.
    """
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def unreachable(
    error: psycopg.OperationalError, setting: str = "STORE_DB_URL"
) -> DatabaseUnavailableError:
    """The error for a server that cannot be reached; libpq's text holds no password."""
    # The first line with the cause; libpq adds hints, and a headline where it tried more hosts.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if "failed: " in line), (lines or ["no reason given"])[0])
    also = " (or the connection store_db)" if setting == "STORE_DB_URL" else ""
    message = (
        f"The store database cannot be reached: {reason.rstrip('.')}."
        f" Check {setting}{also}, and that the server runs."
    )
    return DatabaseUnavailableError(message, retry_after_s=30)


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn psycopg's operational errors into ours; others are bugs and pass through.

    Postgres quotes rows and values in its details, a store's names and titles among them: what
    passes through has lost them, since it ends in a log.

    Raises:
        DatabaseUnavailableError: The connection broke, or a lock or the server was unavailable.
    """
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        message = "Another process held the store's token for too long. It is tried again."
        raise DatabaseUnavailableError(message, retry_after_s=30) from error
    except psycopg.errors.QueryCanceled as error:
        message = "The store database took longer than the task's time-out allows."
        raise DatabaseUnavailableError(message, retry_after_s=60) from error
    except psycopg.OperationalError as error:
        raise unreachable(error) from error
    except psycopg.Error as error:
        if error.diag.message_primary:
            error.args = (_without_values(error.diag),)
        raise


def _without_values(diag: psycopg.errors.Diagnostic) -> str:
    said = diag.message_primary or ""
    if (diag.sqlstate or "").startswith(_BAD_VALUE):
        said = said.partition(":")[0].partition('"')[0].strip()
    return f"{said} (details withheld: they may quote a row)" if diag.message_detail else said
