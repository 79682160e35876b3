"""The three clocks clear personal data where it is due, only there, and never a figure."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from structlog.testing import CapturingLogger

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import personal_columns
from include.tiktok_sync.store_db.personal_retention import Cleared, clear_personal, uncovered
from include.tiktok_sync.store_db.retention import RetentionSettings
from tests.database.bench import row, rows
from tests.database.task_bodies import connections, task_context
from tiktok_airflow.tasks import retention as retention_tasks

NOW = datetime.now(timezone.utc)
TODAY = NOW.date()
DEFAULT = RetentionSettings()
OFF = RetentionSettings(identity_days=0, removed_text_days=0, left_days=0)
VIEWS = (
    "account_growth_daily",
    "account_growth_daily_with_late",
    "living_grants",
    "store_leaderboard",
    "sync_freshness",
    "video_gains_daily",
    "video_gains_daily_with_late",
)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def add_store(conn: Connection, code: str, *, removed: float | None = None) -> None:
    conn.execute(
        "INSERT INTO stores (store_code, store_name, created_at, is_active, removed_at)"
        " VALUES (%s, 'Name', %s, %s, %s)",
        [code, ago(400), removed is None, None if removed is None else ago(removed)],
    )


def add_grant(conn: Connection, code: str, *, ended: float | None = None) -> None:
    conn.execute(
        "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token, status,"
        " status_since, created_at, connected_at) VALUES (%s, %s, '', '', '', %s, %s, %s, %s)",
        [
            code,
            f"account of {code}",
            "active" if ended is None else "needs_consent",
            ago(400 if ended is None else ended),
            ago(400),
            ago(400),
        ],
    )


def add_day(conn: Connection, code: str, day: date, name: str | None = "Anna") -> None:
    conn.execute(
        "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, likes_count,"
        " display_name, username, union_id, extra, observed_at)"
        " VALUES (%s, %s, %s, 7, %s, %s, %s, %s, %s)",
        [code, day, day.toordinal(), name, name, name, '{"nick": "A"}' if name else "{}", day],
    )


def add_video(conn: Connection, code: str, video: str, *, removed: float | None = None) -> None:
    conn.execute(
        "INSERT INTO videos (video_id, store_code, title, share_url, extra, first_seen_at,"
        " last_seen_at, removed_at) VALUES (%s, %s, 'Anna sings', 'u', '{\"x\": 1}', %s, %s, %s)",
        [video, code, ago(300), ago(1), None if removed is None else ago(removed)],
    )


def add_records(conn: Connection, code: str, at: datetime) -> None:
    conn.execute(
        "INSERT INTO sync_logs (job_name, store_code, status, message, run_time, run_id,"
        " snapshot_date, details) VALUES ('sync_video_daily', %s, 'success', 'Of Anna', %s, %s, %s,"
        ' \'{"late": false, "videos": 0, "log_id": "x"}\')',
        [code, at, str(at), at.date()],
    )
    conn.execute(
        "INSERT INTO alerts (kind, job_name, run_id, store_code, message, raised_at, details)"
        " VALUES ('needs_consent', 'j', %s, %s, 'Of Anna', %s, '{\"who\": \"Anna\"}')",
        [str(at), code, at],
    )


def clear(conn: Connection, settings: RetentionSettings = DEFAULT) -> list[Cleared]:
    """Clear, after a dry run that must change nothing and say the same."""
    said = clear_personal(conn, settings, now=NOW, today=TODAY, dry_run=True)
    done = clear_personal(conn, settings, now=NOW, today=TODAY, dry_run=False)
    assert said == done
    assert clear_personal(conn, settings, now=NOW, today=TODAY, dry_run=False) == []
    return done


def names(conn: Connection, code: str) -> dict[int, str | None]:
    query = "SELECT snapshot_date AS d, username FROM user_daily_stats WHERE store_code = %s"
    return {(TODAY - found["d"]).days: found["username"] for found in rows(conn, query, code)}


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


def figures(conn: Connection) -> dict[str, list[Any]]:
    """Everything that is not personal, of every table and view."""
    personal = {(found.table, found.column) for found in personal_columns(conn)}
    found: dict[str, list[Any]] = {}
    for table in (*VIEWS, "user_daily_stats", "videos", "video_daily_stats", "stores"):
        names = rows(
            conn,
            "SELECT column_name AS c FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = %s",
            table,
        )
        kept = [name["c"] for name in names if (table, name["c"]) not in personal]
        wanted = ", ".join(name for name in kept if name != "days_left")  # by the clock
        query = f"SELECT {wanted} FROM {table}"  # noqa: S608 - the schema's own names
        found[table] = sorted(map(repr, conn.execute(query.encode()).fetchall()))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_year_with_the_clocks_running_changes_no_figure(conn: Connection, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    left: dict[str, float | None] = {}
    removed: dict[str, float | None] = {}
    conn.execute(
        "SELECT ensure_video_daily_stats_partitions(%s, 14)", [TODAY - timedelta(days=370)]
    )
    for number in range(6):
        code = f"S{number}"
        left[code] = dice.choice([None, None, dice.uniform(1, 80)])
        add_store(conn, code, removed=left[code])
        add_grant(conn, code, ended=left[code])
        for day in range(365):
            if dice.random() < 0.3:
                name = dice.choice(["Anna", "Bea", None])
                add_day(conn, code, TODAY - timedelta(days=day), name)
        for video in range(4):
            key = f"{code}v{video}"
            removed[key] = dice.choice([None, dice.uniform(1, 80)])
            add_video(conn, code, key, removed=removed[key])
            conn.execute(
                "INSERT INTO video_daily_stats (video_id, store_code, snapshot_date, view_count,"
                " observed_at) SELECT %s, %s, d, extract(doy FROM d), d"
                " FROM generate_series(%s::date, %s::date, '9 days') AS d",
                [key, code, TODAY - timedelta(days=300), TODAY],
            )
    before = figures(conn)
    was = {code: names(conn, code) for code in left}

    for days in range(360, -1, -30):  # the Dag of each month, as of then
        now = ago(days)
        clear_personal(conn, DEFAULT, now=now, today=now.date(), dry_run=False)

    assert figures(conn) == before
    for code, since in left.items():
        due = since is not None and since >= 30
        current = min((age for age, name in was[code].items() if name), default=None)
        assert names(conn, code) == {
            age: None if due or (age > 90 and age != current) else name
            for age, name in was[code].items()
        }
        for seen in rows(conn, "SELECT video_id, title FROM videos WHERE store_code = %s", code):
            gone = removed[seen["video_id"]]
            cleared = due or (gone is not None and gone >= 30)
            assert seen["title"] == (None if cleared else "Anna sings")
