"""Who may do what in the product's database? Its roles, created and kept up to date.

``tiktok_sync``  owns the product's objects and nothing else: the sync and its commands.
``analyst``      reads the views, read-only: no table, so no token, not even as ciphertext; figures
                 and store codes, but no name, title, text or link.
``analyst_named``  the same views with every column. Logs in itself, or is granted to a login.
``monitor``      as analyst, and the tables of runs and rate limit: what Grafana shows.
``tiktok_connect``  the connect app's, see :mod:`include.tiktok_sync.store_db.connect_role`.

Which columns are personal is read from the marks in their comments, so a column that a migration
marks is closed by the next ``db prepare`` or ``db upgrade``.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from typing_extensions import LiteralString

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.connect_role import DEFAULT_ROLE, ensure_connect_role
from include.tiktok_sync.store_db.database import Connection, connect, database_errors
from include.tiktok_sync.store_db.personal_data import personal_columns
from include.tiktok_sync.store_db.schema import upgrade

ANALYST = "analyst"
ANALYST_NAMED = "analyst_named"
MONITOR = "monitor"
READERS = (ANALYST, ANALYST_NAMED, MONITOR)
MONITORED = ("sync_logs", "rate_limits", "rate_limit_grants")
"""Tables that ``monitor`` reads as well as the views."""

NAMES = frozenset({"store_name"})
"""Columns of views that name a store: the retailer's own data, so not marked, but still a name."""

_NEEDED_BY_MONITOR = frozenset({("sync_logs", "details")})
"""Marked as a record, but the dashboard counts the kinds of failures in it."""

CONNECTION_LIMITS = {ANALYST: 10, ANALYST_NAMED: 10, MONITOR: 10, DEFAULT_ROLE: 40}
"""Maximum of connections, of the 100 that ``store-db`` accepts; the connect app has 40 threads."""

_OPEN_TO_ALL = """
SELECT oid::regprocedure::text, proname ~ 'advisory' FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace
    AND (proname = ANY ('{lo_creat,lo_create,lo_from_bytea,lo_import,lo_open,lo_put,lo_truncate,
        lo_truncate64,lo_unlink,lowrite}') OR proname ~ '^pg_(try_)?advisory_(xact_)?lock')
ORDER BY 1
"""
# Postgres lets every login call these, even a read-only one: a large object of another role stops
# each pg_dump that includes them, and an advisory lock stops each migration.

_OWNED_BY_ADMIN = """
WITH object AS (
    SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
        relname AS name, 'pg_class'::regclass AS catalog, oid, relowner AS owner
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
    UNION ALL
    SELECT 'TYPE', typname, 'pg_type'::regclass, oid, typowner
    FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
)
SELECT format('ALTER %%s public.%%I OWNER TO %%I', kind, name, %s::text) FROM object
WHERE owner = current_user::regrole AND NOT EXISTS (
    SELECT FROM pg_depend AS d
    WHERE d.classid = object.catalog AND d.objid = object.oid AND d.deptype IN ('a', 'i', 'e'))
ORDER BY kind, name
"""
# A sequence of a column goes with its table, and what belongs to an extension stays.

_OF_VIEWS = """
SELECT DISTINCT p.oid::regprocedure::text FROM pg_proc AS p
JOIN pg_depend AS d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
    AND d.classid = 'pg_rewrite'::regclass
WHERE p.pronamespace = 'public'::regnamespace
ORDER BY 1
"""
# A reader of a view calls its functions with the reader's own rights.

_READABLE = """
SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace
    AND ((c.relkind = 'v' AND c.relowner = current_user::regrole) OR c.relname = ANY(%s))
GROUP BY c.relname ORDER BY c.relname
"""

_APPLICATION = "tiktok_sync:db-prepare"


