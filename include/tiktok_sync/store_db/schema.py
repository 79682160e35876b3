"""Does the database have the schema this code was written for, and how does it get it?"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import psycopg

from include.tiktok_sync.errors import ConfigurationError, DatabaseUnavailableError
from include.tiktok_sync.store_db.database import Connection, connect, database_errors

SCHEMA_REVISION = "0026"
"""The migration this code was written for; the newest file in include/migrations/versions."""

LOCK_SECONDS = 60
"""How long a migration waits for a lock that another session holds."""

_HOLDERS = """
SELECT DISTINCT a.pid, a.usename FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid()
    AND (l.locktype = 'advisory'
        OR l.relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace))
ORDER BY 1 LIMIT 5
"""
# Visible to every role, unlike their statements.

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def check_schema(conn: Connection) -> None:
    """Refuse to work on a schema this code was not written for.

    Raises:
        ConfigurationError: No schema, an older or a newer one.
    """
    found = _revision(conn)
    if found == SCHEMA_REVISION:
        return
    if found is None or found < SCHEMA_REVISION:
        message = (
            f"The store database's schema is {found or 'empty'}, this code needs {SCHEMA_REVISION}."
            " Run: python -m include.tiktok_sync db upgrade"
        )
    else:
        message = (
            f"The store database's schema ({found}) is newer than this code ({SCHEMA_REVISION})."
            " Deploy the newer code, or restore the database of this version."
        )
    raise ConfigurationError(message)


def upgrade(url: str) -> str:
    """Upgrade the database to this code's schema, and create the partitions of the coming months.

    Upgrading twice, or from two processes at once, is safe.

    Args:
        url: libpq URL.

    Returns:
        The revision that the database has now.

    Raises:
        ConfigurationError: The database is newer than this code.
        DatabaseUnavailableError: It cannot be reached, or another session held a lock for more
            than ``LOCK_SECONDS``; nothing was changed.
    """
    # Alembic brings SQLAlchemy along, which the tasks that check the schema do not need.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - see above

    with connect(url, application_name="tiktok_sync:db-upgrade") as conn, database_errors():
        if (_revision(conn) or "") > SCHEMA_REVISION:
            check_schema(conn)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["url"] = url
        try:
            command.upgrade(config, "head")
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise _locked(conn) from error
            if isinstance(error.orig, psycopg.OperationalError):
                raise error.orig from error
            raise
        check_schema(conn)
        try:
            with conn.transaction():
                conn.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS}s"])
                conn.execute("SELECT ensure_video_daily_stats_partitions(%s)", [date.today()])  # noqa: DTZ011 - months ahead; the zone does not matter
        except psycopg.errors.LockNotAvailable as error:
            raise _locked(conn) from error
    return SCHEMA_REVISION


def _locked(conn: Connection) -> DatabaseUnavailableError:
    holders = conn.execute(_HOLDERS).fetchall()
    named = ", ".join(f"process {pid} of role {role}" for pid, role in holders)
    message = (
        f"The schema was not upgraded: for {LOCK_SECONDS} s another session held a lock that the"
        f" migration needs ({named or 'it has ended meanwhile'}). Nothing was changed. Let it"
        " finish, or end it (SELECT pg_terminate_backend(process)), and run the command again."
    )
    return DatabaseUnavailableError(message, retry_after_s=60)


def _revision(conn: Connection) -> str | None:
    try:
        row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return str(row[0]) if row else None
