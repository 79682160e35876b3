"""Reads a store's posts page by page, and leaves out pages that cannot have changed.

365 days after posting TikTok no longer updates a post's figures (business-api.tiktok.com, "Get
posts of a TikTok account", 1762228421622786). Posts come newest first, so that a listing that has
reached that age has nothing new below; it goes on to the end once a week.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from include.tiktok_sync.business.client import BusinessClient
from include.tiktok_sync.business.models import InsightPage
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import ListingError
from include.tiktok_sync.jobs import StoreRun, is_turn
from include.tiktok_sync.sync.insights.account import skipped_details
from include.tiktok_sync.sync.insights.repository import InsightsRepository, PostsProgress
from include.tiktok_sync.sync.videos.coverage import milliseconds
from include.tiktok_sync.tiktok.paginator import all_pages

UNCHANGED_AFTER = timedelta(days=366)
"""A day more than TikTok says, for the last update to arrive."""

LISTED_WITHIN = timedelta(days=7)
"""Every store is listed to its oldest post at least this often."""


@dataclass
class PostsRead:
    """What the listing showed.

    Attributes:
        pages: Read in this run.
        posts: On them.
        rows: Rows of ``video_insights_daily`` written by this try.
        listed_to_end: Whether it went to the oldest post.
        resumed: An earlier try in this run had begun.
        problems: One line for each post that could not be read.
    """

    pages: int = 0
    posts: int = 0
    rows: int = 0
    listed_to_end: bool = False
    resumed: bool = False
    problems: list[str] = field(default_factory=list)
    skipped: Mapping[str, Any] = field(default_factory=dict)

    def details(self) -> dict[str, Any]:
        """For ``sync_logs.details``."""
        return {
            "pages": self.pages,
            "posts": self.posts,
            "listed_to_end": self.listed_to_end,
            **({"resumed": True} if self.resumed else {}),
            **self.skipped,
        }


def read_posts(run: StoreRun, client: BusinessClient, insights: InsightsRepository) -> PostsRead:
    """Read the posts and write each page with its position, so that a retry continues there.

    Raises:
        MissingScopeError: ``video.list`` is not granted.
        ListingError: TikTok did not lead through the listing; the next try starts afresh.
        SyncError: See :mod:`include.tiktok_sync.business.meanings`.
    """
    to_end = _is_listed_to_end(run, insights)
    before = milliseconds(utc_now() - UNCHANGED_AFTER)
    progress = insights.resumed_posts(run)
    read = PostsRead()
    if progress:
        read.pages, read.posts, read.resumed = progress.pages, progress.posts, True
    try:
        for page, following in all_pages(client.videos, progress.next_cursor if progress else None):
            _write(run, insights, page, following, read)
            if following is not None and following < before and not to_end:
                break
        else:
            read.listed_to_end = True
    except ListingError:
        insights.forget_posts(run.store_code)
        raise
    insights.forget_posts(run.store_code)
    return read


def _write(
    run: StoreRun,
    insights: InsightsRepository,
    page: InsightPage,
    following: int | None,
    read: PostsRead,
) -> None:
    posts = {post.video_id: post for post in page.videos}
    read.pages += 1
    read.posts += len(posts)
    read.problems += page.problems
    read.skipped = skipped_details(page.skipped)
    # A page with problems is read again by a retry.
    position = following if not read.problems else None
    progress = PostsProgress(position, read.pages, read.posts) if position is not None else None
    read.rows += insights.save_posts(run, list(posts.values()), page.observed_at, progress)


def _is_listed_to_end(run: StoreRun, insights: InsightsRepository) -> bool:
    """Whether it is the store's night of the week, or its last whole listing is too long ago."""
    last = insights.base.last_complete_listing(run)
    today = run.day.date
    if last is None or today - last.day >= LISTED_WITHIN:
        return True
    return is_turn(run, LISTED_WITHIN.days) and last.day != today