def prepare(
    admin_url: str,
    url: str,
    *,
    analyst_password: str = "",
    analyst_named_password: str = "",
    monitor_password: str = "",
    connect_password: str = "",
) -> str:
    """Create missing roles and the database, upgrade the schema, grant the declared rights.

    Repeating it changes nothing, except that passwords become the given ones, new views are
    granted, and rights beyond the declared ones are revoked. It never removes a login: use
    ``ALTER ROLE … NOLOGIN`` for that.

    Args:
        admin_url: libpq URL of a role that may create roles and databases.
        url: libpq URL of the product's database, not through a pooler; its user and password
            become the sync's.
        analyst_password: For the role ``analyst``; empty = unchanged, and a new role cannot log in.
        analyst_named_password: For the role ``analyst_named``; empty as above.
        monitor_password: For the role ``monitor``; empty as above.
        connect_password: For the role ``tiktok_connect``; empty as above.

    Returns:
        The schema's revision.

    Raises:
        ConfigurationError: A URL is invalid, or the product's has no user, password or database;
            the database is newer than this code; the admin may not create roles.
        DatabaseUnavailableError: The server cannot be reached.
    """
    user, password, database = _parts(url)
    with connect(admin_url, application_name=_APPLICATION) as admin, database_errors():
        try:
            _create_role(admin, user, password)
            _create_role(admin, ANALYST, analyst_password)
            _create_role(admin, ANALYST_NAMED, analyst_named_password)
            _create_role(admin, MONITOR, monitor_password)
            _create_role(admin, DEFAULT_ROLE, connect_password)
            _create_database(admin, database, owner=user)
        except psycopg.errors.InsufficientPrivilege as error:
            message = (
                "The role of STORE_DB_ADMIN_URL may not create roles or databases:"
                f" {error.diag.message_primary}. Give it CREATEROLE and CREATEDB."
            )
            raise ConfigurationError(message) from error
        for role, most in CONNECTION_LIMITS.items():
            limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}")
            admin.execute(limit.format(sql.Identifier(role), sql.Literal(most)))
        for reader in READERS:
            _run(admin, "ALTER ROLE {} SET default_transaction_read_only = on", reader)
            _run(admin, "ALTER ROLE {} SET statement_timeout = '5min'", reader)
            _run(admin, "ALTER ROLE {} SET idle_in_transaction_session_timeout = '5min'", reader)
            _run(admin, "GRANT CONNECT ON DATABASE {} TO {}", database, reader)
    revision = upgrade(url)
    with (
        connect(make_conninfo(admin_url, dbname=database), application_name=_APPLICATION) as admin,
        database_errors(),
    ):
        close_builtins(admin, user)
    with connect(url, application_name=_APPLICATION) as conn, database_errors():
        grant_reading(conn)
        ensure_connect_role(conn)
    return revision


def prepare_airflow(admin_url: str, metadata_url: str, results_url: str) -> None:
    """Create the roles of Airflow's own server, each with one database, neither a superuser.

    A database owned by the superuser, as in earlier versions, is handed over with its contents.

    Args:
        admin_url: libpq URL of the server's superuser.
        metadata_url: SQLAlchemy URL of Airflow's database, with the role and password to create.
        results_url: The same for the database of Celery's results, the only one that workers reach.

    Raises:
        ConfigurationError: A URL is invalid, or has no user, password or database; or names the
            superuser itself.
        DatabaseUnavailableError: The server cannot be reached.
    """
    setting = "AIRFLOW_DB_ADMIN_URL"
    for url in (metadata_url, results_url):
        user, password, database = _parts(_libpq(url))
        with (
            connect(admin_url, application_name=_APPLICATION, setting=setting) as admin,
            database_errors(),
        ):
            if _exists(admin, "SELECT FROM pg_roles WHERE rolname = %s AND rolsuper", user):
                message = (
                    f"The role {user} of Airflow's database is a superuser. Name another one in"
                    " AIRFLOW__DATABASE__SQL_ALCHEMY_CONN and AIRFLOW__CELERY__RESULT_BACKEND."
                )
                raise ConfigurationError(message)
            _create_role(admin, user, password)
            _create_database(admin, database, owner=user)
            _run(admin, "ALTER DATABASE {} OWNER TO {}", database, user)
        with (
            connect(
                make_conninfo(admin_url, dbname=database),
                application_name=_APPLICATION,
                setting=setting,
            ) as admin,
            database_errors(),
            admin.transaction(),
        ):
            for (statement,) in admin.execute(_OWNED_BY_ADMIN, [user]).fetchall():
                admin.execute(statement)


