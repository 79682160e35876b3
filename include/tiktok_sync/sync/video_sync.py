"""Do one store: all its videos and their counters of the day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import DataError, ListingError, MissingScopeError
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.listing_progress import ListingProgress
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_job import StoreOutcome
from include.tiktok_sync.tiktok.client import PAGE_SIZE, TikTokClient
from include.tiktok_sync.tiktok.models import (
    VIDEO_COUNTERS,
    VIDEO_SCOPE,
    Video,
    figures_missing,
)
from include.tiktok_sync.tiktok.paginator import SECOND_MS, all_pages

PROBLEMS_NAMED = 20
"""Unreadable videos that an error's detail names."""

COUNT_IS_NEWS = timedelta(hours=12)
"""A profile's number of videos that is older says nothing about tonight's listing."""


def sync_videos(
    run: StoreRun, *, client: TikTokClient, repository: StoreRepository
) -> StoreOutcome:
    """List every video, write page by page, settle which ones are gone or were passed over.

    Memory holds one page and the ids seen. A try that is cut off goes on, when repeated in the
    same run, behind the last page written. A video is marked removed only after a complete
    listing, and only if ``video/query`` does not show it either; one that it does show is
    written from that answer.

    Raises:
        MissingScopeError: ``video.list`` was not granted.
        DataError: Some videos could not be read; every readable one that was listed is written.
        ListingError: TikTok did not lead through the listing; the next try starts afresh.
        SyncError: See :mod:`include.tiktok_sync.tiktok.meanings`.
    """
    if VIDEO_SCOPE not in client.tokens.scopes:
        message = (
            "The store's grant does not include video.list; its manager must connect the account"
            " again and allow it."
        )
        raise MissingScopeError(message)
    listing = _Listing(run, client, repository)
    try:
        listing.walk()
    except ListingError:
        listing.forget()
        raise
    listing.refuse_problems()
    removed = listing.settle_missing()
    unlisted = listing.look_behind_edges()
    listing.forget()
    return StoreOutcome(
        message=f"{len(listing.seen)} videos on {listing.pages} pages"
        + (f", {removed} gone" if removed else "")
        + (f", {unlisted} more on the profile's count" if unlisted else ""),
        details={
            "videos": len(listing.seen),
            "pages": listing.pages,
            "rows": listing.rows,
            "removed": removed,
            "late": listing.late,
            **({"resumed": True} if listing.resumed else {}),
            **({"unlisted": unlisted} if unlisted else {}),
            **({"figures_missing": listing.blanks} if listing.blanks else {}),
        },
    )


class _Listing:
    """One store's listing as far as it got."""

    def __init__(self, run: StoreRun, client: TikTokClient, repository: StoreRepository) -> None:
        self._run = run
        self._client = client
        self._repository = repository
        self._problems: list[str] = []
        self._edges: list[int] = []
        self.seen: set[str] = set()
        self.pages = self.rows = self.blanks = 0
        self.late = self.resumed = False

    def walk(self) -> None:
        """Write every page, from where an earlier try stopped, if one did."""
        before = self._repository.resumed_listing(self._run)
        started_at = utc_now() if before is None else before.started_at
        if before is not None:
            self.resumed, self.pages, self._edges = True, before.pages, before.edges
            self.seen = self._repository.videos_seen_since(self._run.store_code, started_at)
        start = self._edges[-1] if self._edges else None
        for page, following in all_pages(self._client.list_videos, start):
            self.pages += 1
            self._problems.extend(page.problems)
            progress = None
            if following is not None:
                self._edges.append(following)
                # Behind an unreadable video the position stays: a retry must see it again.
                if not self._problems:
                    progress = ListingProgress(started_at, self.pages, self._edges)
            self._save(page.videos, page.observed_at, progress)

    def forget(self) -> None:
        """The listing ended, or must start afresh; one of a single page left no position."""
        if self._edges:
            self._repository.forget_listing(self._run.store_code)

    def refuse_problems(self) -> None:
        """Fail for the videos that could not be read, now that all others are written."""
        if self._problems:
            message = (
                f"{len(self._problems)} of {len(self.seen) + len(self._problems)} videos could not"
                f" be read, the others are written. First: {self._problems[0]}"
            )
            raise DataError(message, detail="; ".join(self._problems[:PROBLEMS_NAMED]))

    def settle_missing(self) -> int:
        """Ask for the known videos that were not listed.

        Returns:
            How many are gone; the others are written as TikTok shows them.
        """
        missing = iter(self._repository.videos_not_among(self._run.store_code, self.seen))
        removed = 0
        while chunk := list(islice(missing, PAGE_SIZE)):
            shown, observed_at = self._client.query_videos(chunk)
            self._save(shown, observed_at)
            gone = [video_id for video_id in chunk if video_id not in self.seen]
            removed += self._repository.mark_removed(gone, observed_at)
        return removed

    def look_behind_edges(self) -> int:
        """Find videos that share their second with the last one of a page.

        The next page is "posted before" that second and passes them over. The profile's number of
        videos, as the user sync left it, tells whether there can be any; if so, or if it is
        unknown, each page edge is asked for once more from a second later. A number that stayed
        too high last time (TikTok also counts videos that it does not list) is not looked into
        again.

        Returns:
            By how many the profile's number still is higher.
        """
        if not self._edges:
            return 0
        since = utc_now() - COUNT_IS_NEWS
        count = self._repository.known_video_count(self._run.store_code, since)
        if count is None or 0 < count - len(self.seen) != self._repository.last_unlisted(self._run):
            for edge in self._edges:
                page = self._client.list_videos(edge + SECOND_MS)
                self._problems.extend(page.problems)
                self._save(page.videos, page.observed_at)
                if count is not None and len(self.seen) >= count:
                    break
            self.refuse_problems()
        return max(0, (count or 0) - len(self.seen))

    def _save(
        self,
        videos: Iterable[Video],
        observed_at: datetime,
        progress: ListingProgress | None = None,
    ) -> None:
        fresh = {video.video_id: video for video in videos if video.video_id not in self.seen}
        self.rows += self._repository.save_videos(
            self._run, list(fresh.values()), observed_at, progress
        )
        self.seen.update(fresh)
        self.blanks += sum(figures_missing(video, VIDEO_COUNTERS) for video in fresh.values())
        self.late = self.late or self._run.day.is_late(observed_at)
