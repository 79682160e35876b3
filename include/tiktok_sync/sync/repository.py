"""Reads and writes stores, profile figures and videos: set-based and idempotent.

All statements run on one autocommit connection; each is a transaction of its own, so a page is
written as a whole or not at all. A row observed late (after its snapshot day) fills a gap and
never replaces anything; within the day the newest observation wins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.jobs import VIDEO_JOB, StoreRun, api_of
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.listing_progress import (
    ListingProgress,
    forget_progress,
    read_progress,
)
from include.tiktok_sync.tiktok.models import UserProfile, Video

# One statement: a run begins with as few as it can. Nothing is written while the zone stays.
_PREPARE_DAY = """
WITH calendar AS (
    UPDATE sync_calendar SET timezone = %(zone)s WHERE timezone <> %(zone)s
)
SELECT ensure_video_daily_stats_partitions(%(day)s)
"""

_UPSERT_USER = """
INSERT INTO user_daily_stats AS old (
    store_code, snapshot_date, follower_count, following_count, likes_count, video_count,
    display_name, username, bio_description, profile_deep_link, avatar_url, is_verified,
    union_id, extra, observed_at, is_late)
VALUES (
    %(store_code)s, %(snapshot_date)s, %(follower_count)s, %(following_count)s, %(likes_count)s,
    %(video_count)s, %(display_name)s, %(username)s, %(bio_description)s, %(profile_deep_link)s,
    %(avatar_url)s, %(is_verified)s, %(union_id)s, %(extra)s, %(observed_at)s,
    %(late)s)
ON CONFLICT (store_code, snapshot_date) DO UPDATE SET
    follower_count = excluded.follower_count, following_count = excluded.following_count,
    likes_count = excluded.likes_count, video_count = excluded.video_count,
    display_name = excluded.display_name, username = excluded.username,
    bio_description = excluded.bio_description, profile_deep_link = excluded.profile_deep_link,
    avatar_url = excluded.avatar_url, is_verified = excluded.is_verified,
    union_id = excluded.union_id, extra = excluded.extra, observed_at = excluded.observed_at,
    is_late = excluded.is_late
WHERE NOT %(late)s AND excluded.observed_at >= old.observed_at
"""

_UPSERT_PAGE = """
WITH page AS (
    SELECT * FROM jsonb_to_recordset(%(page)s) AS p (
        video_id text, create_time timestamptz, cover_image_url text, share_url text,
        video_description text, duration bigint, height bigint, width bigint, title text,
        embed_link text, like_count bigint, comment_count bigint, share_count bigint,
        view_count bigint, extra jsonb)
), known AS (
    INSERT INTO videos AS old (
        video_id, store_code, title, video_description, create_time, duration, share_url,
        cover_image_url, embed_link, height, width, extra, first_seen_at, last_seen_at)
    SELECT video_id, %(store_code)s, title, video_description, create_time, duration, share_url,
        cover_image_url, embed_link, height, width, extra, %(observed_at)s, %(observed_at)s
    FROM page
    ON CONFLICT (video_id) DO UPDATE SET
        store_code = excluded.store_code, title = excluded.title,
        video_description = excluded.video_description,
        create_time = coalesce(excluded.create_time, old.create_time),
        duration = excluded.duration, share_url = excluded.share_url,
        cover_image_url = excluded.cover_image_url, embed_link = excluded.embed_link,
        height = excluded.height, width = excluded.width, extra = excluded.extra,
        last_seen_at = excluded.last_seen_at, removed_at = NULL
    WHERE excluded.last_seen_at >= old.last_seen_at
), progress AS (
    INSERT INTO video_listings (
        store_code, run_id, snapshot_date, started_at, edges, pages, ended, queried, not_shown,
        updated_at)
    SELECT %(store_code)s, %(run_id)s, %(snapshot_date)s, %(started_at)s, %(edges)s, %(pages)s,
        %(ended)s, %(queried)s, %(not_shown)s, now()
    WHERE %(edges)s::bigint[] IS NOT NULL
    ON CONFLICT (store_code) DO UPDATE SET
        run_id = excluded.run_id, snapshot_date = excluded.snapshot_date,
        started_at = excluded.started_at, edges = excluded.edges, pages = excluded.pages,
        ended = excluded.ended, queried = excluded.queried, not_shown = excluded.not_shown,
        updated_at = excluded.updated_at
)
INSERT INTO video_daily_stats AS old (
    video_id, snapshot_date, store_code, view_count, like_count, comment_count, share_count,
    observed_at, is_late)
SELECT video_id, %(snapshot_date)s, %(store_code)s, view_count, like_count, comment_count,
    share_count, %(observed_at)s, %(late)s
FROM page
ON CONFLICT (video_id, snapshot_date) DO UPDATE SET
    store_code = excluded.store_code, view_count = excluded.view_count,
    like_count = excluded.like_count, comment_count = excluded.comment_count,
    share_count = excluded.share_count, observed_at = excluded.observed_at,
    is_late = excluded.is_late
