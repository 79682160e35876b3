"""Which days lack figures, or have late ones? TikTok keeps no history, so every gap matters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg.rows import class_row

from include.tiktok_sync.jobs import VIDEO_JOB
from include.tiktok_sync.store_db.database import Connection

DAYS = 30
"""Looked at, before today."""

# A store without videos has no row to show for its day, so the videos' days are read from the log:
# store by store from the index (OFFSET 0 keeps the planner to that), however long the log is.
# A store counts from the day after it was first connected, as in the view sync_freshness: a store
# that was never connected misses no day.
_DAYS = """
WITH connected AS (
    SELECT s.store_code, (greatest(s.created_at, t.created_at) AT TIME ZONE %(zone)s)::date AS since
    FROM stores AS s JOIN store_tokens AS t USING (store_code)
    WHERE s.is_active
), days AS (
    SELECT %(today)s::date - ago AS day FROM generate_series(1, %(days)s) AS ago
), expected AS (
    SELECT days.day, count(s.store_code) AS stores
    FROM days LEFT JOIN connected AS s ON s.since < days.day
    GROUP BY days.day
), profiles AS (
    SELECT u.snapshot_date AS day, count(*) FILTER (WHERE NOT u.is_late) AS in_time,
        count(*) FILTER (WHERE u.is_late) AS late
    FROM user_daily_stats AS u JOIN connected AS s USING (store_code)
    WHERE u.snapshot_date BETWEEN %(today)s::date - %(days)s AND %(today)s::date - 1
        AND s.since < u.snapshot_date
    GROUP BY u.snapshot_date
), read AS (
    SELECT s.store_code, l.snapshot_date AS day,
        bool_or(NOT coalesce((l.details ->> 'late')::boolean, false)) AS in_time
    FROM connected AS s
    CROSS JOIN LATERAL (
        SELECT o.snapshot_date, o.details FROM sync_logs AS o
        WHERE o.store_code = s.store_code AND o.job_name = %(video_job)s AND o.status = 'success'
            AND o.run_time >= (%(today)s::date - %(days)s - 2)::timestamptz
            AND o.snapshot_date BETWEEN %(today)s::date - %(days)s AND %(today)s::date - 1
        OFFSET 0
    ) AS l
    WHERE s.since < l.snapshot_date
    GROUP BY s.store_code, l.snapshot_date
), videos AS (
    SELECT day, count(*) FILTER (WHERE in_time) AS in_time,
        count(*) FILTER (WHERE NOT in_time) AS late
    FROM read GROUP BY day
)
SELECT e.day, e.stores, coalesce(p.in_time, 0) AS profiles, coalesce(p.late, 0) AS profiles_late,
    coalesce(v.in_time, 0) AS videos, coalesce(v.late, 0) AS videos_late
FROM expected AS e LEFT JOIN profiles AS p USING (day) LEFT JOIN videos AS v USING (day)
ORDER BY e.day DESC
"""


@dataclass(frozen=True)
class Day:
    """One day: for how many stores figures were observed on time, and late.

    Attributes:
        day: In the sync's time zone.
        stores: Active stores that had been connected before that day.
        profiles: Stores with profile figures observed on time.
        profiles_late: Stores with profile figures observed late.
        videos: Stores whose videos were read on time.
        videos_late: Stores whose videos were read late.
    """

    day: date
    stores: int
    profiles: int
    profiles_late: int
    videos: int
    videos_late: int

    @property
    def profiles_missing(self) -> int:
        """Stores without any profile figures for the day."""
        return self.stores - self.profiles - self.profiles_late

    @property
    def videos_missing(self) -> int:
        """Stores whose videos were not read at all."""
        return self.stores - self.videos - self.videos_late

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing and nothing is late."""
        return self.profiles == self.stores == self.videos


def days(conn: Connection, today: date, timezone: str) -> list[Day]:
    """The :data:`DAYS` days before today, the newest first.

    Args:
        conn: The database.
        today: In the sync's time zone.
        timezone: Its name.
    """
    values = {
        "today": today,
        "days": DAYS,
        "zone": timezone,
        "video_job": VIDEO_JOB,
    }
    with conn.cursor(row_factory=class_row(Day)) as cursor:
        return cursor.execute(_DAYS.encode(), values).fetchall()
