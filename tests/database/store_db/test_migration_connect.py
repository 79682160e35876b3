"""Do migrations of the connect app's tables keep and clear what they should, down and up again?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from include.tiktok_sync.store_db.connect_role import check_rights, ensure_connect_role
from include.tiktok_sync.store_db.schema import MIGRATIONS
from tests.database.bench import row, rows

ROLE = "connect_before_0010"
_BEFORE = """
INSERT INTO stores (store_code, store_name, is_active, removed_at) VALUES
    ('here', 'x', true, NULL), ('back', 'x', true, NULL), ('away', 'x', false, now());
INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token) VALUES
    ('here', 'account of here', '', '', ''), ('away', 'account of away', '', '', '');
INSERT INTO connect_links (link_hash, store_code, created_by, created_at, expires_at, used_at)
VALUES
    ('open', 'here', 'a', now() - interval '3 days', now() + interval '1 day', NULL),
    ('used', 'back', 'a', now() - interval '3 days', now() + interval '1 day', now()),
    ('before', 'back', 'a', now() - interval '3 days', now() + interval '1 day', NULL),
    ('after', 'back', 'a', now() - interval '1 day', now() + interval '1 day', NULL),
    ('of away', 'away', 'a', now() - interval '1 day', now() + interval '1 day', NULL);
INSERT INTO store_audit (store_code, action, actor, happened_at) VALUES
    ('back', 'disconnect', 'a', now() - interval '2 days'),
    ('back', 'resume', 'a', now() - interval '2 days'),
    ('here', 'export', 'a', now());
INSERT INTO connect_attempts (link_hash, store_code, state_hash, browser_hash, expires_at, outcome,
    finished_at, open_id, union_id, username, display_name)
SELECT 'open', 'here', outcome::bytea, '', now(), outcome, now(), 'o', 'u', 'n', 'd'
FROM unnest('{connected, missing_scope, declined, wrong_account, taken, expired}'::text[]) outcome;
INSERT INTO webhook_events (event_hash, event, open_id, store_code, happened_at, effect) VALUES
    ('1', 'video.publish.completed', 'account of here', NULL, now(), 'ignored'),
    ('2', 'video.publish.completed', 'of nobody', NULL, now(), 'ignored'),
    ('3', 'authorization.removed', 'had by here once', 'here', now(), 'needs_consent');
"""


@pytest.fixture
def config(empty_db_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = empty_db_url
    return config


def test_what_was_left_behind_is_put_in_order(config: Config, empty_db_url: str) -> None:
    command.upgrade(config, "0007")
    with psycopg.connect(empty_db_url, autocommit=True) as conn:
        conn.execute(_BEFORE)
        command.upgrade(config, "0010")

        ended = rows(conn, "SELECT link_hash FROM connect_links WHERE revoked_at IS NOT NULL")
        assert sorted(link["link_hash"] for link in ended) == [b"before", b"of away"]
        kept = rows(conn, "SELECT * FROM connect_attempts WHERE open_id IS NOT NULL")
        assert {attempt["outcome"] for attempt in kept} == {"connected", "missing_scope"}
        cleared = rows(conn, "SELECT * FROM connect_attempts WHERE open_id IS NULL")
        assert len(cleared) == 4
        names = ("union_id", "username", "display_name")
        assert {attempt[name] for attempt in cleared for name in names} == {None}
        events = rows(conn, "SELECT open_id, store_code FROM webhook_events ORDER BY event_hash")
        assert [tuple(event.values()) for event in events] == [
            ("account of here", "here"),
            (None, None),
            ("had by here once", "here"),
        ]

        command.downgrade(config, "0007")
        assert row(conn, "SELECT count(*) FROM webhook_events") == {"count": 2}
        command.upgrade(config, "0010")


@pytest.fixture
def app_role(config: Config, empty_db_url: str) -> Iterator[str]:
    """The app's role with the rights of migration 0007; its URL."""
    command.upgrade(config, "0007")
    with psycopg.connect(empty_db_url, autocommit=True) as conn:
        ensure_connect_role(conn, role=ROLE, password=ROLE)
        yield f"postgresql://{ROLE}:{ROLE}@{empty_db_url.rpartition('@')[2]}"
        conn.execute(f"DROP OWNED BY {ROLE}".encode())
        conn.execute(f"DROP ROLE {ROLE}".encode())