WHERE NOT %(late)s AND excluded.observed_at >= old.observed_at
"""


_STORES_TO_COME = """
SELECT greatest(coalesce(%s, (SELECT count(*) {stores})) - 1 - count(*), 0) FROM sync_logs
WHERE job_name = %s AND run_id = %s AND store_code IS NOT NULL AND store_code <> %s
"""


def stores_of(job_name: str) -> str:
    """The stores that a job syncs, from ``FROM`` on.

    The Accounts API is a second consent: its jobs leave out stores that never gave it.
    """
    second = "JOIN business_tokens USING (store_code) " if api_of(job_name) == "business" else ""
    return f"FROM stores {second}WHERE is_active"


@dataclass(frozen=True)
class CompleteListing:
    """A listing that went to the oldest video.

    Attributes:
        day: Its snapshot date; of a backfill, which reads the store as of today, the day it ran.
        ended_at: When it was recorded.
        unlisted: By how many the profile counted more videos than it showed.
    """

    day: date
    ended_at: datetime
    unlisted: int


class StoreRepository:
    """Reads and writes of one sync on one connection."""

    dry_run = False

    def __init__(self, conn: Connection) -> None:
        self.conn = conn

    def active_store_codes(self, job_name: str = VIDEO_JOB) -> list[str]:
        """Codes of the stores that a job syncs, sorted."""
        rows = self.conn.execute(
            f"SELECT store_code {stores_of(job_name)} ORDER BY store_code".encode()
        ).fetchall()
        return [row[0] for row in rows]

    def unknown_store_codes(self, codes: Collection[str]) -> list[str]:
        """The ``codes`` that are not in ``stores``, in the order given."""
        rows = self.conn.execute(
            "SELECT store_code FROM stores WHERE store_code = ANY(%s)", [list(codes)]
        ).fetchall()
        known = {row[0] for row in rows}
        return [code for code in codes if code not in known]

    def removed_store_codes(self, codes: Collection[str]) -> list[str]:
        """The ``codes`` of stores that have left, sorted."""
        if not codes:
            return []
        rows = self.conn.execute(
            "SELECT store_code FROM stores WHERE store_code = ANY(%s) AND removed_at IS NOT NULL"
            " ORDER BY store_code",
            [list(codes)],
        ).fetchall()
        return [row[0] for row in rows]

    def ensure_partitions(self, first_day: date) -> None:
        """Create the monthly partition of ``first_day`` and those of the following months."""
        self.conn.execute("SELECT ensure_video_daily_stats_partitions(%s)", [first_day])

    def prepare_day(self, day: SnapshotDay) -> None:
        """As :meth:`ensure_partitions`; the database learns in which zone days are counted."""
        values = {"zone": str(day.timezone), "day": day.date}
        self.conn.execute(_PREPARE_DAY, values)

    def save_user(
        self, store_code: str, day: SnapshotDay, profile: UserProfile, observed_at: datetime
    ) -> int:
        """Write the day's profile row.

        Returns:
            Rows written: 0 when the day already has a row that this one must not replace.
        """
        values = vars(profile) | {
            "store_code": store_code,
            "snapshot_date": day.date,
            "observed_at": observed_at,
            "late": day.is_late(observed_at),
            "extra": Jsonb(dict(profile.extra)),
        }
        return self.conn.execute(_UPSERT_USER, values).rowcount

    def save_videos(
        self,
        run: StoreRun,
        videos: Sequence[Video],
        observed_at: datetime,
        progress: ListingProgress | None = None,
    ) -> int:
        """Write one page of videos and their counters of the day in one round trip.

        Args:
            run: The store, and the day.
            videos: Each id at most once.
            observed_at: When TikTok answered.
            progress: The position of the listing after this page, written with it.

        Returns:
            Rows of ``video_daily_stats`` written.
        """
        if not videos and progress is None:
            return 0
        values = {
            "store_code": run.store_code,
            "run_id": run.run_id,
            "snapshot_date": run.day.date,
            "observed_at": observed_at,
            "late": run.day.is_late(observed_at),
            # Always in one order: runs that read a store from opposite ends would deadlock.
            "page": Jsonb([_as_json(one) for one in sorted(videos, key=lambda v: v.video_id)]),
            "started_at": progress and progress.started_at,
            "pages": progress and progress.pages,
            "edges": progress and progress.edges,
            "ended": progress and progress.ended,
            "queried": progress and progress.queried,
            "not_shown": progress and progress.not_shown,
        }
        return self.conn.execute(_UPSERT_PAGE, values).rowcount

    def resumed_listing(self, run: StoreRun) -> ListingProgress | None:
        """The position at which an earlier try in this run was interrupted."""
        return read_progress(self.conn, run)

    def forget_listing(self, store_code: str) -> None:
        """Delete the position: the listing is complete, or must start again."""
        forget_progress(self.conn, store_code)

    def videos_seen_since(self, store_code: str, moment: datetime) -> set[str]:
        """Ids of the store's videos that TikTok has shown since then."""
        rows = self.conn.execute(
            "SELECT video_id FROM videos WHERE store_code = %s AND last_seen_at >= %s",
            [store_code, moment],
        ).fetchall()
        return {row[0] for row in rows}

    def known_video_count(self, store_code: str, since: datetime) -> int | None:
        """The profile's number of public videos, and those posted since it was observed.

        ``None`` = it was not observed since then.
        """
        row = self.conn.execute(
            "SELECT video_count + (SELECT count(*) FROM videos v WHERE v.store_code = u.store_code"
            " AND v.create_time > u.observed_at AND v.removed_at IS NULL)"
            " FROM user_daily_stats u WHERE store_code = %s AND observed_at >= %s"
            " ORDER BY snapshot_date DESC LIMIT 1",
            [store_code, since],
        ).fetchone()
        return row[0] if row else None

    def last_complete_listing(self, run: StoreRun) -> CompleteListing | None:
        """The job's last good listing of the store that went to the end; ``None`` = never.

        Rows without ``listed_to_end`` are of versions that always went to the end.
        """
        with self.conn.cursor(row_factory=class_row(CompleteListing)) as cursor:
            return cursor.execute(
                "SELECT CASE WHEN details ? 'backfill' THEN (run_time AT TIME ZONE %s)::date"
                " ELSE snapshot_date END AS day, run_time AS ended_at,"
                " coalesce((details ->> 'unlisted')::bigint, 0) AS unlisted FROM sync_logs"
                " WHERE store_code = %s AND job_name = %s AND status = 'success'"
                " AND details ? 'pages' AND coalesce((details ->> 'listed_to_end')::boolean, true)"
                " ORDER BY run_time DESC LIMIT 1",
                [str(run.day.timezone), run.store_code, run.job_name],
            ).fetchone()

    def stores_to_come(self, run: StoreRun) -> int:
        """How many other stores of the run have no result yet."""
        row = self.conn.execute(
            _STORES_TO_COME.format(stores=stores_of(run.job_name)).encode(),
            [run.stores_in_run, run.job_name, run.run_id, run.store_code],
        ).fetchone()
        return int(row[0]) if row else 0

    def known_videos(self, store_code: str) -> dict[str, datetime | None]:
        """The store's videos that count as public, with the time each was posted, oldest first."""
        return dict(
            self.conn.execute(
                "SELECT video_id, create_time FROM videos"
                " WHERE store_code = %s AND removed_at IS NULL ORDER BY create_time, video_id",
                [store_code],
            ).fetchall()
        )

    def mark_removed(
        self,
        store_code: str,
        video_ids: Sequence[str],
        removed_at: datetime,
        *,
        unseen_since: datetime,
    ) -> int:
        """Record that TikTok no longer shows these videos of the store; they may come back.

        One that another store has been seen with meanwhile is that store's.

        Args:
            store_code: The store.
            video_ids: Videos that its run was not shown.
            removed_at: When TikTok answered last.
            unseen_since: When the run began to read; a video that another run was shown since
                then is left to the next run.

        Returns:
            How many were marked.
        """
        return self.conn.execute(
            "UPDATE videos SET removed_at = %s WHERE store_code = %s AND video_id = ANY(%s)"
            " AND removed_at IS NULL AND last_seen_at < %s",
            [removed_at, store_code, list(video_ids), unseen_since],
        ).rowcount


