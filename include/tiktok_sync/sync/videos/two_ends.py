"""Read a store's videos from both ends: listed from the newest, queried from the oldest known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import DataError
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.listing_progress import ListingProgress
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.videos.coverage import SECOND_MS, Coverage, milliseconds
from include.tiktok_sync.sync.videos.known import KnownVideos
from include.tiktok_sync.sync.videos.readings import Figures, Readings
from include.tiktok_sync.tiktok.client import PAGE_SIZE, TikTokClient
from include.tiktok_sync.tiktok.models import QueriedVideos, VideoPage
from include.tiktok_sync.tiktok.paginator import all_pages

PROBLEMS_NAMED = 20
"""Unreadable videos that an error's detail names."""


class TwoEnds:
    """One store's videos as far as they are read, from either end.

    A try that is cut off goes on, when repeated in the same run, where both ends stood.

    Attributes:
        readings: What was shown.
        known: What was known before, and what of it is left.
        coverage: Which moments the listed pages cover.
        edges: Where each page after the first starts (Unix milliseconds); the last one is next.
        pages: Pages listed.
        queried: Queries that read figures.
        resumed: An earlier try had begun.
        started_at: When the first try began to read.
        observed_at: When TikTok answered last.
    """

    def __init__(self, run: StoreRun, client: TikTokClient, repository: StoreRepository) -> None:
        self._run = run
        self._client = client
        self._repository = repository
        self.readings = Readings(run, repository)
        before = repository.resumed_listing(run)
        self.resumed = before is not None
        at = before or ListingProgress(utc_now())
        if before is not None:
            self.readings.seen = repository.videos_seen_since(run.store_code, at.started_at)
        self.started_at = at.started_at
        self.edges, self.pages, self.queried = list(at.edges), at.pages, at.queried
        self._ended = at.ended
        self._reads_both = bool(at.queried or at.not_shown)
        self.coverage = Coverage(at.edges, ended=at.ended)
        self.known = KnownVideos(
            repository.known_videos(run.store_code), self.readings.seen, at.not_shown
        )
        self.observed_at: datetime = at.started_at
        self._cursor = self.edges[-1] if self.edges else None
        self._listed_already: VideoPage | None = None
        self._walk = self._pages()

    def list_to_end(self) -> None:
        """List every page that is left.

        Raises:
            ListingError: TikTok does not lead through the listing.
        """
        for page, following in self._walk:
            self._save_page(page, following)

    def read_until_met(self, stores_to_come: int) -> None:
        """Only list while TikTok has room for everyone, else read both ends until they meet.

        There is room while more places of ``video/list`` are open than the stores to come will
        take there, assuming that they are as large as this one and read from both ends. Otherwise
        a call goes to the endpoint that lets it go first, and while TikTok answers a query, the
        next page is listed too if a place is open. A store of which nothing was queried is listed
        to the end.

        Args:
            stores_to_come: Other stores of the run that are not done.

        Raises:
            ListingError: As above.
        """
        reserve = stores_to_come * -(-len(self.known) // PAGE_SIZE) // self._client.lanes
        while not self._ended:
            chunk, both = self._next_query()
            if not chunk and self._reads_both and self._cursor is not None:
                return
            if not chunk:
                self._save_next_page()
                continue
            page_before = self.readings.last_page
            answers = self._client.list_or_query(self._cursor, chunk, reserve=reserve, both=both)
            for answer in answers:
                if isinstance(answer, QueriedVideos):
                    self._reads_both = True
                    self._save_query(chunk, answer, page_before)
                else:
                    self._listed_already = answer
                    self._save_next_page()

    def _save_next_page(self) -> None:
        page, following = next(self._walk)
        self._save_page(page, following)

    def query_rest(self) -> None:
        """Ask for the known videos that neither end came to."""
        unread = iter(self.known.unread())
        while chunk := list(islice(unread, PAGE_SIZE)):
            self._save_query(chunk, self._client.query_videos(chunk))

    def compare_last_page(self) -> None:
        """Query what the last page listed."""
        if chunk := list(self.readings.last_page)[-PAGE_SIZE:]:
            self._save_query(chunk, self._client.query_videos(chunk))

    def settle_unproven(self) -> None:
        """List the pages on which videos must stand that a query did not show."""
        for posted in self.unproven():
            # One page may settle several.
            if posted in self.unproven():
                self.list_from(milliseconds(posted) + SECOND_MS)

    def list_from(self, cursor: int) -> None:
        """List one page out of turn."""
        page = self._client.list_videos(cursor)
        self._note(page)
        if not page.has_more:
            self.coverage.add(cursor, None)
        elif page.cursor is not None and 0 < page.cursor <= cursor:
            self.coverage.add(cursor, page.cursor)
        self.readings.listed(page.videos, page.observed_at, in_turn=False)

    def unproven(self) -> list[datetime]:
        """Moments of videos that a query did not show and no page covers, newest first."""
        times = (self.known.posted(one) for one in self.known.lost())
        return [posted for posted in times if posted and not self.coverage.covers(posted)]

    def pages_left(self) -> int:
        """How many pages a listing would still need to its end, as far as is known."""
        return self.known.pages_below(self._cursor) if self._cursor is not None else 0

    def gone(self) -> list[str]:
        """Known videos that a query did not show, nor the page on which they would stand."""
        whole = self.coverage.is_whole()
        gone = []
        for one in self.known.lost():
            posted = self.known.posted(one)
            if whole if posted is None else self.coverage.covers(posted):
                gone.append(one)
        return gone

    def forget(self) -> None:
        """All is read, or must be read afresh; a listing of one page left no position."""
        if self._keeps_position():
            self._repository.forget_listing(self._run.store_code)

    def refuse_problems(self) -> None:
        """Fail for the videos that could not be read, now that all others are written.

        Raises:
            DataError: There are some.
        """
        problems, seen = self.readings.problems, len(self.readings.seen)
        if problems:
            message = (
                f"{len(problems)} of {seen + len(problems)} videos could not"
                f" be read, the others are written. First: {problems[0]}"
            )
            raise DataError(message, detail="; ".join(problems[:PROBLEMS_NAMED]))

    def _pages(self) -> Iterator[tuple[VideoPage, int | None]]:
        if not self._ended:
            yield from all_pages(self._list, self._cursor)

    def _list(self, cursor: int | None) -> VideoPage:
        page, self._listed_already = self._listed_already, None
        return page or self._client.list_videos(cursor)

    def _keeps_position(self) -> bool:
        # A listing of one page is repeated.
        return bool(self.edges) or self._reads_both

    def _next_query(self) -> tuple[list[str], bool]:
        """Ids to ask for, and whether the next page of the listing leaves them to a query."""
        below = self.known.below(self._cursor)
        beyond_page = below if self._cursor is None else below[:-PAGE_SIZE]
        chunk = (beyond_page or below)[:PAGE_SIZE]
        if 0 < len(chunk) < PAGE_SIZE:
            # The ends are about to meet: what room it has compares both endpoints.
            compared = list(self.readings.last_page)[len(chunk) - PAGE_SIZE :]
            chunk = chunk + compared if compared or self._cursor is not None else []
        return chunk, bool(beyond_page)

    def _save_page(self, page: VideoPage, following: int | None) -> None:
        self.pages += 1
        self._note(page)
        if following is not None:
            self.coverage.add(self._cursor, following)
            self.edges.append(following)
            self._cursor = following
        elif not page.has_more:
            self.coverage.add(self._cursor, None)
            self._ended = True
        # A page that leads nowhere is asked for again.
        is_kept = following is not None or (self._ended and self._keeps_position())
        self.readings.listed(page.videos, page.observed_at, self._progress() if is_kept else None)

    def _save_query(
        self,
        asked: list[str],
        answer: QueriedVideos,
        page_before: Mapping[str, Figures] | None = None,
    ) -> None:
        self._note(answer)
        shown = {video.video_id for video in answer.videos}
        unread = [one for one in asked if one not in self.readings.seen]
        self.known.not_shown += [one for one in unread if one not in shown]
        self.queried += bool(shown)
        self.readings.queried(
            answer.videos,
            answer.observed_at,
            self._progress() if self._keeps_position() else None,
            page_before=self.readings.last_page if page_before is None else page_before,
        )

    def _note(self, answer: VideoPage | QueriedVideos) -> None:
        self.observed_at = max(self.observed_at, answer.observed_at)
        self.readings.problems.extend(answer.problems)

    def _progress(self) -> ListingProgress | None:
        # Behind an unreadable video the position stays: a retry must see it again.
        if self.readings.problems:
            return None
        return ListingProgress(
            self.started_at,
            self.pages,
            self.edges,
            self._ended,
            self.queried,
            self.known.not_shown,
        )
