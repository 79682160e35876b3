"""What did TikTok show of a store tonight, by which endpoint, and do both say the same?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.listing_progress import ListingProgress
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.tiktok.models import VIDEO_COUNTERS, Video, figures_missing

DIFFERENCES_NAMED = 5
"""Videos that the details name, of those whose figures differ."""

ABSURD_FACTOR, ABSURD_RISE = 10, 1_000
"""No counter grows more than that between two readings of one night."""

JOINT_FACTOR, JOINT_VIEWS = 1.5, 100
"""Nor do all counters of a video that is watched at all grow like that at once."""

Figures = tuple[int | None, ...]


@dataclass
class Readings:
    """Every video that was shown, written as it came.

    Attributes:
        run: Whose videos, and of which day.
        repository: Where they are written.
        seen: Ids.
        rows: Rows of figures written.
        blanks: Figures that TikTok left out.
        late: One was observed after its day.
        compared: Ids that were read by both endpoints.
        last_page: Figures of the last page of ``video/list``, as it came.
    """

    run: StoreRun
    repository: StoreRepository

    def __post_init__(self) -> None:
        """Nothing was shown yet."""
        self.seen: set[str] = set()
        self.rows = self.blanks = 0
        self.late = False
        self.compared: set[str] = set()
        self.problems: list[str] = []
        self._differ: dict[str, dict[str, Any]] = {}
        self._queried: dict[str, Figures] = {}
        self.last_page: dict[str, Figures] = {}

    def listed(
        self,
        videos: Iterable[Video],
        observed_at: datetime,
        progress: ListingProgress | None = None,
        *,
        in_turn: bool = True,
    ) -> None:
        """Write a page of ``video/list``; what was queried before is compared and written again."""
        page = {video.video_id: video for video in videos}
        again = [video for video in page.values() if video.video_id in self._queried]
        self._compare(self._queried, again, "video/query, then video/list")
        self._write(page, {video.video_id for video in again}, observed_at, progress)
        if page and in_turn:
            # Queries fill their room from the last page.
            self.last_page = {video_id: _figures(video) for video_id, video in page.items()}

    def queried(
        self,
        videos: Iterable[Video],
        observed_at: datetime,
        progress: ListingProgress | None = None,
        *,
        page_before: Mapping[str, Figures],
    ) -> None:
        """Write an answer of ``video/query``; what ``page_before`` listed is compared, likewise.

        A page that was under way with the query is not compared: which figures are later is open.
        """
        shown = {video.video_id: video for video in videos}
        again = [video for video in shown.values() if video.video_id in page_before]
        self._compare(page_before, again, "video/list, then video/query")
        self._write(shown, {video.video_id for video in again}, observed_at, progress)
        self._queried |= {video_id: _figures(video) for video_id, video in shown.items()}

    def details(self) -> dict[str, Any]:
        """What both endpoints said, for ``sync_logs.details``."""
        return {
            "compared": len(self.compared),
            "differ": len(self._differ),
            **(
                {"differences": list(self._differ.values())[:DIFFERENCES_NAMED]}
                if self._differ
                else {}
            ),
        }

    def _compare(self, before: Mapping[str, Figures], again: Iterable[Video], order: str) -> None:
        for video in again:
            self.compared.add(video.video_id)
            first, second = before[video.video_id], _figures(video)
            if differ(first, second):
                self._differ[video.video_id] = {
                    "video_id": video.video_id,
                    "order": order,
                    "first": dict(zip(VIDEO_COUNTERS, first, strict=True)),
                    "second": dict(zip(VIDEO_COUNTERS, second, strict=True)),
                }

    def _write(
        self,
        shown: dict[str, Video],
        again: set[str],
        observed_at: datetime,
        progress: ListingProgress | None,
    ) -> None:
        fresh = [video for video_id, video in shown.items() if video_id not in self.seen]
        wanted = [*fresh, *(shown[video_id] for video_id in again if video_id in self.seen)]
        written = self.repository.save_videos(self.run, wanted, observed_at, progress)
        self.rows += min(written, len(fresh))
        self.seen.update(video.video_id for video in fresh)
        self.blanks += sum(figures_missing(video, VIDEO_COUNTERS) for video in fresh)
        self.late = self.late or self.run.day.is_late(observed_at)


def differ(first: Figures, second: Figures) -> bool:
    """Whether growth cannot explain the second reading after the first.

    A counter fell, or rose absurdly, or all of them rose by half at once. A figure that one
    reading lacks says nothing.
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if any(b < a or b > a * ABSURD_FACTOR + ABSURD_RISE for a, b in pairs):
        return True
    grown = [(a, b) for a, b in pairs if a]
    return (
        len(grown) >= len(VIDEO_COUNTERS) - 1
        and max(a for a, _ in grown) >= JOINT_VIEWS
        and all(b >= a * JOINT_FACTOR for a, b in grown)
    )


def _figures(video: Video) -> Figures:
    return tuple(getattr(video, name) for name in VIDEO_COUNTERS)