def _libpq(url: str) -> str:
    """A URL of SQLAlchemy or Celery (``db+postgresql+psycopg2://…``) as libpq reads it."""
    return re.sub(r"^(?:db\+)?postgresql\+\w+://", "postgresql://", url)


def close_builtins(admin: Connection, owner: str) -> None:
    """Revoke large objects and advisory locks from every login but the owner and superusers.

    Only a superuser can do so. Elsewhere (a managed Postgres) they stay open to all; backups leave
    large objects out and migrations wait for a bounded time, which limits the damage.

    Args:
        admin: Connection to the product's database.
        owner: The sync's role: migrations and the connect app's functions take advisory locks.
    """
    if admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() != (
        True,
    ):
        return
    with admin.transaction():
        for name, is_lock in admin.execute(_OPEN_TO_ALL).fetchall():
            function = sql.SQL(name)  # quoted by Postgres itself (regprocedure)
            admin.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(function))
            if is_lock:
                admin.execute(
                    sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(
                        function, sql.Identifier(owner)
                    )
                )


def grant_reading(conn: Connection) -> None:
    """Let the readers read the views of the schema ``public`` as declared, and nothing else.

    Also revokes what a restore leaves open: a dump is restored with Postgres's default privileges,
    which let everyone call every function.

    Args:
        conn: Connection of the owner of the views.
    """
    with conn.transaction():
        conn.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        conn.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC")
        conn.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC")
        # Of functions to come: from a migration, or from a restore.
        conn.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        grant_readers(conn)


def grant_readers(conn: Connection) -> list[str]:
    """Give each reader that exists the declared columns; whatever else it has is revoked.

    Args:
        conn: Connection of the owner of the views.

    Returns:
        The readers that exist.
    """
    readers = [
        reader
        for reader in READERS
        if _exists(conn, "SELECT FROM pg_roles WHERE rolname = %s", reader)
    ]
    if not readers:
        return []
    columns: dict[str, list[str]] = dict(conn.execute(_READABLE, [list(MONITORED)]).fetchall())
    views = [name for name in columns if name not in MONITORED]
    personal = {(found.table, found.column) for found in personal_columns(conn)}
    closed = personal | {(view, name) for view in views for name in NAMES}
    with conn.transaction():
        functions = [name for (name,) in conn.execute(_OF_VIEWS).fetchall()]
        for reader in readers:
            _run(conn, "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}", reader)
            _run(conn, "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM {}", reader)
            for function in functions:
                grant = sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}")
                conn.execute(grant.format(sql.SQL(function), sql.Identifier(reader)))
            _run(conn, "GRANT USAGE ON SCHEMA public TO {}", reader)
            hidden = set() if reader == ANALYST_NAMED else set(closed)
            if reader == MONITOR:
                hidden -= _NEEDED_BY_MONITOR
            for table in (*views, *(MONITORED if reader == MONITOR else ())):
                _grant_columns(conn, table, columns[table], hidden, reader)
    return readers


def _grant_columns(
    conn: Connection,
    table: str,
    columns: list[str],
    hidden: Collection[tuple[str, str]],
    reader: str,
) -> None:
    """The whole table or view, if nothing of it is hidden: a column added later is then open."""
    shown = [name for name in columns if (table, name) not in hidden]
    if shown == columns:
        _run(conn, "GRANT SELECT ON {} TO {}", table, reader)
    elif shown:
        grant = sql.SQL("GRANT SELECT ({}) ON {} TO {}").format(
            sql.SQL(", ").join(map(sql.Identifier, shown)),
            sql.Identifier(table),
            sql.Identifier(reader),
        )
        conn.execute(grant)


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
        # Without superuser rights, a database can be given only to a role that one is a member of.
        _run(admin, "GRANT {} TO CURRENT_USER", owner)
        _run(admin, "CREATE DATABASE {} OWNER {}", name, owner)
    _run(admin, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)


def _exists(conn: Connection, query: LiteralString, name: str) -> bool:
    return conn.execute(query, [name]).fetchone() is not None


def _run(conn: Connection, statement: LiteralString, *names: str) -> None:
    """Execute a statement; each ``{}`` of it stands for one of the names."""
    conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
