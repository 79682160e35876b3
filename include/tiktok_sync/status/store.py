"""One store over time: its figures, its latest results, its grant, and its history in the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import class_row

from include.tiktok_sync.jobs import VIDEO_JOB
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.consents import NoticeState
from include.tiktok_sync.stores.lifecycle import StoreState
from include.tiktok_sync.tokens.scopes import why_in_state

FIGURE_DAYS = 180
VIEW_DAYS = 90
"""Days of views; a store has hundreds of videos, each with one row per day."""

RESULTS = 15
EVENTS = 15

_STORE = """
SELECT s.store_code, s.store_name, s.region, s.created_at,
    store_state(s.is_active, s.removed_at, t.status) AS state,
    t.status AS token_status, t.status_reason, t.status_since, t.access_expires_at,
    t.refresh_expires_at, t.refreshed_at, t.scope, n.notice_version, n.notice,
    CASE WHEN EXISTS (SELECT FROM sync_logs AS l WHERE l.store_code = s.store_code
            AND l.job_name = %(video_job)s AND l.status = 'success')
        THEN (SELECT count(*) FROM videos AS v
            WHERE v.store_code = s.store_code AND v.removed_at IS NULL)
    END AS videos,
    (SELECT count(*) FROM videos AS v
        WHERE v.store_code = s.store_code AND v.removed_at IS NOT NULL) AS videos_removed
FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code)
LEFT JOIN grant_notices AS n USING (store_code)
WHERE s.store_code = %(code)s
"""

# A sum with an unknown part is unknown.
_VIEWS = """
SELECT snapshot_date AS day, count(*) AS videos,
    CASE WHEN count(view_count) = count(*) THEN sum(view_count)::bigint END AS views
FROM video_daily_stats
WHERE store_code = %s AND snapshot_date > %s::date - %s AND NOT is_late
GROUP BY snapshot_date
ORDER BY snapshot_date
"""


@dataclass(frozen=True)
class StorePage:
    """A store and its grant, never a token; the grant's fields are ``None`` without one.

    ``videos`` is ``None`` until the video sync first succeeds: they have not been counted.
    """

    store_code: str
    store_name: str
    region: str | None
    created_at: datetime
    state: StoreState
    token_status: str | None
    status_reason: str | None
    status_since: datetime | None
    access_expires_at: datetime | None
    refresh_expires_at: datetime | None
    refreshed_at: datetime | None
    scope: str | None
    notice_version: str | None
    notice: NoticeState | None
    videos: int | None
    videos_removed: int

    @property
    def reason(self) -> str | None:
        """Why its grant is in this state, for people."""
        return why_in_state(self.token_status, self.status_reason, self.scope)


@dataclass(frozen=True)
class Figures:
    """A day's profile figures; ``None`` = TikTok left it out."""

    day: date
    followers: int | None
    likes: int | None
    videos: int | None
    is_late: bool


@dataclass(frozen=True)
class Views:
    """The total views of the store's videos on a day; ``None`` = unknown for one of them."""

    day: date
    videos: int
    views: int | None


@dataclass(frozen=True)
class Result:
    """The store's result in one run."""

    job_name: str
    run_id: str
    status: str
    message: str
    attempts: int
    duration_ms: int | None
    run_time: datetime
    snapshot_date: date


@dataclass(frozen=True)
class StoreEvent:
    """An entry of ``store_audit`` about the store.

    Attributes:
        action: A move of :data:`include.tiktok_sync.stores.lifecycle.MOVES`, or the like.
        actor: Who did it.
        happened_at: When.
        before: The state before; ``None`` = not recorded, or unchanged.
        after: The state after; ``None`` as above.
        reason: The cause; digits are the number in TikTok's own notice.
    """

    action: str
    actor: str
    happened_at: datetime
    before: str | None
    after: str | None
    reason: str | None


def store(conn: Connection, code: str) -> StorePage | None:
    """The store; ``None`` = there is none with this code."""
    with conn.cursor(row_factory=class_row(StorePage)) as cursor:
        return cursor.execute(_STORE.encode(), {"code": code, "video_job": VIDEO_JOB}).fetchone()


def figures(conn: Connection, code: str, today: date) -> list[Figures]:
    """Profile figures of the last :data:`FIGURE_DAYS` days, the oldest first."""
    with conn.cursor(row_factory=class_row(Figures)) as cursor:
        return cursor.execute(
            "SELECT snapshot_date AS day, follower_count AS followers, likes_count AS likes,"
            " video_count AS videos, is_late FROM user_daily_stats"
            " WHERE store_code = %s AND snapshot_date > %s::date - %s ORDER BY snapshot_date",
            [code, today, FIGURE_DAYS],
        ).fetchall()


def views(conn: Connection, code: str, today: date) -> list[Views]:
    """Views of the last :data:`VIEW_DAYS` days, observed on time, the oldest first."""
    with conn.cursor(row_factory=class_row(Views)) as cursor:
        return cursor.execute(_VIEWS.encode(), [code, today, VIEW_DAYS]).fetchall()


def results(conn: Connection, code: str) -> list[Result]:
    """The store's newest results in any run, newest first."""
    with conn.cursor(row_factory=class_row(Result)) as cursor:
        return cursor.execute(
            "SELECT job_name, run_id, status, message, attempts, duration_ms, run_time,"
            " snapshot_date FROM sync_logs WHERE store_code = %s ORDER BY run_time DESC LIMIT %s",
            [code, RESULTS],
        ).fetchall()


def events(conn: Connection, code: str) -> list[StoreEvent]:
    """The store's audit, newest first."""
    with conn.cursor(row_factory=class_row(StoreEvent)) as cursor:
        return cursor.execute(
            "SELECT action, actor, happened_at, details ->> 'from' AS before,"
            " details ->> 'to' AS after, details ->> 'reason' AS reason"
            " FROM store_audit WHERE store_code = %s ORDER BY happened_at DESC, id DESC LIMIT %s",
            [code, EVENTS],
        ).fetchall()