def test_a_role_that_could_call_the_functions_still_can(
    config: Config, empty_db_url: str, app_role: str
) -> None:
    """Who upgrades need not think of the connect app's role."""
    with psycopg.connect(empty_db_url, autocommit=True) as conn:
        for revision in ("0010", "0007", "0010"):
            move: Any = command.upgrade if revision == "0010" else command.downgrade
            move(config, revision)
            with psycopg.connect(app_role, autocommit=True) as app:
                check_rights(app)
                assert app.execute("SELECT connect_sweep()").fetchone() == (0,)
        public = rows(
            conn,
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " AND proname ~ '^connect_' AND has_function_privilege('public', oid, 'EXECUTE')",
        )
        assert public == []
        free = rows(
            conn,
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " AND proname ~ '^connect_' AND NOT (prosecdef AND proconfig IS NOT NULL)",
        )
        assert free == []


def test_moving_the_links_state_into_a_function_changes_no_answer_and_no_right(
    config: Config, empty_db_url: str, app_role: str
) -> None:
    states = (
        "SELECT convert_from(link_hash, 'UTF8') AS link, l.state"
        " FROM connect_links CROSS JOIN LATERAL connect_link(link_hash) AS l ORDER BY 1"
    )
    with psycopg.connect(empty_db_url, autocommit=True) as conn:
        conn.execute(_BEFORE)
        command.upgrade(config, "0012")
        conn.execute("UPDATE connect_links SET expires_at = created_at WHERE link_hash = 'after'")
        before = rows(conn, states)
        assert {link["state"] for link in before} == {"open", "used", "replaced", "expired"}

        for move, revision in ((command.upgrade, "0013"), (command.downgrade, "0012")):
            move(config, revision)
            assert rows(conn, states) == before
            with psycopg.connect(app_role, autocommit=True) as app:
                check_rights(app)
                assert row(app, "SELECT state FROM connect_link('open')") == {"state": "open"}


def test_notices_come_to_a_database_with_rows_and_go_again(
    config: Config, empty_db_url: str, app_role: str
) -> None:
    """Also the rights of a role that could call the functions before."""
    with psycopg.connect(empty_db_url, autocommit=True) as conn:
        conn.execute(_BEFORE)
        command.upgrade(config, "0017")
        functions = (
            "SELECT oid::regprocedure::text AS name, prosrc, prosecdef, proconfig::text,"
            " obj_description(oid, 'pg_proc') AS comment FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND proname ~ '^connect_' ORDER BY 1"
        )
        before = rows(conn, functions)
        attempts = "SELECT attempt_id, outcome FROM connect_attempts ORDER BY 1"
        kept = rows(conn, attempts)

        for _ in range(2):
            command.upgrade(config, "0018")
            assert rows(conn, attempts) == kept
            assert {one["notice"] for one in rows(conn, "SELECT * FROM grant_notices")} == {"none"}
            with psycopg.connect(app_role, autocommit=True) as app:
                check_rights(app)
                begun = "SELECT connect_begin('open', 'state', 'browser', interval '1 hour')"
                app.execute(begun)  # as an app that is not restarted yet calls it
            conn.execute("DELETE FROM connect_attempts WHERE browser_hash = 'browser'")
            command.downgrade(config, "0017")
            assert [one["name"] for one in rows(conn, functions)] == [one["name"] for one in before]
            with psycopg.connect(app_role, autocommit=True) as app:
                check_rights(app)
        after = {one["name"]: one for one in rows(conn, functions)}
        for one in before:
            for part in ("prosecdef", "proconfig", "comment"):
                assert after[one["name"]][part] == one[part]
            assert after[one["name"]]["prosrc"].split() == one["prosrc"].split()


