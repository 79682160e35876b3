"""The three clocks clear personal data where it is due, only there, and never a figure."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from structlog.testing import CapturingLogger

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_retention import Cleared, clear_personal, uncovered
from include.tiktok_sync.store_db.retention import RetentionSettings
from tests.database.bench import row, rows
from tests.database.store_db.retention.personal_rows import (
    NOW,
    TODAY,
    add_attempt,
    add_audit,
    add_day,
    add_grant,
    add_records,
    add_second_grant,
    add_store,
    add_video,
    ago,
    names,
)
from tests.database.task_bodies import connections, task_context
from tiktok_airflow.tasks import retention as retention_tasks

DEFAULT = RetentionSettings()
OFF = RetentionSettings(identity_days=0, removed_text_days=0, left_days=0)


def clear(conn: Connection, settings: RetentionSettings = DEFAULT) -> list[Cleared]:
    """Clear, after a dry run that must change nothing and say the same."""
    said = clear_personal(conn, settings, now=NOW, today=TODAY, dry_run=True)
    done = clear_personal(conn, settings, now=NOW, today=TODAY, dry_run=False)
    assert said == done
    assert clear_personal(conn, settings, now=NOW, today=TODAY, dry_run=False) == []
    return done


def test_only_the_current_identity_outlives_its_days(conn: Connection) -> None:
    add_store(conn, "S")
    add_store(conn, "silent")
    for days in (200, 91, 90, 0):
        add_day(conn, "S", TODAY - timedelta(days=days))
        add_day(conn, "silent", TODAY - timedelta(days=days + 100), "Bea" if days else None)

    assert clear(conn) == [Cleared("identity", "user_daily_stats", 4)]

    assert names(conn, "S") == {200: None, 91: None, 90: "Anna", 0: "Anna"}
    # Its newest row names nobody: what is current is the newest that does.
    assert names(conn, "silent") == {300: None, 191: None, 190: "Bea", 100: None}
    assert row(conn, "SELECT extra FROM user_daily_stats WHERE likes_count = 7 LIMIT 1")


def test_text_of_a_removed_video_goes_and_comes_back_with_it(conn: Connection) -> None:
    add_store(conn, "S")
    for video, removed in (("old", 31.0), ("young", 29.0), ("there", None)):
        add_video(conn, "S", video, removed=removed)

    assert clear(conn) == [Cleared("removed_text", "videos", 1)]

    found = {v["video_id"]: v for v in rows(conn, "SELECT * FROM videos")}
    assert (found["old"]["title"], found["old"]["share_url"], found["old"]["extra"]) == (
        None,
        None,
        {},
    )
    assert found["young"]["title"] == found["there"]["title"] == "Anna sings"


def test_a_store_that_left_loses_all_and_one_that_is_here_nothing(conn: Connection) -> None:
    add_store(conn, "left", removed=31)
    add_store(conn, "just left", removed=29)
    add_store(conn, "here")
    add_store(conn, "withdrew")
    add_grant(conn, "left", ended=31)
    add_grant(conn, "just left", ended=29)
    add_grant(conn, "here")
    add_grant(conn, "withdrew", ended=40)
    for code in ("left", "just left", "here", "withdrew"):
        add_day(conn, code, TODAY - timedelta(days=1))
        add_video(conn, code, f"of {code}")
        add_records(conn, code, ago(35))
        add_records(conn, code, ago(1))

    done = clear(conn)

    assert {(found.clock, found.table, found.rows) for found in done} == {
        ("left", "alerts", 2),
        ("left", "store_tokens", 2),
        ("left", "sync_logs", 2),
        ("left", "user_daily_stats", 2),
        ("left", "videos", 2),
    }
    for code in ("just left", "here"):
        assert names(conn, code) == {1: "Anna"}
    for code in ("left", "withdrew"):
        assert names(conn, code) == {1: None}
        logs = rows(conn, "SELECT * FROM sync_logs WHERE store_code = %s ORDER BY run_time", code)
        assert logs[0]["details"] == {"late": False, "videos": 0}
        assert logs[1]["message"] == "Of Anna"  # the operator's of today


@pytest.mark.parametrize(
    ("reason", "effect", "happened", "gone"),
    [
        (2, "needs_consent", 1, True),
        (2, "already_ended", 1, True),
        (1, "needs_consent", 1, False),
        (2, "older_than_grant", 1, False),
        (2, "needs_consent", 500, False),  # of the account before the last consent
    ],
)
def test_an_account_that_is_gone_is_forgotten_at_once(
    conn: Connection, reason: int, effect: str, happened: float, *, gone: bool
) -> None:
    add_store(conn, "S")
    add_grant(conn, "S", ended=1)
    add_day(conn, "S", TODAY)
    conn.execute(
        "INSERT INTO webhook_events (event_hash, event, open_id, store_code, reason, happened_at,"
        " effect) VALUES ('x', 'authorization.removed', 'account of S', 'S', %s, %s, %s)",
        [reason, ago(happened), effect],
    )

    clear(conn)

    assert names(conn, "S") == {0: None if gone else "Anna"}


def test_a_notice_that_a_refresh_has_disproved_is_no_reason_to_hurry(conn: Connection) -> None:
    """The account was "deleted", tokens recheck found it alive; its grant ended later."""
    add_store(conn, "S")
    add_grant(conn, "S", ended=1)
    conn.execute("UPDATE store_tokens SET refreshed_at = %s", [ago(50)])
    add_day(conn, "S", TODAY)
    conn.execute(
        "INSERT INTO webhook_events (event_hash, event, open_id, store_code, reason, happened_at,"
        " effect) VALUES ('x', 'authorization.removed', 'account of S', 'S', 2, %s,"
        " 'needs_consent')",
        [ago(60)],
    )

    assert clear(conn) == []

    assert names(conn, "S") == {0: "Anna"}


def test_a_grant_that_was_forgotten_does_not_keep_its_account(conn: Connection) -> None:
    """``stores resume --without-grant``: no row of store_tokens says any more when it ended."""
    add_store(conn, "due")
    add_store(conn, "not yet")
    add_store(conn, "never connected")
    add_records(conn, "never connected", ago(90))
    for code, ended in (("due", 31), ("not yet", 29)):
        add_day(conn, code, TODAY - timedelta(days=60))
        add_video(conn, code, f"of {code}")
        conn.execute(
            "INSERT INTO store_audit (store_code, action, actor, happened_at)"
            " VALUES (%s, 'revoke', 'bob', %s)",
            [code, ago(ended)],
        )

    assert {(found.clock, found.table, found.rows) for found in clear(conn)} == {
        ("left", "user_daily_stats", 1),
        ("left", "videos", 1),
    }

    assert (names(conn, "due"), names(conn, "not yet")) == ({60: None}, {60: "Anna"})


@pytest.mark.parametrize("ended", [None, 60])
def test_a_store_that_only_the_accounts_api_reads_is_here(
    conn: Connection, ended: float | None
) -> None:
    """The first grant ended, or was forgotten too; what it brought goes, the rest stays."""
    add_store(conn, "S")
    if ended:
        add_grant(conn, "S", ended=ended)
    add_audit(conn, "S", "grant_ended", 60)
    add_second_grant(conn, "S")
    add_audit(conn, "S", "connect", 50, "business")
    for api in ("display", "business"):
        add_attempt(conn, "S", api, 70 if api == "display" else 50)
    add_day(conn, "S", TODAY - timedelta(days=61))
    add_records(conn, "S", ago(40))

    assert {(found.table, found.rows) for found in clear(conn)} == {
        ("connect_attempts", 1),
        ("user_daily_stats", 1),
        *([("store_tokens", 1)] if ended else []),
    }

    assert row(conn, "SELECT business_username('S') AS name") == {"name": "anna"}
    assert row(conn, "SELECT message FROM sync_logs")["message"] == "Of Anna"


def test_a_store_of_the_second_consent_leaves_with_it(conn: Connection) -> None:
    add_store(conn, "S")
    add_second_grant(conn, "S", ended=31)
    add_audit(conn, "S", "connect", 50, "business")
    add_audit(conn, "S", "grant_ended", 31, "business")
    add_records(conn, "S", ago(40))

    assert {found.table for found in clear(conn)} == {"alerts", "business_tokens", "sync_logs"}


def test_an_end_with_a_later_consent_is_none(conn: Connection) -> None:
    add_store(conn, "S")
    add_audit(conn, "S", "grant_ended", 60)
    add_audit(conn, "S", "connect_partly", 50)
    add_day(conn, "S", TODAY - timedelta(days=61))

    assert clear(conn) == []


def test_a_link_that_is_open_still_knows_the_account_it_expects(conn: Connection) -> None:
    add_store(conn, "S")
    add_grant(conn, "S", ended=60)
    for link, ends in (("over", 31), ("open", -1)):
        conn.execute(
            "INSERT INTO connect_links (link_hash, store_code, expected_account, created_by,"
            " created_at, expires_at) VALUES (%s, 'S', 'anna', 'bob', %s, %s)",
            [link.encode(), ago(40), ago(ends)],
        )

    clear(conn)

    found = rows(conn, "SELECT expected_account AS a FROM connect_links ORDER BY link_hash")
    assert [link["a"] for link in found] == ["anna", None]


def test_an_attempt_that_the_connect_app_never_ended_is_cleared_once_it_is_over(
    conn: Connection,
) -> None:
    add_store(conn, "S", removed=60)
    conn.execute(
        "INSERT INTO connect_links (link_hash, store_code, created_by, created_at, expires_at)"
        " VALUES ('l', 'S', '', %s, %s)",
        [ago(90), ago(80)],
    )
    for state, ends in (("over", 89), ("under way", -0.01)):
        conn.execute(
            "INSERT INTO connect_attempts (link_hash, store_code, state_hash, browser_hash,"
            " expires_at, open_id, username) VALUES ('l', 'S', %s, '', %s, 'id', 'anna')",
            [state.encode(), ago(ends)],
        )

    assert clear(conn) == [Cleared("left", "connect_attempts", 1)]

    found = rows(conn, "SELECT open_id, username FROM connect_attempts ORDER BY expires_at")
    assert [tuple(attempt.values()) for attempt in found] == [(None, None), ("id", "anna")]


def test_a_store_that_comes_back_is_spared(conn: Connection) -> None:
    add_store(conn, "S", removed=60)
    add_grant(conn, "S")
    add_day(conn, "S", TODAY - timedelta(days=60))
    conn.execute("UPDATE stores SET removed_at = NULL, is_active = true")

    assert clear(conn) == []


def test_zero_switches_each_clock_off(conn: Connection) -> None:
    add_store(conn, "S")
    add_store(conn, "left", removed=99)
    for code in ("S", "left"):
        add_day(conn, code, TODAY - timedelta(days=200))
        add_day(conn, code, TODAY)
        add_video(conn, code, code, removed=90)

    assert clear(conn, OFF) == []
    only = RetentionSettings(identity_days=0, removed_text_days=0)
    assert {found.clock for found in clear(conn, only)} == {"left"}
    assert {found.clock for found in clear(conn)} == {"identity", "removed_text"}


def test_a_row_in_use_is_left_for_the_next_time(conn: Connection, db_url: str) -> None:
    add_store(conn, "S")
    add_video(conn, "S", "v", removed=90)
    with psycopg.connect(db_url) as other:
        other.execute("SELECT FROM videos FOR UPDATE")
        assert clear_personal(conn, DEFAULT, now=NOW, today=TODAY, dry_run=False) == []
    assert clear(conn) == [Cleared("removed_text", "videos", 1)]


@pytest.mark.parametrize("dry_run", [True, False])
def test_the_task_clears_by_default_and_counts_in_its_log(
    conn: Connection, db_url: str, monkeypatch: pytest.MonkeyPatch, *, dry_run: bool
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", connections(db_url)["AIRFLOW_CONN_STORE_DB"])
    add_store(conn, "S")
    add_video(conn, "S", "v", removed=90)

    # Outside of a task, Airflow's configuration of structlog drops what is below a warning.
    log = CapturingLogger()
    monkeypatch.setattr(retention_tasks, "log", log)

    context = {**task_context(), "params": {"personal_dry_run": dry_run}}
    retention_tasks.clear_personal_data(context)

    said = log.calls[-1].kwargs
    assert (said["identity"], said["removed_text"], said["left"]) == (0, 1, 0)
    assert row(conn, "SELECT title FROM videos")["title"] == ("Anna sings" if dry_run else None)


@pytest.mark.parametrize("name", ["IDENTITY", "REMOVED_TEXT", "LEFT"])
@pytest.mark.parametrize("days", ["-1", "many", "99999999"])
def test_days_that_are_none_are_refused(name: str, days: str) -> None:
    with pytest.raises(ConfigurationError, match=f"RETENTION_{name}_DAYS must be 0"):
        RetentionSettings.from_env({f"RETENTION_{name}_DAYS": days})


def test_a_marked_column_that_nothing_clears_is_found(conn: Connection) -> None:
    assert uncovered(conn) == []
    conn.execute("CREATE TABLE people (name text)")
    conn.execute("COMMENT ON COLUMN people.name IS 'Who. Personal: identity.'")
    assert [(found.table, found.column) for found in uncovered(conn)] == [("people", "name")]


def test_a_newly_marked_column_is_cleared(conn: Connection) -> None:
    conn.execute("ALTER TABLE user_daily_stats ADD COLUMN nick text NOT NULL DEFAULT 'Anni'")
    conn.execute("COMMENT ON COLUMN user_daily_stats.nick IS 'Nick. Personal: identity.'")
    add_store(conn, "S")
    add_day(conn, "S", TODAY - timedelta(days=100))
    add_day(conn, "S", TODAY)

    clear(conn)

    found = rows(conn, "SELECT nick FROM user_daily_stats ORDER BY snapshot_date")
    assert [day["nick"] for day in found] == ["", "Anni"]
