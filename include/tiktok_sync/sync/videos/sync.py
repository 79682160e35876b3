"""Syncs a store's videos and their counters of the day."""

from __future__ import annotations

from datetime import timedelta

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import ListingError, MissingScopeError
from include.tiktok_sync.jobs import StoreRun, is_turn
from include.tiktok_sync.sync.repository import CompleteListing, StoreRepository
from include.tiktok_sync.sync.store_job import StoreOutcome
from include.tiktok_sync.sync.videos.coverage import SECOND_MS, milliseconds
from include.tiktok_sync.sync.videos.two_ends import TwoEnds
from include.tiktok_sync.tiktok.client import LANES, PAGE_SIZE, TikTokClient
from include.tiktok_sync.tiktok.models import USER_FIELD_SCOPES, VIDEO_SCOPE

COUNT_IS_NEWS = timedelta(hours=12)
"""A profile's number of videos that is older says nothing about tonight's listing."""

LISTED_WITHIN = 7
"""Nights within which every store is listed to the end, each on a night of its own."""

COMPARED_WITHIN, FEW_STORES = 10, 10
"""Where the last query has room, comparing both endpoints is free. Where the ends meet exactly, it
costs a call: each store makes it once in 10 nights, and always while fewer than 10 stores wait."""

_REASONS = {
    "weekly": "its turn this week",
    "count_unknown": "the profile's number of videos is unknown",
    "count_higher": "the profile counts more videos",
    "not_shown": "video/query left out known videos",
}
"""Why a listing went on to the end though it need not have, for the store's message."""


def sync_videos(
    run: StoreRun, *, client: TikTokClient, repository: StoreRepository
) -> StoreOutcome:
    """Read every video from both ends, write page by page, settle which ones are gone.

    Memory holds a page, the ids, and the figures that were queried. A try that is cut off goes on,
    when repeated in the same run, where both ends stood. A video is marked removed only if
    ``video/query`` does not show it, nor the page of ``video/list`` on which it would stand; one
    that either shows is written (docs/decisions/0022).

    Raises:
        MissingScopeError: ``video.list`` was not granted.
        DataError: Some videos could not be read; every readable one that was shown is written.
        ListingError: TikTok did not lead through the listing; the next try starts afresh.
        SyncError: See :mod:`include.tiktok_sync.tiktok.meanings`.
    """
    if VIDEO_SCOPE not in client.tokens.scopes:
        message = (
            "The store's grant does not include video.list; its manager must connect the account"
            " again and allow it."
        )
        raise MissingScopeError(message)
    reading = _StoreVideos(run, client, repository)
    try:
        reading.read()
    except ListingError:
        reading.ends.forget()
        raise
    return reading.settle()


