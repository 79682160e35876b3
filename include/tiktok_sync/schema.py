"""Does the database have the schema this code was written for, and how does it get it?"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import psycopg

from include.tiktok_sync.database import Connection, connect, database_errors
from include.tiktok_sync.errors import ConfigurationError

SCHEMA_REVISION = "0008"
"""The migration this code was written for; the newest file in include/migrations/versions."""

MIGRATIONS = Path(__file__).resolve().parents[1] / "migrations"


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
    """Bring the database to this code's schema, and make the partitions of the months to come.

    Upgrading twice, or from two processes at once, is harmless.

    Args:
        url: libpq URL.

    Returns:
        The revision that the database has now.

    Raises:
        ConfigurationError: The database is newer than this code.
        DatabaseUnavailableError: It cannot be reached.
    """
    # Alembic brings SQLAlchemy along, which the tasks that check the schema do not need.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above

    with connect(url, application_name="tiktok_sync:db-upgrade") as conn, database_errors():
        if (_revision(conn) or "") > SCHEMA_REVISION:
            check_schema(conn)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["url"] = url
        command.upgrade(config, "head")
        check_schema(conn)
        conn.execute("SELECT ensure_video_daily_stats_partitions(%s)", [date.today()])  # noqa: DTZ011 - months ahead; the zone does not matter
    return SCHEMA_REVISION


def _revision(conn: Connection) -> str | None:
    try:
        row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return str(row[0]) if row else None
