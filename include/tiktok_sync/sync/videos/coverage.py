"""Which moments have the pages of a listing covered, so that a video of such a moment was shown?

A page shows what was posted before its cursor, down to where the next page starts. Videos that
share the second of a page's edge can be on neither side, so that second is not covered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime

SECOND_MS = 1_000


class Coverage:
    """The pages so far, each from its cursor down to where the next one starts (ms)."""

    def __init__(self, edges: Iterable[int] = (), *, ended: bool = False) -> None:
        """Begin with the pages before ``edges``, and the last one if the listing ``ended``."""
        self._pages: list[tuple[float, float]] = []
        before = math.inf
        for edge in edges:
            self._pages.append((before, edge))
            before = edge
        if ended:
            self._pages.append((before, -math.inf))

    def add(self, cursor: int | None, following: int | None) -> None:
        """A page from ``cursor`` (``None`` = the newest) to ``following`` (``None`` = the end)."""
        before = math.inf if cursor is None else cursor
        self._pages.append((before, -math.inf if following is None else following))

    def is_whole(self) -> bool:
        """Whether the pages lead from the newest video to the oldest without a gap."""
        lowest = math.inf
        for before, following in sorted(self._pages, reverse=True):
            if before >= lowest:
                lowest = min(lowest, following)
        return lowest == -math.inf

    def covers(self, posted: datetime) -> bool:
        """Whether a video of that second would have been on a page."""
        second = milliseconds(posted)
        return any(
            second < before and second >= following + SECOND_MS for before, following in self._pages
        )


def milliseconds(posted: datetime) -> int:
    """Unix milliseconds of the second."""
    return int(posted.timestamp()) * SECOND_MS
