"""Which days lack figures, or have late ones? TikTok keeps no history, so every gap matters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg.rows import class_row

from include.tiktok_sync.store_db.database import Connection

DAYS = 30
"""Looked at, before today."""

# store_days() decides what a store lacks, and from which day on (docs/data-dictionary.md).
_DAYS = """
SELECT day, count(store_code) AS stores,
    count(*) FILTER (WHERE profile = 'in_time') AS profiles,
    count(*) FILTER (WHERE profile = 'late') AS profiles_late,
    count(*) FILTER (WHERE videos = 'in_time') AS videos,
    count(*) FILTER (WHERE videos = 'late') AS videos_late
FROM (
    SELECT %(today)s::date - ago AS day FROM generate_series(1, %(days)s) AS ago
) AS days
LEFT JOIN (
    SELECT * FROM store_days(
        ARRAY(SELECT store_code FROM stores WHERE is_active),
        %(today)s::date - %(days)s, %(today)s::date - 1, %(zone)s)
    WHERE is_expected
) AS found USING (day)
GROUP BY day
ORDER BY day DESC
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
    values = {"today": today, "days": DAYS, "zone": timezone}
    with conn.cursor(row_factory=class_row(Day)) as cursor:
        return cursor.execute(_DAYS.encode(), values).fetchall()
