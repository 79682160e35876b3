"""Fills a missed day with figures of the last hours: set-based, and only where the day has none.

A copied row keeps the time at which it was observed and counts as late. It is copied from a day
that was observed on time: today, or a day whose reading is no older than ``REUSE_WITHIN``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, Protocol

from psycopg.rows import class_row

from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.store_db.database import Connection

REUSE_WITHIN = timedelta(hours=6)
"""How old the reading of an earlier day may be to be copied. Today's reading always may: a new one
would only be further from the missed day."""

CLAIM = timedelta(minutes=10)
"""Longer than a store takes; if a run is killed, other runs must wait this long for the store."""

DayState = Literal["present", "late", "carried"]

_FILL_USER = """
WITH source AS (
    SELECT * FROM user_daily_stats
    WHERE store_code = %(store_code)s AND snapshot_date > %(day)s AND NOT is_late
        AND (snapshot_date = %(today)s OR observed_at > now() - %(reuse_within)s)
    ORDER BY snapshot_date DESC LIMIT 1
), carried AS (
    INSERT INTO user_daily_stats (
        store_code, snapshot_date, follower_count, following_count, likes_count, video_count,
        display_name, username, bio_description, profile_deep_link, avatar_url, is_verified,
        union_id, extra, observed_at, is_late)
    SELECT store_code, %(day)s, follower_count, following_count, likes_count, video_count,
        display_name, username, bio_description, profile_deep_link, avatar_url, is_verified,
        union_id, extra, observed_at, true
    FROM source
    ON CONFLICT (store_code, snapshot_date) DO NOTHING
    RETURNING observed_at
)
SELECT 'carried' AS state, 1 AS rows, observed_at FROM carried
UNION ALL
SELECT CASE WHEN is_late THEN 'late' ELSE 'present' END, 0, observed_at
FROM user_daily_stats WHERE store_code = %(store_code)s AND snapshot_date = %(day)s
"""

# Rows alone do not show whether a listing was complete, and a store may have no videos at all. The
# day's row in sync_logs shows it, or, for a reading made by a backfill, backfill_readings.
_FILL_VIDEOS = """
WITH existing AS (
    SELECT count(*) AS rows, max(observed_at) AS observed_at FROM video_daily_stats
    WHERE store_code = %(store_code)s AND snapshot_date = %(day)s
), complete AS (
    SELECT CASE WHEN bool_and((l.details ->> 'late')::boolean) THEN 'late' ELSE 'present' END
        AS state, existing.observed_at
    FROM sync_logs AS l, existing
    WHERE l.store_code = %(store_code)s AND l.job_name = %(job_name)s AND l.status = 'success'
        AND l.snapshot_date = %(day)s AND l.details ? 'late'
        AND (existing.rows > 0 OR (l.details ->> 'videos')::bigint = 0)
    GROUP BY existing.observed_at
), source AS (
    SELECT listed.day FROM (
        SELECT snapshot_date AS day FROM sync_logs
        WHERE store_code = %(store_code)s AND job_name = %(job_name)s AND status = 'success'
            AND details ->> 'late' = 'false'
        UNION ALL
        SELECT observed_day FROM backfill_readings
        WHERE store_code = %(store_code)s AND job_name = %(job_name)s
    ) AS listed
    WHERE listed.day > %(day)s AND listed.day >= %(today)s::date - 1
        AND (listed.day = %(today)s OR EXISTS (
            SELECT FROM video_daily_stats AS v
            WHERE v.store_code = %(store_code)s AND v.snapshot_date = listed.day
                AND NOT v.is_late AND v.observed_at > now() - %(reuse_within)s
        ))
    ORDER BY listed.day DESC LIMIT 1
), carried AS (
    INSERT INTO video_daily_stats (
        video_id, snapshot_date, store_code, view_count, like_count, comment_count, share_count,
        observed_at, is_late)
    SELECT d.video_id, %(day)s, d.store_code, d.view_count, d.like_count, d.comment_count,
        d.share_count, d.observed_at, true
    FROM source
    JOIN video_daily_stats AS d ON d.snapshot_date = source.day
    JOIN videos AS v ON v.video_id = d.video_id
    WHERE d.store_code = %(store_code)s AND NOT d.is_late
        AND (coalesce(v.create_time, v.first_seen_at) AT TIME ZONE %(zone)s)::date <= %(day)s
        AND NOT EXISTS (SELECT FROM complete)
    ON CONFLICT (video_id, snapshot_date) DO NOTHING
    RETURNING observed_at
)
SELECT state, 0 AS rows, observed_at FROM complete
UNION ALL
SELECT 'carried', count(carried.observed_at), max(carried.observed_at)
FROM source LEFT JOIN carried ON true
WHERE NOT EXISTS (SELECT FROM complete)
GROUP BY source.day
"""

_VIDEOS_OF_DAY = """
SELECT count(d.video_id) AS videos,
    count(*) FILTER (WHERE d.video_id IS NULL AND NOT v.posted_later) AS gone,
    count(*) FILTER (WHERE v.posted_later) AS later