class _StoreVideos:
    """What is decided for one store: which way it is read, and how far down it is listed."""

    def __init__(self, run: StoreRun, client: TikTokClient, repository: StoreRepository) -> None:
        self._run = run
        self._client = client
        self._repository = repository
        self._count: int | None = None
        self._to_come = 0
        self._last_read = False
        self._last_found: CompleteListing | None = None
        self.ends = TwoEnds(run, client, repository)
        self.why: str | None = None

    def read(self) -> None:
        """Read all that is to be read; sets ``why`` if it was listed to the end."""
        ends = self.ends
        self.why = self._why_listed_alone()
        if self.why is None:
            self._to_come = self._repository.stores_to_come(self._run)
            ends.read_until_met(self._to_come)
            if ends.coverage.is_whole():
                self.why = "reached" if ends.queried else "alone"
            elif (why := self._why_to_end()) is not None:
                self.why = why
        if self.why is not None:
            ends.list_to_end()
        ends.refuse_problems()
        ends.query_rest()
        ends.settle_unproven()
        ends.refuse_problems()
        self._look_behind_edges()
        if ends.coverage.is_whole() and self.why is None:
            self.why = "reached"

    def settle(self) -> StoreOutcome:
        """Mark what is gone, and say what was found."""
        ends, readings = self.ends, self.ends.readings
        gone = ends.gone()
        store = self._run.store_code
        removed = (
            self._repository.mark_removed(
                store, gone, ends.observed_at, unseen_since=ends.started_at
            )
            if gone
            else 0
        )
        unlisted = max(0, self._excess())
        ends.forget()
        whole = ends.coverage.is_whole()
        return StoreOutcome(
            message=f"{len(readings.seen)} videos on {ends.pages} pages"
            + (f" and {ends.queried} queries" if ends.queried else "")
            + (f" (listed to the end: {_REASONS[self.why]})" if self.why in _REASONS else "")
            + (f", {removed} gone" if removed else "")
            + (f", {unlisted} more on the profile's count" if unlisted else ""),
            details={
                "videos": len(readings.seen),
                "pages": ends.pages,
                "queried": ends.queried,
                "listed_to_end": whole,
                **({"why_to_end": self.why} if whole else {}),
                "rows": readings.rows,
                "removed": removed,
                "late": readings.late,
                **({"resumed": True} if ends.resumed else {}),
                **({"unlisted": unlisted} if unlisted else {}),
                **({"figures_missing": readings.blanks} if readings.blanks else {}),
                **readings.details(),
            },
        )

    def _why_listed_alone(self) -> str | None:
        """Why the store is only listed; ``None`` = it may be read from both ends."""
        if not self.ends.known:
            return "nothing_known"
        if self._client.lanes < LANES:
            return "lanes_off"
        if len(self.ends.known) <= PAGE_SIZE:
            return "few_known"
        if not self._is_count_expected():
            return "count_unknown"
        if self._last is None:
            return "first_listing"
        return "weekly" if self._is_due(LISTED_WITHIN) else None

    def _is_count_expected(self) -> bool:
        """Whether tonight's profile will count the store's videos; without, both ends are vain."""
        if USER_FIELD_SCOPES["video_count"] not in self._client.tokens.scopes:
            return False
        since = utc_now() - timedelta(days=LISTED_WITHIN)
        return self._repository.known_video_count(self._run.store_code, since) is not None

    def _is_due(self, nights: int) -> bool:
        """Whether it is the store's night, or that number of nights has passed since a listing."""
        last, today = self._last, self._run.day.date
        if last is None or today - last.day >= timedelta(days=nights):
            return True
        return last.day != today and is_turn(self._run, nights)

    def _why_to_end(self) -> str | None:
        """Why the listing goes on though the two ends have met."""
        ends = self.ends
        self._read_count()
        if self._count is None:
            return "count_unknown"
        ends.query_rest()
        ends.refuse_problems()
        if len(ends.unproven()) <= ends.pages_left():
            ends.settle_unproven()
        if ends.unproven():
            return "not_shown"
        if self._is_count_news():
            return "count_higher"
        has_time = self._to_come < FEW_STORES or is_turn(self._run, COMPARED_WITHIN)
        # What an earlier try queried is not known here: it is not asked for again.
        if has_time and not ends.readings.compared and not ends.resumed:
            ends.compare_last_page()
        return None

    def _look_behind_edges(self) -> None:
        """Find videos that share their second with the last one of a page.

        The next page is "posted before" that second and passes them over. The profile's number of
        videos, as the user sync left it, tells whether there can be any: then each page edge is
        asked for once more from a second later. A number that stayed too high last time (TikTok
        also counts videos that it does not list) is not looked into again. Without a number, the
        edges that are newer than the last complete listing are looked at, and once in
        ``LISTED_WITHIN`` nights all; the number is looked up again before each of them, as the
        user sync may have come to the store meanwhile.
        """
        ends = self.ends
        is_known = False
        for edge in list(ends.edges):
            if is_known:
                if self._excess() <= 0:
                    break
            else:
                self._read_count()
                is_known = self._count is not None
                if not (self._is_count_news() if is_known else self._is_edge_new(edge)):
                    break
            ends.list_from(edge + SECOND_MS)
        ends.refuse_problems()

    def _is_edge_new(self, edge: int) -> bool:
        """Whether no listing to the end has looked behind that page edge lately."""
        if self._last is None or self._is_due(LISTED_WITHIN):
            return True
        return edge >= milliseconds(self._last.ended_at)

    def _read_count(self) -> None:
        """Look up the profile's number of videos: as late as possible, it may be on its way."""
        if self._count is None:
            since = utc_now() - COUNT_IS_NEWS
            self._count = self._repository.known_video_count(self._run.store_code, since)

    def _excess(self) -> int:
        return (self._count or 0) - len(self.ends.readings.seen)

    def _is_count_news(self) -> bool:
        """Whether the profile counts more videos than were seen, and other than last time."""
        if self._excess() <= 0:
            return False
        return self._excess() != (self._last.unlisted if self._last else 0)

    @property
    def _last(self) -> CompleteListing | None:
        if not self._last_read:
            self._last_found = self._repository.last_complete_listing(self._run)
            self._last_read = True
        return self._last_found
