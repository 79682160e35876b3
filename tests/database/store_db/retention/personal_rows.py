"""Rows about people, as old as a test wants them, and which names are left."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import rows

NOW = datetime.now(timezone.utc)
TODAY = NOW.date()


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


def add_second_grant(conn: Connection, code: str, *, ended: float | None = None) -> None:
    """A grant of the Accounts API, given by a consent."""
    conn.execute(
        "INSERT INTO business_tokens (store_code, open_id, scope, access_token, refresh_token,"
        " status, status_since) VALUES (%s, %s, '', '', '', %s, %s)",
        [
            code,
            f"second account of {code}",
            "active" if ended is None else "needs_consent",
            ago(300 if ended is None else ended),
        ],
    )


def add_attempt(conn: Connection, code: str, api: str, days_ago: float) -> None:
    """A consent of @anna that connected the store, with its link."""
    conn.execute(
        "WITH link AS (INSERT INTO connect_links (link_hash, store_code, created_by, created_at,"
        " expires_at, used_at, api) VALUES (%(hash)s, %(code)s, '', %(at)s,"
        " %(at)s, %(at)s, %(api)s) RETURNING link_hash)"
        " INSERT INTO connect_attempts (link_hash, store_code, state_hash, browser_hash,"
        " expires_at, finished_at, outcome, username, api)"
        " SELECT link_hash, %(code)s, link_hash, '', %(at)s, %(at)s, 'connected', 'anna', %(api)s"
        " FROM link",
        {"hash": f"{code} {api}".encode(), "code": code, "at": ago(days_ago), "api": api},
    )


def add_audit(
    conn: Connection, code: str, action: str, days_ago: float, api: str = "display"
) -> None:
    conn.execute(
        "INSERT INTO store_audit (store_code, action, actor, happened_at, details)"
        " VALUES (%s, %s, 'x', %s, jsonb_build_object('api', %s::text))",
        [code, action, ago(days_ago), api],
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


def names(conn: Connection, code: str) -> dict[int, str | None]:
    query = "SELECT snapshot_date AS d, username FROM user_daily_stats WHERE store_code = %s"
    return {(TODAY - found["d"]).days: found["username"] for found in rows(conn, query, code)}
