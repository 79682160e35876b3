"""Every page of a cursor-paged listing, exactly once, or an error that says why not.

TikTok may send short and even empty pages while ``has_more`` is true, so only ``has_more: false``
ends a listing (developers.tiktok.com, "List Videos" v1 page). A cursor that comes back would loop
for ever; a set of all cursors seen also catches a cycle of two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.models import VideoPage

MAX_PAGES = 5_000
"""100,000 videos; beyond that TikTok is repeating itself in a way the cursors do not show."""


def all_pages(fetch: Callable[[int | None], VideoPage]) -> Iterator[VideoPage]:
    """Yield the pages from the newest video to the oldest.

    Args:
        fetch: Gets the page that starts at a cursor (``None`` = the first).

    Raises:
        DataError: The listing cannot be completed: the cursor is missing, not positive or was
            there before, or the pages do not end. Pages already yielded are good.
    """
    cursor: int | None = None
    visited: set[int] = set()
    for _ in range(MAX_PAGES):
        page = fetch(cursor)
        yield page
        if not page.has_more:
            return
        if page.cursor is None or page.cursor <= 0:
            message = (
                f"TikTok says there are more videos and gives no usable cursor ({page.cursor})."
            )
            raise DataError(message)
        if page.cursor in visited:
            message = f"TikTok's listing turns in a circle: cursor {page.cursor} came twice."
            raise DataError(message)
        visited.add(page.cursor)
        cursor = page.cursor
    message = f"TikTok's listing did not end within {MAX_PAGES} pages."
    raise DataError(message)