FROM (
    SELECT video_id, (removed_at AT TIME ZONE %(zone)s)::date AS removed_on,
        (coalesce(create_time, first_seen_at) AT TIME ZONE %(zone)s)::date > %(day)s
            AS posted_later
    FROM videos WHERE store_code = %(store_code)s
) AS v
LEFT JOIN video_daily_stats AS d ON d.video_id = v.video_id AND d.snapshot_date = %(day)s
WHERE d.video_id IS NOT NULL OR v.removed_on IS NULL OR v.removed_on > %(day)s
"""


@dataclass(frozen=True)
class Filling:
    """The day's figures after filling.

    Attributes:
        state: ``present``: observed on time, nothing was written; ``late``: filled late before,
            nothing was written; ``carried``: filled now.
        rows: Rows written.
        observed_at: When the day's figures were observed, the newest of them; ``None`` = there
            was nothing to carry.
    """

    state: DayState
    rows: int
    observed_at: datetime | None


@dataclass(frozen=True)
class VideosOfDay:
    """The videos of a day, with and without figures.

    Attributes:
        videos: Videos with a row for the day.
        gone: Videos known on the day that TikTok no longer shows, so they cannot be filled.
        later: Videos posted after the day, rightly without a row.
    """

    videos: int
    gone: int
    later: int


class Fill(Protocol):
    """Copies the figures of one job to a past day."""

    def __call__(self, conn: Connection, run: StoreRun, today: date) -> Filling | None:
        """Fill the day; ``None`` = no reading is fresh enough."""


def fill_user(conn: Connection, run: StoreRun, today: date) -> Filling | None:
    """Copy the profile's figures to the run's day."""
    return _fill(conn, _FILL_USER, run, today)


def fill_videos(conn: Connection, run: StoreRun, today: date) -> Filling | None:
    """Copy the videos' counters to the run's day, except for videos posted after it."""
    return _fill(conn, _FILL_VIDEOS, run, today)


def videos_of_day(conn: Connection, run: StoreRun) -> VideosOfDay:
    """How many of the store's videos have figures for the day, and how many cannot."""
    with conn.cursor(row_factory=class_row(VideosOfDay)) as cursor:
        return cursor.execute(_VIDEOS_OF_DAY, _values(run)).fetchall()[0]


def claim(conn: Connection, run: StoreRun) -> bool:
    """Claim the store, so that only this run reads it; a run that was interrupted may claim again.

    A row and not a lock: no transaction is open while TikTok is asked, and it works behind a
    pooler. By ``clock_timestamp()``: ``now()`` is when the statement began, and one that began
    before a claim and met it only after its commit would take it for one from the future.

    Returns:
        False: another run is reading it.
    """
    return (
        conn.execute(
            "INSERT INTO backfill_readings AS old (job_name, store_code, run_id, claimed_until)"
            " VALUES (%(job_name)s, %(store_code)s, %(run_id)s,"
            " clock_timestamp() + %(claim)s)"
            " ON CONFLICT (job_name, store_code) DO UPDATE SET"
            " run_id = excluded.run_id, claimed_until = excluded.claimed_until"
            " WHERE old.claimed_until IS NULL OR old.claimed_until < clock_timestamp()"
            # Left by a clock that was ahead: no valid claim reaches that far.
            " OR old.claimed_until > clock_timestamp() + %(claim)s"
            " OR old.run_id = excluded.run_id",
            {**_values(run), "claim": CLAIM},
        ).rowcount
        == 1
    )


def record_reading(conn: Connection, run: StoreRun, day: date) -> None:
    """Record that the store was read completely; ``day`` has its figures."""
    conn.execute(
        "UPDATE backfill_readings SET observed_day = %(observed)s"
        " WHERE job_name = %(job_name)s AND store_code = %(store_code)s",
        {**_values(run), "observed": day},
    )


def release(conn: Connection, run: StoreRun) -> None:
    """Let others read the store."""
    conn.execute(
        "UPDATE backfill_readings SET claimed_until = NULL WHERE job_name = %(job_name)s"
        " AND store_code = %(store_code)s AND run_id = %(run_id)s",
        _values(run),
    )


def _fill(conn: Connection, statement: str, run: StoreRun, today: date) -> Filling | None:
    values = {**_values(run), "today": today, "reuse_within": REUSE_WITHIN}
    with conn.cursor(row_factory=class_row(Filling)) as cursor:
        return cursor.execute(statement.encode(), values).fetchone()


def _values(run: StoreRun) -> Mapping[str, Any]:
    return {
        "job_name": run.job_name,
        "store_code": run.store_code,
        "run_id": run.run_id,
        "day": run.day.date,
        "zone": str(run.day.timezone),
    }
