"""Does the product's database hold what the sandbox says? Every figure of one day, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import psycopg
import requests
from psycopg import sql

USER_COLUMNS = (
    "follower_count",
    "following_count",
    "likes_count",
    "video_count",
    "display_name",
    "username",
    "bio_description",
    "is_verified",
    "union_id",
)
VIDEO_COLUMNS = ("title", "video_description", "duration", "height", "width", "share_url")
COUNTERS = ("view_count", "like_count", "comment_count", "share_count")

_NAMED = 3

Rows = Mapping[str, tuple[Any, ...]]


def ask(sandbox_url: str, path: str) -> requests.Response:
    """Something of the sandbox's ``/admin``, without a proxy."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{sandbox_url}/admin/{path}", timeout=60)
    answer.raise_for_status()
    return answer


def differences(db_url: str, sandbox_url: str, day: date) -> list[str]:
    """What is missing, too much or different, a line for each kind; empty = all is right.

    Args:
        db_url: Libpq URL of the product's database.
        sandbox_url: Base URL of the sandbox.
        day: Snapshot date of the figures. Videos that are marked as removed must be unknown to the
            sandbox; their figures of the day are from before and are not looked at.
    """
    truth = ask(sandbox_url, "truth").json()
    users = {code: _picked(world["user"], USER_COLUMNS) for code, world in truth.items()}
    of_store = [(code, video) for code, world in truth.items() for video in world["videos"]]
    videos = {video["id"]: (code, *_picked(video, VIDEO_COLUMNS)) for code, video in of_store}
    counters = {video["id"]: (code, *_picked(video, COUNTERS)) for code, video in of_store}
    with psycopg.connect(db_url) as conn:
        found = {
            "user_daily_stats": (users, _rows(conn, _USERS, USER_COLUMNS, day)),
            "videos": (videos, _rows(conn, _VIDEOS, VIDEO_COLUMNS, day)),
            "video_daily_stats": (counters, _rows(conn, _COUNTERS, COUNTERS, day)),
        }
    return [line for name, (told, kept) in found.items() for line in _compared(name, told, kept)]


_USERS = sql.SQL("SELECT store_code, {} FROM user_daily_stats WHERE snapshot_date = {}")
_VIDEOS = sql.SQL(
    "SELECT video_id, store_code, {} FROM videos WHERE removed_at IS NULL AND {} IS NOT NULL"
)
_COUNTERS = sql.SQL(
    "SELECT d.video_id, d.store_code, {} FROM video_daily_stats d JOIN videos v USING (video_id)"
    " WHERE v.removed_at IS NULL AND snapshot_date = {}"
)


def _rows(
    conn: psycopg.Connection, query: sql.SQL, columns: tuple[str, ...], day: date
) -> list[tuple[Any, ...]]:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return conn.execute(query.format(names, sql.Literal(day))).fetchall()


def _picked(source: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(source.get(name) for name in names)


def _compared(name: str, told: Rows, kept: list[tuple[Any, ...]]) -> list[str]:
    stored = {row[0]: row[1:] for row in kept}
    found = {
        "doubled": [key for key in stored if sum(row[0] == key for row in kept) > 1]
        if len(stored) < len(kept)
        else [],
        "missing": [key for key in told if key not in stored],
        "unknown to TikTok": [key for key in stored if key not in told],
        "different": [key for key, row in stored.items() if key in told and told[key] != row],
    }
    return [
        f"{name}: {len(keys)} {what} ({', '.join(keys[:_NAMED])})"
        for what, keys in found.items()
        if keys
    ]
