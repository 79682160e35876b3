"""What the connect app wrote down goes when it is old, except what something still needs."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.connect_retention import Forgotten, forget_connecting
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.retention import RetentionSettings
from tests.database.bench import rows

NOW = datetime.now(timezone.utc)
OLD, YOUNG = NOW - timedelta(days=200), NOW - timedelta(days=170)
DAYS = 180
TABLES = {
    "connect_attempts": "SELECT username AS name FROM connect_attempts",
    "connect_links": "SELECT link_hash AS name FROM connect_links",
    "webhook_events": "SELECT event AS name FROM webhook_events",
}


def link(conn: Connection, name: str, ended: datetime | None, *, store: str = "S001") -> bytes:
    """A link that was used then; ``None`` = it is open still, however old."""
    link_hash = hashlib.sha256(name.encode()).digest()
    conn.execute(
        "INSERT INTO connect_links"
        " (link_hash, store_code, created_by, created_at, expires_at, used_at)"
        " VALUES (%s, %s, 'ops', %s, %s, %s)",
        [link_hash, store, OLD - timedelta(days=30), NOW + timedelta(days=1), ended],
    )
    return link_hash


def attempt(
    conn: Connection, of: bytes, name: str, outcome: str | None, finished: datetime | None
) -> None:
    """An attempt on a link; its username names it."""
    conn.execute(
        "INSERT INTO connect_attempts (link_hash, store_code, state_hash, browser_hash, begun_at,"
        " expires_at, outcome, finished_at, union_id, username)"
        " SELECT link_hash, store_code, %s, '', %s, %s, %s, %s, 'union', %s"
        " FROM connect_links WHERE link_hash = %s",
        [name.encode(), OLD, OLD, outcome, finished, name, of],
    )


def event(conn: Connection, name: str, received: datetime) -> None:
    conn.execute(
        "INSERT INTO webhook_events (event_hash, event, open_id, happened_at, received_at, effect)"
        " VALUES (%s, %s, 'x', %s, %s, 'ignored')",
        [name.encode(), name, received, received],
    )


def left(conn: Connection, table: str) -> list[str]:
    return sorted(str(row["name"]) for row in rows(conn, TABLES[table]))


@pytest.fixture
def written(conn: Connection) -> Connection:
    """A store with a past: connected twice, failures between, a link that is out now."""
    conn.execute(
        "INSERT INTO stores (store_code, store_name) VALUES ('S001', 'One'), ('S002', 'Two')"
    )
    first = link(conn, "first", OLD - timedelta(days=5))
    attempt(conn, first, "denied", "denied", OLD - timedelta(days=6))
    attempt(conn, first, "connected once", "connected", OLD - timedelta(days=5))
    again = link(conn, "again", OLD)
    attempt(conn, again, "connected again", "connected", OLD)
    attempt(conn, link(conn, "of another store", OLD, store="S002"), "its only", "connected", OLD)
    attempt(conn, link(conn, "not long ago", YOUNG), "young", "failed", YOUNG)
    out_now = link(conn, "out now", None)
    attempt(conn, out_now, "on an open link", "unavailable", OLD)
    attempt(conn, link(conn, "left half-way", OLD), "never decided", None, None)
    link(conn, "never opened", OLD)
    event(conn, "old", OLD)
    event(conn, "young", YOUNG)
    return conn


def test_what_is_old_and_needed_by_nothing_goes(written: Connection) -> None:
    before = {table: left(written, table) for table in TABLES}

    said = forget_connecting(written, DAYS, now=NOW, dry_run=True)
    assert {table: left(written, table) for table in TABLES} == before
    done = forget_connecting(written, DAYS, now=NOW, dry_run=False)

    assert said == done
    assert done == [
        Forgotten("connect_attempts", 2),
        Forgotten("connect_links", 2),  # the first one, and the one that was never opened
        Forgotten("webhook_events", 1),
    ]
    assert left(written, "connect_attempts") == [
        "connected again",
        "its only",
        "never decided",
        "on an open link",
        "young",
    ]
    assert left(written, "webhook_events") == ["young"]
    assert forget_connecting(written, DAYS, now=NOW, dry_run=False) == []


def test_the_account_of_a_store_is_still_known(written: Connection) -> None:
    def known() -> list[dict[str, object]]:
        return rows(written, "SELECT * FROM connect_known_account('S001')")

    before = known()
    assert before[0]["username"] == "connected again"
    forget_connecting(written, DAYS, now=NOW + timedelta(days=2_000), dry_run=False)

    assert known() == before
    # The link that was open has long expired by then, so its attempts are no longer kept for it.
    assert left(written, "connect_attempts") == ["connected again", "its only", "never decided"]
    assert left(written, "webhook_events") == []


def test_many_rows_go_in_bounded_batches(written: Connection) -> None:
    for number in range(25):
        event(written, f"old {number}", OLD)

    done = forget_connecting(written, DAYS, now=NOW, dry_run=False, batch=10)

    assert done[-1] == Forgotten("webhook_events", 26)
    assert left(written, "webhook_events") == ["young"]


def test_a_row_in_use_is_left_for_the_next_time(written: Connection, db_url: str) -> None:
    with psycopg.connect(db_url) as other:
        other.execute("SELECT FROM webhook_events WHERE event = 'old' FOR UPDATE")
        done = forget_connecting(written, DAYS, now=NOW, dry_run=False)
        assert "webhook_events" not in {gone.table for gone in done}

    done = forget_connecting(written, DAYS, now=NOW, dry_run=False)
    assert done == [Forgotten("webhook_events", 1)]


def test_an_event_counts_once_as_long_as_tiktok_repeats_it(written: Connection) -> None:
    """At the least that may be set, TikTok's 72 hours are over."""
    event(written, "of three days ago", NOW - timedelta(hours=72))

    least = RetentionSettings.from_env({"RETENTION_CONNECT_DAYS": "7"}).connect_days
    forget_connecting(written, least, now=NOW, dry_run=False)

    assert left(written, "webhook_events") == ["of three days ago"]


def test_zero_keeps_everything(written: Connection) -> None:
    before = {table: left(written, table) for table in TABLES}

    assert forget_connecting(written, 0, now=NOW + timedelta(days=9_999), dry_run=False) == []
    assert {table: left(written, table) for table in TABLES} == before


@pytest.mark.parametrize("days", ["3", "-1", "many"])
def test_days_in_which_tiktok_still_repeats_are_refused(days: str) -> None:
    with pytest.raises(ConfigurationError, match="RETENTION_CONNECT_DAYS must be 0"):
        RetentionSettings.from_env({"RETENTION_CONNECT_DAYS": days})
    assert RetentionSettings.from_env({}).connect_days == DAYS
