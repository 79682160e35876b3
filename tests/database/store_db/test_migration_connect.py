"""Does migration 0010 put in order what the app left behind before, on a database with rows?"""

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
