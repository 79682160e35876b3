"""Every page of a cursor-paged listing, or an error that says why not.

TikTok may send short and even empty pages while ``has_more`` is true, so only ``has_more: false``
ends a listing (developers.tiktok.com, "List Videos" v1 page). A cursor is a time: the next page is
"posted before" it (same page, v2), so a cursor that comes back, rises or is missing can be replaced
by the time of the oldest video at hand. A set of all cursors seen catches a circle of any length.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from include.tiktok_sync.errors import ListingError

MAX_PAGES = 5_000
"""100,000 videos; beyond that TikTok is repeating itself in a way the cursors do not show."""

STUCK_TRIES = 3
"""Calls of one page that leads nowhere, before the listing is given up."""

SECOND_MS = 1_000


class Listed(Protocol):
    """A video or post on a page."""

    @property
    def create_time(self) -> datetime | None:
        """When it was posted."""


class Page(Protocol):
    """A page of either API's listing."""

    @property
    def videos(self) -> Sequence[Listed]:
        """In the order in which they came."""

    @property
    def cursor(self) -> int | None:
        """Where the next page starts."""

    @property
    def has_more(self) -> bool:
        """Whether there is one."""


P = TypeVar("P", bound=Page)


def all_pages(
    fetch: Callable[[int | None], P], start: int | None = None
) -> Iterator[tuple[P, int | None]]:
    """Yield the pages from the newest video to the oldest, each with the cursor of the next one.

    A video may be on more than one page. The cursor is ``None`` on the last page, and on one
    that leads nowhere: then the same page follows again.

    Args:
        fetch: Gets the page that starts at a cursor (``None`` = the first).
        start: Where to begin; ``None`` = at the newest video.

    Raises:
        ListingError: The listing cannot be completed: it does not lead on, or does not end. Pages
            already yielded are good.
    """
    cursor = start
    visited = set() if start is None else {start}
    stuck = 0
    for _ in range(MAX_PAGES):
        page = fetch(cursor)
        following = _following(page, cursor, visited) if page.has_more else None
        yield page, following
        if not page.has_more:
            return
        if following is not None:
            visited.add(following)
            cursor, stuck = following, 0
            continue
        stuck += 1
        if stuck == STUCK_TRIES:
            message = (
                "TikTok says there are more videos and does not say where: its cursor"
                f" ({page.cursor}) is missing, unusable or was there before. The next try starts"
                " again from the newest video."
            )
            raise ListingError(message, detail=f"asked from cursor {cursor}")
    message = f"TikTok's listing did not end within {MAX_PAGES} pages."
    raise ListingError(message)


def _following(page: Page, cursor: int | None, visited: Collection[int]) -> int | None:
    """TikTok's cursor if it leads on, else the time of the oldest video if that does."""
    times = [video.create_time for video in page.videos if video.create_time is not None]
    oldest = int(min(times).timestamp()) * SECOND_MS if times else None
    for candidate in (page.cursor, oldest):
        if candidate is None or candidate <= 0 or candidate in visited:
            continue
        if cursor is None or candidate < cursor:
            return candidate
    return None
