"""Where did a store's listing stop, so that a retry in the same run goes on from there?

In the product's own table and not in Airflow's task state: it is written in the same statement as
the page that it stands behind, so neither can be without the other, and it works for the command
line and under every executor (docs/decisions/0006).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg.rows import class_row

from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.store_db.database import Connection

RESUME_WITHIN = timedelta(hours=1)
"""After so long the first pages say too little about the day: the listing starts afresh."""


@dataclass(frozen=True)
class ListingProgress:
    """A listing that is under way.

    Attributes:
        started_at: When its first page was asked for; videos seen since belong to it.
        pages: Pages written.
        edges: Where each page after the first starts (Unix milliseconds); the last one is next.
        ended: The last page is written.
        queried: Calls of ``video/query`` for videos that were not listed yet.
        not_shown: Ids that they asked for and TikTok did not show.
    """

    started_at: datetime
    pages: int = 0
    edges: list[int] = field(default_factory=list)
    ended: bool = False
    queried: int = 0
    not_shown: list[str] = field(default_factory=list)


def read_progress(conn: Connection, run: StoreRun) -> ListingProgress | None:
    """Where the run's listing of the store was cut off, unless that is too long ago.

    Nor if the pages were written for another day: a backfill reads the store as of today, which may
    have ended in between.
    """
    with conn.cursor(row_factory=class_row(ListingProgress)) as cursor:
        return cursor.execute(
            "SELECT started_at, pages, edges, ended, queried, not_shown FROM video_listings"
            " WHERE store_code = %s AND run_id = %s AND snapshot_date = %s"
            " AND updated_at > now() - %s",
            [run.store_code, run.run_id, run.day.date, RESUME_WITHIN],
        ).fetchone()


def forget_progress(conn: Connection, store_code: str) -> None:
    """The listing ended, or must start afresh."""
    conn.execute("DELETE FROM video_listings WHERE store_code = %s", [store_code])
