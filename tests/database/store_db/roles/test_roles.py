"""Roles: the sync owns the tables and is no superuser; the analyst reads views, and no token."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
import requests
from psycopg import sql
from typer.testing import CliRunner, Result

from include.tiktok_sync.cli.app import app
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.links.connect_links import LinkMaker
from include.tiktok_sync.store_db.connect_retention import Forgotten, forget_connecting
from include.tiktok_sync.store_db.connect_role import open_to_all
from include.tiktok_sync.store_db.database import connect
from include.tiktok_sync.store_db.personal_data import personal_columns
from include.tiktok_sync.store_db.roles import CONNECTION_LIMITS, prepare
from include.tiktok_sync.store_db.schema import SCHEMA_REVISION
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.postgres_server import PostgresServer, scratch_postgres
from tests.status_site import served, status_site
from tiktok_airflow.status_page import pages

SYNC, ANALYST, NAMED = "sync-Pa55word", "analyst-Pa55word", "named-Pa55word"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A Postgres of its own: roles belong to a whole server."""
    with scratch_postgres() as server:
        url = as_role(server, "tiktok_sync", SYNC)
        passwords = {"analyst_password": ANALYST, "analyst_named_password": NAMED}
        assert prepare(server.url(), url, **passwords) == SCHEMA_REVISION
        yield server


def as_role(server: PostgresServer, role: str, password: str, database: str = "tiktok_sync") -> str:
    return server.url(database).replace(f"postgres:{server.password}", f"{role}:{password}")


@pytest.fixture
def analyst(server: PostgresServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(as_role(server, "analyst", ANALYST), autocommit=True) as conn:
        yield conn


def names(server: PostgresServer, kinds: str) -> list[str]:
    with psycopg.connect(server.url("tiktok_sync")) as conn:
        rows = conn.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind = ANY(%s) ORDER BY 1",
            [list(kinds)],
        )
        return [row[0] for row in rows]


CLOSED = {
    ("living_consents", "store_name"),
    ("living_grants", "store_name"),
    ("account_growth_daily", "store_name"),
    ("hashtag_performance", "store_name"),
    ("hashtag_performance", "hashtag"),
    ("posting_times", "store_name"),
    ("report_archive", "html"),
    ("account_history_daily", "store_name"),
    ("store_week", "store_name"),
    ("video_age_curve", "store_name"),
    ("video_age_curve", "title"),
    ("video_engagement", "store_name"),
    ("video_engagement", "title"),
    ("account_growth_daily_with_late", "store_name"),
    ("store_leaderboard", "store_name"),
    ("sync_freshness", "store_name"),
    ("video_gains_daily", "title"),
    ("video_gains_daily_with_late", "title"),
    ("video_performance", "store_name"),
}
"""Columns of views that the role analyst does not read, written out so that one more is noticed."""


def columns_of(server: PostgresServer, kinds: str) -> list[tuple[str, str]]:
    with psycopg.connect(server.url("tiktok_sync")) as conn:
        return conn.execute(
            "SELECT c.relname::text, a.attname::text FROM pg_class AS c JOIN pg_attribute AS a"
            " ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = ANY(%s)",
            [list(kinds)],
        ).fetchall()


def read(conn: psycopg.Connection, table: str, column: str) -> bool:
    """Whether the login reads the column: tried out, since rights also come from other roles."""
    query = sql.SQL("SELECT {} FROM {} LIMIT 1")
    try:
        conn.execute(query.format(sql.Identifier(column), sql.Identifier(table)))
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def test_analyst_reads_figures_and_codes_and_analyst_named_every_column(
    server: PostgresServer, analyst: psycopg.Connection
) -> None:
    shown = columns_of(server, "v")
    assert {column for _, column in shown} >= {"follower_gain", "view_gain", "store_code"}
    with psycopg.connect(as_role(server, "analyst_named", NAMED), autocommit=True) as named:
        assert [column for column in shown if not read(named, *column)] == []
        for view in names(server, "v"):
            named.execute(sql.SQL("SELECT * FROM {} LIMIT 1").format(sql.Identifier(view)))
        assert [column for column in columns_of(server, "rp") if read(named, *column)] == []

    assert {column for column in shown if not read(analyst, *column)} == CLOSED
    assert [column for column in columns_of(server, "rp") if read(analyst, *column)] == []
    with psycopg.connect(server.url("tiktok_sync")) as conn:
        marked = {(found.table, found.column) for found in personal_columns(conn)}
    assert not any(read(analyst, *column) for column in marked)
    # The figures are read as before, whichever way a view finds its rows.
    for view in names(server, "v"):
        analyst.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(view)))