class DryRunRepository(StoreRepository):
    """Reads as usual; every write only returns how many rows it would have changed."""

    dry_run = True

    def ensure_partitions(self, first_day: date) -> None:
        """Nothing."""

    def prepare_day(self, day: SnapshotDay) -> None:
        """Nothing."""

    def save_user(
        self, store_code: str, day: SnapshotDay, profile: UserProfile, observed_at: datetime
    ) -> int:
        """The one row that would be written."""
        del store_code, day, profile, observed_at
        return 1

    def save_videos(
        self,
        run: StoreRun,
        videos: Sequence[Video],
        observed_at: datetime,
        progress: ListingProgress | None = None,
    ) -> int:
        """The rows that would be written."""
        del run, observed_at, progress
        return len(videos)

    def resumed_listing(self, run: StoreRun) -> ListingProgress | None:
        """Nothing: no page was written that a retry could continue from."""
        del run
        return None

    def forget_listing(self, store_code: str) -> None:
        """Nothing."""

    def mark_removed(
        self,
        store_code: str,
        video_ids: Sequence[str],
        removed_at: datetime,
        *,
        unseen_since: datetime,
    ) -> int:
        """The rows that would be marked."""
        del store_code, removed_at, unseen_since
        return len(video_ids)


def _as_json(video: Video) -> dict[str, Any]:
    # Not asdict(), which copies every value and costs more than all else here.
    values = dict(vars(video))
    if video.create_time is not None:
        values["create_time"] = video.create_time.isoformat()
    return values
