"""Reads and writes what the Accounts API says: set-based, idempotent, and never forgetful.

TikTok leaves figures out for a while and for good, so a number never gives way to an absence: each
column takes the new value only where there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from include.tiktok_sync.business.models import (
    ACTIVITY,
    AUDIENCE_LISTS,
    BENCHMARK_FIGURES,
    DAY_FIGURES,
    POST_COUNTERS,
    POST_INSIGHT_COUNTERS,
    POST_INSIGHT_NUMBERS,
    POST_LISTS,
    STATS,
    AccountDay,
    AccountInsights,
    Benchmark,
    VideoInsights,
)
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.listing_progress import RESUME_WITHIN
from include.tiktok_sync.sync.repository import StoreRepository

ASK_AGAIN_AFTER = timedelta(minutes=10)
"""If nobody brought the category's averages within this time, another store asks for them."""

_POST_COUNTS = (*POST_COUNTERS, *POST_INSIGHT_COUNTERS)
_POST_NUMBERS = ("video_duration", *POST_INSIGHT_NUMBERS)


def _typed(names: Iterable[str], kind: str) -> str:
    return ", ".join(f"{name} {kind}" for name in names)


def _merged(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = coalesce(excluded.{name}, old.{name})" for name in names)


_DAY_COLUMNS = (*DAY_FIGURES, ACTIVITY)

# A final day keeps its figures, and takes those that it never had, unless they would be another
# account's.
_DAY_VALUES = [
    f"{name} = CASE WHEN old.is_final THEN coalesce(old.{name}, excluded.{name})"
    f" ELSE coalesce(excluded.{name}, old.{name}) END"
    for name in _DAY_COLUMNS
]
_FILLS_A_GAP = " OR ".join(
    f"(old.{name} IS NULL AND excluded.{name} IS NOT NULL)" for name in _DAY_COLUMNS
)

_SAVE_DAYS = f"""
INSERT INTO account_daily AS old (
    store_code, metric_date, {", ".join(_DAY_COLUMNS)}, fetched_at)
SELECT %(store_code)s, metric_date, {", ".join(_DAY_COLUMNS)}, %(fetched_at)s
FROM jsonb_to_recordset(%(days)s) AS d (
    metric_date date, {_typed(DAY_FIGURES, "bigint")}, {ACTIVITY} jsonb)
ON CONFLICT (store_code, metric_date) DO UPDATE SET
    {", ".join(_DAY_VALUES)}, fetched_at = excluded.fetched_at
WHERE excluded.fetched_at >= old.fetched_at AND NOT old.of_former_account
    AND (NOT old.is_final OR {_FILLS_A_GAP})
"""  # noqa: S608 - names of our own columns

# Every kind of account has views, so a final day without them was not read as a whole.
_KNOWN_DAY = """
SELECT is_final, is_final AND (video_views IS NOT NULL OR of_former_account) AS is_done, fetched_at
FROM account_daily WHERE store_code = %s AND metric_date = %s
"""

_FIRST_USERNAME = """
SELECT newest.username FROM (
    SELECT username, observed_at FROM user_daily_stats WHERE store_code = %(store_code)s
    ORDER BY snapshot_date DESC LIMIT 1
) AS newest
WHERE newest.observed_at > %(since)s AND NOT EXISTS (
    SELECT FROM store_tokens
    WHERE store_code = %(store_code)s AND connected_at > newest.observed_at)
"""

_AUDIENCE_COLUMNS = ("is_business_account", *STATS, *AUDIENCE_LISTS)

_SAVE_AUDIENCE = f"""
INSERT INTO account_audience AS old (
    store_code, snapshot_date, {", ".join(_AUDIENCE_COLUMNS)}, fetched_at)
VALUES (%(store_code)s, %(snapshot_date)s,
    {", ".join(f"%({name})s" for name in _AUDIENCE_COLUMNS)}, %(fetched_at)s)
ON CONFLICT (store_code, snapshot_date) DO UPDATE SET
    {_merged(_AUDIENCE_COLUMNS)}, fetched_at = excluded.fetched_at
WHERE excluded.fetched_at >= old.fetched_at
"""  # noqa: S608 - names of our own columns

_POST_FACTS = ("create_time", "media_type", "is_ad")
_POST_COLUMNS = (*_POST_FACTS, *_POST_COUNTS, *_POST_NUMBERS)


def _stage(age: str) -> str:
    return (
        f"CASE WHEN {age} >= interval '365 days' THEN 365 WHEN {age} >= interval '28 days' THEN 28"
        f" WHEN {age} >= interval '7 days' THEN 7 ELSE 0 END"
    )


_AGE = "(%(fetched_at)s::timestamptz - p.create_time)"

# Lists are ten times the size of all figures, so they stand in a post's newest row, merged with
# those of the row before, and stay only in the rows of certain ages.
_SAVE_POSTS = f"""
WITH page AS (
    SELECT * FROM jsonb_to_recordset(%(page)s) AS p (
        video_id text, create_time timestamptz, media_type text, is_ad boolean,
        {_typed(_POST_COUNTS, "bigint")}, {_typed(_POST_NUMBERS, "double precision")},
        {_typed(POST_LISTS, "jsonb")})
), before AS (
    SELECT b.* FROM page AS p CROSS JOIN LATERAL (
        SELECT video_id, snapshot_date, fetched_at, lists_kept_for, {", ".join(POST_LISTS)}
        FROM video_insights_daily AS r
        WHERE r.store_code = %(store_code)s AND r.video_id = p.video_id
            AND r.snapshot_date < %(snapshot_date)s
        ORDER BY r.snapshot_date DESC
        LIMIT 1
    ) AS b
), cleared AS (
    UPDATE video_insights_daily AS r SET {", ".join(f"{name} = NULL" for name in POST_LISTS)}
    FROM before AS b
    WHERE r.store_code = %(store_code)s AND r.video_id = b.video_id
        AND r.snapshot_date = b.snapshot_date AND b.lists_kept_for IS NULL
        AND ({" OR ".join(f"b.{name} IS NOT NULL" for name in POST_LISTS)})
), progress AS (
    INSERT INTO insight_listings (
        store_code, run_id, snapshot_date, next_cursor, pages, posts, updated_at)
    SELECT %(store_code)s, %(run_id)s, %(snapshot_date)s, %(next_cursor)s, %(pages)s, %(posts)s,
        now()
    WHERE %(next_cursor)s::bigint IS NOT NULL
    ON CONFLICT (store_code) DO UPDATE SET
        run_id = excluded.run_id, snapshot_date = excluded.snapshot_date,
        next_cursor = excluded.next_cursor, pages = excluded.pages, posts = excluded.posts,
        updated_at = excluded.updated_at
)
INSERT INTO video_insights_daily AS old (
    store_code, video_id, snapshot_date, {", ".join(_POST_COLUMNS)}, {", ".join(POST_LISTS)},
    lists_kept_for, fetched_at)
SELECT %(store_code)s, p.video_id, %(snapshot_date)s,
    {", ".join(f"p.{name}" for name in _POST_COLUMNS)},
    {", ".join(f"coalesce(p.{name}, b.{name})" for name in POST_LISTS)},
    (SELECT stage FROM (SELECT {_stage(_AGE)} AS stage) AS reached
        WHERE stage > 0 AND {_AGE} < (stage + 7) * interval '1 day'
            AND stage > coalesce({_stage("(b.fetched_at - p.create_time)")}, 0)),
    %(fetched_at)s
FROM page AS p LEFT JOIN before AS b ON b.video_id = p.video_id
ON CONFLICT (store_code, video_id, snapshot_date) DO UPDATE SET
    {_merged((*_POST_COLUMNS, *POST_LISTS))},
    lists_kept_for = coalesce(old.lists_kept_for, excluded.lists_kept_for),
    fetched_at = excluded.fetched_at
WHERE excluded.fetched_at >= old.fetched_at
"""  # noqa: S608 - names of our own columns

_SAVE_BENCHMARK = f"""
UPDATE benchmarks SET fetched_at = %(fetched_at)s,
    {", ".join(f"{name} = %({name})s" for name in BENCHMARK_FIGURES)}
WHERE snapshot_date = %(snapshot_date)s AND business_category = %(category)s
"""  # noqa: S608 - names of our own columns


@dataclass(frozen=True)
class PostsProgress:
    """A listing of posts that is under way.

    Attributes:
        next_cursor: Where the next page starts (Unix milliseconds).
        pages: Pages written.
        posts: Posts on them.
    """

    next_cursor: int
    pages: int
    posts: int


@dataclass(frozen=True)
class KnownDay:
    """A day of ``account_daily``.

    Attributes:
        is_final: Its figures no longer change.
        is_done: It is final, and was read as a whole.
        fetched_at: When TikTok answered.
    """

    is_final: bool
    is_done: bool
    fetched_at: datetime


class InsightsRepository:
    """Reads and writes of one store's insights on the connection of ``base``.

    Args:
        base: Says whether it is a dry run, in which every write only counts.
    """

    def __init__(self, base: StoreRepository) -> None:
        self.base = base
        self.conn = base.conn

    def ensure_partitions(self, first_day: date) -> None:
        """Create the monthly partition of ``first_day`` and those of the following months."""
        self.conn.execute("SELECT ensure_video_insights_partitions(%s)", [first_day])

    def first_username(self, store_code: str, since: datetime) -> str | None:
        """The username behind the store's first consent, as the profile's newest row has it.

        ``None`` = not known: the row is older than ``since`` or than that consent, or has none.
        """
        row = self.conn.execute(
            _FIRST_USERNAME, {"store_code": store_code, "since": since}
        ).fetchone()
        return row[0] if row else None

    def known_day(self, store_code: str, day: date) -> KnownDay | None:
        """What is known of one day; ``None`` = it has no row."""
        with self.conn.cursor(row_factory=class_row(KnownDay)) as cursor:
            return cursor.execute(_KNOWN_DAY, [store_code, day]).fetchone()

    def was_read_for_backfill(self, run: StoreRun, today: date) -> bool:
        """Whether a backfill read all days of the store on this (UTC) day."""
        row = self.conn.execute(
            "SELECT FROM backfill_readings"
            " WHERE job_name = %s AND store_code = %s AND observed_day = %s",
            [run.job_name, run.store_code, today],
        ).fetchone()
        return row is not None

    def save_days(self, store_code: str, days: Sequence[AccountDay], fetched_at: datetime) -> int:
        """Write days that are new or not final yet, and what final ones still lacked.

        Returns:
            Rows written.
        """
        if self.base.dry_run or not days:
            return len(days)
        values = {
            "store_code": store_code,
            "fetched_at": fetched_at,
            "days": Jsonb(
                [
                    {
                        "metric_date": day.metric_date.isoformat(),
                        **day.figures,
                        ACTIVITY: day.audience_activity,
                    }
                    for day in days
                ]
            ),
        }
        return self.conn.execute(_SAVE_DAYS.encode(), values).rowcount

    def save_audience(self, run: StoreRun, found: AccountInsights) -> int:
        """Write the account's totals and lists of the day.

        Returns:
            Rows written.
        """
        if self.base.dry_run:
            return 1
        lists = {name: found.audience.get(name) for name in AUDIENCE_LISTS}
        values = {
            "store_code": run.store_code,
            "snapshot_date": run.day.date,
            "fetched_at": found.observed_at,
            "is_business_account": found.is_business_account,
            **{name: getattr(found, name) for name in STATS},
            **{name: None if value is None else Jsonb(value) for name, value in lists.items()},
        }
        return self.conn.execute(_SAVE_AUDIENCE.encode(), values).rowcount

    def save_posts(
        self,
        run: StoreRun,
        posts: Sequence[VideoInsights],
        fetched_at: datetime,
        progress: PostsProgress | None = None,
    ) -> int:
        """Write one page of posts in one round trip.

        Args:
            run: The store, and the day.
            posts: Each id at most once.
            fetched_at: When TikTok answered.
            progress: The position of the listing after this page, written with it.

        Returns:
            Rows of ``video_insights_daily`` written.
        """
        if self.base.dry_run or not (posts or progress):
            return len(posts)
        values = {
            "store_code": run.store_code,
            "run_id": run.run_id,
            "snapshot_date": run.day.date,
            "fetched_at": fetched_at,
            # Always in one order, lest two runs of a store deadlock.
            "page": Jsonb([_as_json(one) for one in sorted(posts, key=lambda p: p.video_id)]),
            "next_cursor": progress and progress.next_cursor,
            "pages": progress and progress.pages,
            "posts": progress and progress.posts,
        }
        return self.conn.execute(_SAVE_POSTS.encode(), values).rowcount

    def resumed_posts(self, run: StoreRun) -> PostsProgress | None:
        """The position at which an earlier try in this run was interrupted."""
        if self.base.dry_run:
            return None
        with self.conn.cursor(row_factory=class_row(PostsProgress)) as cursor:
            return cursor.execute(
                "SELECT next_cursor, pages, posts FROM insight_listings"
                " WHERE store_code = %s AND run_id = %s AND snapshot_date = %s"
                " AND updated_at > now() - %s",
                [run.store_code, run.run_id, run.day.date, RESUME_WITHIN],
            ).fetchone()

    def forget_posts(self, store_code: str) -> None:
        """Delete the position: the listing is complete, or must start again."""
        if not self.base.dry_run:
            self.conn.execute("DELETE FROM insight_listings WHERE store_code = %s", [store_code])

    def claim_benchmark(self, day: date, category: str) -> bool:
        """Whether this store is the one to ask for the category's averages of the day."""
        if self.base.dry_run:
            return False
        return (
            self.conn.execute(
                "INSERT INTO benchmarks AS old (snapshot_date, business_category, asked_at)"
                " VALUES (%s, %s, now())"
                " ON CONFLICT (snapshot_date, business_category) DO UPDATE SET asked_at = now()"
                " WHERE old.fetched_at IS NULL AND old.asked_at < now() - %s",
                [day, category, ASK_AGAIN_AFTER],
            ).rowcount
            == 1
        )

    def save_benchmark(self, day: date, found: Benchmark) -> None:
        """Write the averages of the day."""
        values = {
            "snapshot_date": day,
            "category": found.category,
            "fetched_at": found.observed_at,
            **found.figures,
        }
        self.conn.execute(_SAVE_BENCHMARK.encode(), values)


def _as_json(post: VideoInsights) -> dict[str, Any]:
    return {
        "video_id": post.video_id,
        "create_time": post.create_time and post.create_time.isoformat(),
        "media_type": post.media_type,
        "is_ad": post.is_ad,
        "video_duration": post.duration,
        **post.figures,
        **post.lists,
    }