@pytest.mark.parametrize("how", ["prepare", "upgrade"])
def test_a_column_that_is_marked_later_is_closed_by_the_next_prepare_and_the_next_upgrade(
    server: PostgresServer, analyst: psycopg.Connection, how: str
) -> None:
    url = as_role(server, "tiktok_sync", SYNC)
    assert read(analyst, "account_growth_daily", "region")
    with psycopg.connect(url) as conn:
        conn.execute("CREATE VIEW newer AS SELECT store_code, region FROM stores")
        conn.execute("COMMENT ON COLUMN stores.region IS 'Where. Personal: identity.'")

    def again() -> None:
        if how == "prepare":
            prepare(server.url(), url)
        else:
            done = CliRunner().invoke(app, ["db", "upgrade"], env={"STORE_DB_URL": url})
            assert (done.exit_code, done.stderr) == (0, "")

    try:
        again()
        assert not read(analyst, "account_growth_daily", "region")
        assert not read(analyst, "newer", "region")
        assert read(analyst, "newer", "store_code")
        with psycopg.connect(as_role(server, "analyst_named", NAMED), autocommit=True) as named:
            assert read(named, "newer", "region")
    finally:
        with psycopg.connect(url) as conn:
            conn.execute("DROP VIEW newer")
            conn.execute("COMMENT ON COLUMN stores.region IS 'Region, free text'")
        again()
    assert read(analyst, "account_growth_daily", "region")


def test_names_come_back_to_a_login_that_is_granted_analyst_named(
    server: PostgresServer, analyst: psycopg.Connection
) -> None:
    server.run("GRANT analyst_named TO analyst")
    try:
        prepare(server.url(), as_role(server, "tiktok_sync", SYNC))  # and leaves the grant alone
        analyst.execute("SELECT * FROM store_leaderboard")
    finally:
        server.run("REVOKE analyst_named FROM analyst")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        analyst.execute("SELECT * FROM store_leaderboard")


def test_monitor_reads_what_grafana_shows_and_no_more(server: PostgresServer) -> None:
    url = as_role(server, "tiktok_sync", SYNC)
    prepare(server.url(), url, analyst_password=ANALYST, monitor_password="monitor-Pa55word")

    with psycopg.connect(as_role(server, "monitor", "monitor-Pa55word"), autocommit=True) as conn:
        for table in ("rate_limits", "rate_limit_grants"):
            conn.execute(sql.SQL("SELECT * FROM {} LIMIT 1").format(sql.Identifier(table)))
        shown = {*columns_of(server, "v"), *columns_of(server, "r")}
        closed = {(t, c) for t, c in shown if t in {"sync_logs", *names(server, "v")}}
        closed -= {column for column in closed if read(conn, *column)}
        assert closed == {*CLOSED, ("sync_logs", "message")}
        for table in ("store_tokens", "stores", "videos"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(sql.SQL("SELECT FROM {}").format(sql.Identifier(table)))


def test_no_view_shows_a_token(server: PostgresServer) -> None:
    with psycopg.connect(server.url("tiktok_sync")) as conn:
        columns = conn.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_name = ANY(%s)",
            [names(server, "v")],
        ).fetchall()

    assert columns
    assert [c for c in columns if c[2] == "bytea" or c[1].endswith("_token")] == []


