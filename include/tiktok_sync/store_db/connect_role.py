"""The database role of the connect app: it may call the app's functions, and nothing else."""

from __future__ import annotations

import psycopg
from psycopg import sql

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.database import Connection

DEFAULT_ROLE = "tiktok_connect"

_FUNCTIONS = """
SELECT format('%I(%s)', proname, pg_get_function_identity_arguments(oid)),
    has_function_privilege(oid, 'EXECUTE')
FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname ~ '^connect_'
    AND proname NOT IN (
        'connect_known_account', 'connect_verdict', 'connect_business_verdict')
ORDER BY 1
"""
# Those that are left out are called by the others: they can read any store's account.

_TOO_MUCH = """
SELECT format('%I', c.relname) FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    AND c.relname <> 'alembic_version'
    AND (has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
        OR has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE'))
ORDER BY 1
"""


_PUBLIC = """
SELECT oid::regprocedure::text FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND prosecdef
    AND has_function_privilege('public', oid, 'EXECUTE')
ORDER BY 1
"""
# These run with the owner's rights, so each gives access to the tables.


def open_to_all(conn: Connection) -> list[str]:
    """The functions with the owner's rights that every login may call; there must be none."""
    return [str(row[0]) for row in conn.execute(_PUBLIC)]


def ensure_connect_role(
    conn: Connection, *, role: str = DEFAULT_ROLE, password: str | None = None
) -> list[str]:
    """Create the role if it is missing, and give it exactly what the connect app needs; idempotent.

    Roles belong to the whole server, so no migration creates one. The caller must own the schema's
    functions, and may create roles unless the role exists.

    Args:
        conn: Autocommit connection.
        role: Its name.
        password: Set if given; then the role may log in. The server sees only its hash.

    Returns:
        The functions it may call.

    Raises:
        ConfigurationError: The caller lacks the right to do it.
    """
    name = sql.Identifier(role)
    try:
        with conn.transaction():
            if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
            if password:
                secret = conn.pgconn.encrypt_password(
                    password.encode(), role.encode(), b"scram-sha-256"
                ).decode()
                conn.execute(  # db prepare makes it without a login where it is given no password
                    sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(secret))
                )
            return _grant(conn, name)
    except psycopg.errors.InsufficientPrivilege as error:
        message = (
            f"This login may not set up the role {role} ({error.diag.message_primary}). Let a"
            f" superuser run CREATE ROLE {role} LOGIN PASSWORD '…' (ALTER ROLE if it exists), then"
            " run this command again as the owner of the store database, without"
            " CONNECT_DB_PASSWORD."
        )
        raise ConfigurationError(message) from error


def may_log_in(conn: Connection, role: str) -> bool:
    """Whether Postgres lets the role log in."""
    query = "SELECT FROM pg_roles WHERE rolname = %s AND rolcanlogin"
    return conn.execute(query, [role]).fetchone() is not None


def _grant(conn: Connection, role: sql.Identifier) -> list[str]:
    database = str(conn.execute("SELECT current_database()").fetchone()[0])  # type: ignore[index]  # always one row
    functions = [str(row[0]) for row in conn.execute(_FUNCTIONS)]
    for statement in (
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), role),
        sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role),
        sql.SQL("GRANT SELECT ON alembic_version TO {}").format(role),
        sql.SQL("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM {}").format(role),
        *(
            sql.SQL("REVOKE ALL ON FUNCTION {} FROM PUBLIC").format(sql.SQL(function))
            for function in open_to_all(conn)
        ),
        *(
            # Quoted by Postgres itself (format %I above).
            sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(function), role)
            for function in functions
        ),
    ):
        conn.execute(statement)
    return functions


def check_rights(conn: Connection) -> None:
    """Refuse a login whose rights differ from those of :func:`ensure_connect_role`.

    Raises:
        ConfigurationError: It can read or write a table, or may not call a function; or everyone
            may call a function that runs with the owner's rights.
    """
    tables = [str(row[0]) for row in conn.execute(_TOO_MUCH)]
    if tables:
        message = (
            f"CONNECT_DB_URL logs in as a role with rights on {', '.join(tables)}. The connect app"
            " faces the internet: give it a role of its own (python -m include.tiktok_sync db"
            " connect-role)."
        )
        raise ConfigurationError(message)
    public = open_to_all(conn)
    if public:
        message = (
            f"Every login of the database may call {', '.join(public)} with the rights of its"
            " owner, as after a restore. Run: python -m include.tiktok_sync db prepare"
        )
        raise ConfigurationError(message)
    # NULL on an empty database, which check_schema names.
    version = "SELECT has_table_privilege(to_regclass('alembic_version'), 'SELECT')"
    row = conn.execute(version).fetchone()
    missing = [str(name) for name, may_call in conn.execute(_FUNCTIONS) if not may_call]
    if missing or row == (False,):
        message = (
            "CONNECT_DB_URL logs in as a role that lacks rights of the connect app. Update them:"
            " python -m include.tiktok_sync db connect-role"
        )
        raise ConfigurationError(message)
