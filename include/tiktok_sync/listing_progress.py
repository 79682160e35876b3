"""Where did a store's listing stop, so that a retry in the same run goes on from there?

In the product's own table and not in Airflow's task state: it is written in the same statement as
the page that it stands behind, so neither can be without the other, and it works for the command
line and under every executor (docs/decisions/0006).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from include.tiktok_sync.database import Connection

RESUME_WITHIN = timedelta(hours=1)
"""After so long the first pages say too little about the day: the listing starts afresh."""


@dataclass(frozen=True)
class ListingProgress:
    """A listing that is under way.

    Attributes:
        started_at: When its first page was asked for; videos seen since belong to it.
        pages: Pages written.
        cursor: Where the next page starts (Unix milliseconds); ``None`` = at the newest video.
    """

    started_at: datetime
    pages: int = 0
    cursor: int | None = None


def read_progress(conn: Connection, store_code: str, run_id: str) -> ListingProgress | None:
    """Where the run's listing of the store was cut off, unless that is too long ago."""
    with conn.cursor(row_factory=class_row(ListingProgress)) as cursor:
        return cursor.execute(
            "SELECT started_at, pages, cursor FROM video_listings WHERE store_code = %s"
            " AND run_id = %s AND updated_at > now() - %s",
            [store_code, run_id, RESUME_WITHIN],
        ).fetchone()


def forget_progress(conn: Connection, store_code: str) -> None:
    """The listing ended, or must start afresh."""
    conn.execute("DELETE FROM video_listings WHERE store_code = %s", [store_code])