def test_analyst_changes_nothing_even_when_asking_for_it(analyst: psycopg.Connection) -> None:
    for statement in (
        "CREATE TABLE mine (id integer)",
        "CREATE TEMP TABLE mine (id integer)",
        "SELECT ensure_video_daily_stats_partitions('2020-01-01')",
    ):
        with pytest.raises(psycopg.Error) as caught:
            analyst.execute(statement.encode())
        assert isinstance(
            caught.value,
            (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction),
        )
    analyst.execute("SET default_transaction_read_only = off")  # a courtesy, not the lock
    for statement in ("CREATE TABLE mine (id integer)", "UPDATE stores SET store_name = 'mine'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analyst.execute(statement.encode())


def test_no_reader_may_do_what_stops_backups_or_migrations(analyst: psycopg.Connection) -> None:
    """Rights, not settings: a session may switch read-only off."""
    analyst.execute("SET default_transaction_read_only = off")
    for statement in (
        "SELECT lo_from_bytea(0, 'mine')",
        "SELECT lo_create(0)",
        "SELECT lo_creat(-1)",
        "SELECT lo_put(1, 0, 'mine')",
        "SELECT pg_advisory_lock(7436991207)",
        "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
        "ALTER ROLE analyst CONNECTION LIMIT 100",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analyst.execute(statement.encode())


def test_a_reader_cannot_use_up_the_servers_connections(server: PostgresServer) -> None:
    url = as_role(server, "analyst", ANALYST)
    with ExitStack() as opened:
        for _ in range(CONNECTION_LIMITS["analyst"]):
            opened.enter_context(psycopg.connect(url))
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            psycopg.connect(url)


def test_preparing_takes_back_what_is_not_declared(server: PostgresServer) -> None:
    url = as_role(server, "tiktok_sync", SYNC)

    def rights() -> list[tuple[str, str]]:
        with psycopg.connect(server.url("tiktok_sync")) as conn:
            return conn.execute(
                "SELECT oid::regclass::text, relacl::text FROM pg_class"
                " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"
                " UNION ALL SELECT oid::regprocedure::text, proacl::text FROM pg_proc"
                " WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
            ).fetchall()

    prepare(server.url(), url, analyst_password=ANALYST)
    declared = rights()
    with psycopg.connect(url) as conn:
        conn.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC, analyst")
        conn.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO tiktok_connect")
        conn.execute("GRANT SELECT ON store_tokens TO PUBLIC")
        conn.execute("GRANT UPDATE ON stores TO analyst")
        conn.execute("GRANT SELECT (store_name) ON stores TO analyst")
        conn.execute("GRANT SELECT (title) ON video_gains_daily TO PUBLIC")
    assert rights() != declared

    prepare(server.url(), url, analyst_password=ANALYST)

    assert [sorted_acl(right) for right in rights()] == [sorted_acl(right) for right in declared]
    with psycopg.connect(url, autocommit=True) as conn:
        assert open_to_all(conn) == []
        conn.execute("CREATE FUNCTION newer() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1")
        assert open_to_all(conn) == [], "not even before the next db prepare"
        conn.execute("DROP FUNCTION newer")


def sorted_acl(right: tuple[str, str]) -> tuple[str, list[str]]:
    name, acl = right
    return name, sorted((acl or "").strip("{}").split(","))


def test_sync_owns_the_tables_and_nothing_beyond(server: PostgresServer) -> None:
    with psycopg.connect(as_role(server, "tiktok_sync", SYNC), autocommit=True) as conn:
        conn.execute("SELECT ensure_video_daily_stats_partitions('2020-01-01')")
        conn.execute("DROP TABLE video_daily_stats_2020_01")
        now = datetime.now(timezone.utc)
        conn.execute(
            "INSERT INTO webhook_events (event_hash, event, open_id, happened_at, effect)"
            " VALUES ('', 'old', 'x', now(), 'ignored')"
        )
        gone = forget_connecting(conn, 7, now=now + timedelta(days=8), dry_run=False)
        assert gone == [Forgotten("webhook_events", 1)]
        for statement in ("CREATE ROLE other", "CREATE DATABASE other", "SELECT * FROM pg_authid"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement.encode())


def test_the_status_page_needs_the_role_of_the_sync_and_no_more(server: PostgresServer) -> None:
    url = as_role(server, "tiktok_sync", SYNC)
    with connect(url, application_name="test") as conn:
        Lifecycle(conn, "airflow:ann").add("N1", "Kiel")
        LinkMaker(secrets.token_urlsafe(32), "https://connect.test", "airflow:ann").make(conn, "N1")
        pages.store_list(conn, "", 1)
    with served(status_site(as_role(server, "analyst", ANALYST))) as page:
        refused = requests.get(f"{page}stores", timeout=60)
    assert refused.status_code == 503
    assert "permission denied" in refused.text
    assert "tiktok_sync, which db prepare makes" in refused.text


def test_the_database_is_closed_to_everyone_else(server: PostgresServer) -> None:
    server.run("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")

    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(as_role(server, "stranger", "stranger"))


def test_preparing_again_changes_passwords_and_keeps_the_rest(server: PostgresServer) -> None:
    url = as_role(server, "tiktok_sync", SYNC)
    with psycopg.connect(url) as conn:
        conn.execute("CREATE OR REPLACE VIEW newer AS SELECT 1 AS one")

    prepare(server.url(), url, analyst_password="another-Pa55word")

    with psycopg.connect(as_role(server, "analyst", "another-Pa55word")) as conn:
        assert conn.execute("SELECT one FROM newer").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(as_role(server, "analyst", ANALYST))
    prepare(server.url(), url, analyst_password=ANALYST)


@pytest.mark.parametrize("role", ["analyst", "analyst_named", "monitor", "tiktok_connect"])
def test_preparing_again_without_a_password_takes_no_login_away(
    server: PostgresServer, role: str
) -> None:
    server.run("ALTER ROLE {} LOGIN PASSWORD 'by-hand'", role)

    prepare(server.url(), as_role(server, "tiktok_sync", SYNC))

    with psycopg.connect(as_role(server, role, "by-hand")):
        pass
    prepare(server.url(), as_role(server, "tiktok_sync", SYNC), analyst_password=ANALYST)


def test_a_new_role_without_a_password_cannot_log_in(server: PostgresServer) -> None:
    url = as_role(server, "tiktok_sync", SYNC)
    server.run("ALTER ROLE analyst RENAME TO set_aside")
    with psycopg.connect(server.url("tiktok_sync"), autocommit=True) as admin:
        try:
            prepare(server.url(), url)
            found = admin.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'analyst'")
            assert found.fetchall() == [(False,)]
        finally:
            admin.execute("DROP OWNED BY analyst")
            admin.execute("DROP ROLE analyst")
            admin.execute("ALTER ROLE set_aside RENAME TO analyst")


def test_connect_role_lets_the_role_log_in_that_prepare_made_without_a_password(
    server: PostgresServer,
) -> None:
    server.run("ALTER ROLE tiktok_connect NOLOGIN PASSWORD NULL")  # as the first prepare makes it
    owner, admin = as_role(server, "tiktok_sync", SYNC), server.url("tiktok_sync")

    def connect_role(url: str, password: str = "") -> Result:
        env = {"STORE_DB_URL": url, "CONNECT_DB_PASSWORD": password}
        return CliRunner().invoke(app, ["db", "connect-role"], env=env)

    bare = connect_role(owner)
    assert (bare.exit_code, "cannot log in yet" in bare.stderr) == (0, True)
    refused = connect_role(owner, "connect-Pa55word")  # the owner may not alter roles
    assert (refused.exit_code, "ALTER ROLE" in refused.stderr) == (2, True)
    done = connect_role(admin, "connect-Pa55word")
    assert (done.exit_code, done.stderr) == (0, "")
    for _ in range(2):
        with psycopg.connect(as_role(server, "tiktok_connect", "connect-Pa55word")) as conn:
            assert conn.execute("SELECT connect_sweep()").fetchone() == (0,)
        prepare(server.url(), owner, analyst_password=ANALYST)


def test_url_without_its_parts_and_an_admin_without_rights_are_refused(
    server: PostgresServer,
) -> None:
    with pytest.raises(ConfigurationError, match="user, password and database"):
        prepare(server.url(), "postgresql://127.0.0.1/tiktok_sync")
    with pytest.raises(ConfigurationError, match="CREATEROLE"):
        prepare(
            as_role(server, "tiktok_sync", SYNC),
            server.url("other").replace("postgres:", "newcomer:"),
        )
