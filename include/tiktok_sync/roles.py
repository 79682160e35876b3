"""Who may do what in the product's database? Its roles, made and kept up to date.

``tiktok_sync``  owns the product's objects and nothing else: the sync and its commands.
``analyst``      reads the views, read-only: no table, so no token, not even as ciphertext.
``monitor``      the same, and the tables of runs and rate limit: what Grafana shows.
``tiktok_connect``  the connect app's, see :mod:`include.tiktok_sync.connect_role`.
"""

from __future__ import annotations

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from typing_extensions import LiteralString

from include.tiktok_sync.connect_role import DEFAULT_ROLE, ensure_connect_role
from include.tiktok_sync.database import Connection, connect, database_errors
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.schema import upgrade

ANALYST = "analyst"
MONITOR = "monitor"
READERS = (ANALYST, MONITOR)
MONITORED = ("sync_logs", "rate_limits", "rate_limit_grants")
"""Tables that ``monitor`` reads beside the views."""

_APPLICATION = "tiktok_sync:db-prepare"


def prepare(
    admin_url: str,
    url: str,
    *,
    analyst_password: str = "",
    monitor_password: str = "",
    connect_password: str = "",
) -> str:
    """Make roles and database where they are missing, upgrade the schema, grant what is granted.

    Doing it again changes nothing, except that passwords become the given ones and new views are
    granted too. It never takes a login away: that is ``ALTER ROLE … NOLOGIN``.

    Args:
        admin_url: libpq URL of a role that may make roles and databases.
        url: libpq URL of the product's database, past any pooler; its user and password become
            the sync's.
        analyst_password: Of the role ``analyst``; empty = it stays as it is, and a new one cannot
            log in.
        monitor_password: Of the role ``monitor``; likewise.
        connect_password: Of the role ``tiktok_connect``; likewise.

    Returns:
        The schema's revision.

    Raises:
        ConfigurationError: A URL is none, or the product's has no user, password or database; the
            database is newer than this code; the admin may not make roles.
        DatabaseUnavailableError: The server cannot be reached.
    """
    user, password, database = _parts(url)
    with connect(admin_url, application_name=_APPLICATION) as admin, database_errors():
        try:
            _create_role(admin, user, password)
            _create_role(admin, ANALYST, analyst_password)
            _create_role(admin, MONITOR, monitor_password)
            _create_role(admin, DEFAULT_ROLE, connect_password)
            _create_database(admin, database, owner=user)
        except psycopg.errors.InsufficientPrivilege as error:
            message = (
                "The role of STORE_DB_ADMIN_URL may not make roles or databases:"
                f" {error.diag.message_primary}. Give it CREATEROLE and CREATEDB."
            )
            raise ConfigurationError(message) from error
        for reader in READERS:
            _run(admin, "ALTER ROLE {} SET default_transaction_read_only = on", reader)
            _run(admin, "ALTER ROLE {} SET statement_timeout = '5min'", reader)
            _run(admin, "ALTER ROLE {} SET idle_in_transaction_session_timeout = '5min'", reader)
            _run(admin, "GRANT CONNECT ON DATABASE {} TO {}", database, reader)
    revision = upgrade(url)
    with connect(url, application_name=_APPLICATION) as conn, database_errors():
        grant_reading(conn)
        ensure_connect_role(conn)
    return revision


def grant_reading(conn: Connection) -> None:
    """Let the readers read every view of the schema ``public``, and no more of it than is theirs.

    Args:
        conn: As the owner of the views.
    """
    views = [
        name
        for (name,) in conn.execute(
            "SELECT viewname FROM pg_views WHERE schemaname = 'public' AND viewowner = current_user"
            " ORDER BY 1"
        )
    ]
    with conn.transaction():
        conn.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        for reader in READERS:
            _run(conn, "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}", reader)
            _run(conn, "GRANT USAGE ON SCHEMA public TO {}", reader)
            for name in (*views, *(MONITORED if reader == MONITOR else ())):
                _run(conn, "GRANT SELECT ON {} TO {}", name, reader)


def _parts(url: str) -> tuple[str, str, str]:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = {}  # libpq's text can hold a part of the password
    found = [str(parts.get(name) or "") for name in ("user", "password", "dbname")]
    if not all(found):
        message = (
            "The URL of the product's database must name user, password and database"
            " (postgresql://user:password@host:port/database)."
        )
        raise ConfigurationError(message)
    return found[0], found[1], found[2]


def _create_role(admin: Connection, name: str, password: str) -> None:
    if not _exists(admin, "SELECT FROM pg_roles WHERE rolname = %s", name):
        _run(admin, "CREATE ROLE {}", name)
    if not password:  # a role that logs in already got its password elsewhere, and keeps it
        return
    # Hashed here, so that the server never sees (or logs) the password itself.
    secret = admin.pgconn.encrypt_password(
        password.encode(), name.encode(), b"scram-sha-256"
    ).decode()
    admin.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(secret))
    )


def _create_database(admin: Connection, name: str, *, owner: str) -> None:
    if not _exists(admin, "SELECT FROM pg_database WHERE datname = %s", name):
        # Whoever is no superuser may give a database only to a role it belongs to.
        _run(admin, "GRANT {} TO CURRENT_USER", owner)
        _run(admin, "CREATE DATABASE {} OWNER {}", name, owner)
    _run(admin, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)


def _exists(conn: Connection, query: LiteralString, name: str) -> bool:
    return conn.execute(query, [name]).fetchone() is not None


def _run(conn: Connection, statement: LiteralString, *names: str) -> None:
    """Execute a statement; each ``{}`` of it stands for one of the names."""
    conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