_SECOND = """
INSERT INTO business_tokens (store_code, open_id, scope, access_token, refresh_token, status)
VALUES ('here', 'second of here', 's', '', '', 'active'),
    ('away', 'second of away', 's', '', '', 'needs_consent');
INSERT INTO connect_links (link_hash, store_code, created_by, expires_at, api)
VALUES ('second', 'here', 'a', now(), 'business');
INSERT INTO connect_attempts (link_hash, store_code, state_hash, browser_hash, expires_at, outcome,
    finished_at, api)
SELECT 'second', 'here', ('second ' || outcome)::bytea, '', now(), outcome, now(), 'business'
FROM unnest('{connected, not_approved}'::text[]) outcome;
INSERT INTO webhook_events (event_hash, event, open_id, store_code, happened_at, effect, api)
VALUES ('second', 'e', 'second of here', 'here', now(), 'ignored', 'business');
INSERT INTO account_daily (store_code, metric_date, fetched_at)
VALUES ('here', '2026-01-01', now());
INSERT INTO account_audience (store_code, snapshot_date, fetched_at)
VALUES ('here', '2026-01-01', now());
SELECT ensure_video_insights_partitions('2026-01-01', 0);
INSERT INTO video_insights_daily (store_code, video_id, snapshot_date, fetched_at)
VALUES ('here', 'v', '2026-01-01', now());
"""

# Functions, columns, constraints and triggers, with who may call or read them.
_OF_THE_APP = """
SELECT p.oid::regprocedure::text AS name, pg_get_functiondef(p.oid) AS what,
    obj_description(p.oid, 'pg_proc') AS comment,
    (SELECT array_agg(r.rolname::text ORDER BY 1) FROM aclexplode(p.proacl) a
        JOIN pg_roles r ON r.oid = a.grantee) AS callers
FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
UNION ALL SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
    col_description(c.oid, a.attnum), c.relacl::text[]
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
UNION ALL SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid), NULL, NULL
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL SELECT tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid), NULL, NULL
FROM pg_trigger WHERE NOT tgisinternal
ORDER BY 1, 2
"""


def test_the_second_consents_go_with_their_figures_and_come_again(
    config: Config, empty_db_url: str, app_role: str
) -> None:
    """From the newest schema to the last without the Accounts API, on a database that used it."""
    with psycopg.connect(empty_db_url, autocommit=True) as conn:
        conn.execute(_BEFORE)
        command.upgrade(config, "0020")
        before = rows(conn, _OF_THE_APP)
        tables = ("stores", "store_tokens", "connect_links", "connect_attempts", "webhook_events")
        kept = {table: rows(conn, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}  # noqa: S608 - our own tables
        command.upgrade(config, "head")
        newest = rows(conn, _OF_THE_APP)

        for _ in range(2):
            conn.execute(_SECOND)
            assert row(conn, "SELECT count(*) FROM living_consents WHERE api = 'business'") == {
                "count": 1
            }
            command.downgrade(config, "0020")
            assert rows(conn, _OF_THE_APP) == before
            for table, lines in kept.items():
                assert rows(conn, f"SELECT * FROM {table} ORDER BY 1, 2") == lines  # noqa: S608 - our own tables
            with psycopg.connect(app_role, autocommit=True) as app:
                check_rights(app)
            command.upgrade(config, "head")
            assert rows(conn, _OF_THE_APP) == newest
            with psycopg.connect(app_role, autocommit=True) as app:
                check_rights(app)


def test_what_a_change_of_account_needs_goes_and_comes_again(
    config: Config, empty_db_url: str, app_role: str
) -> None:
    everything = (
        _OF_THE_APP,
        (
            "SELECT relname, relacl::text, obj_description(oid, 'pg_class') AS comment,"
            " CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) END AS what FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        ),
    )
    with psycopg.connect(empty_db_url, autocommit=True) as conn:
        command.upgrade(config, "0024")
        before = [rows(conn, query) for query in everything]
        command.upgrade(config, "0025")
        after = [rows(conn, query) for query in everything]
        with psycopg.connect(app_role, autocommit=True) as app:
            check_rights(app)
        command.downgrade(config, "0024")
        assert [rows(conn, query) for query in everything] == before
        command.upgrade(config, "0025")
        assert [rows(conn, query) for query in everything] == after
