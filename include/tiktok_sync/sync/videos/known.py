"""Which of the known videos are still to be read, and which of them by the next query?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from include.tiktok_sync.sync.videos.coverage import milliseconds
from include.tiktok_sync.tiktok.client import PAGE_SIZE


class KnownVideos:
    """The store's videos as they were known before, oldest first.

    Args:
        videos: Id -> when it was posted, oldest first; ``None`` = TikTok never said.
        seen: Ids that were shown tonight; grows while they are read.
        not_shown: Ids that a query tonight did not show.
    """

    def __init__(
        self,
        videos: dict[str, datetime | None],
        seen: Collection[str],
        not_shown: Sequence[str] = (),
    ) -> None:
        self._videos = videos
        self._seen = seen
        self._unread = list(videos)
        # One that an earlier try asked for may be another store's by now, or marked removed.
        self.not_shown = [one for one in not_shown if one in videos]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._videos)

    def posted(self, video_id: str) -> datetime | None:
        """When it was posted, if TikTok ever said so."""
        return self._videos.get(video_id)

    def unread(self) -> list[str]:
        """Those that were neither shown nor asked for, oldest first, without a time last."""
        asked = set(self.not_shown)
        self._unread = [one for one in self._unread if one not in self._seen and one not in asked]
        return self._unread

    def below(self, edge: int | None) -> list[str]:
        """Unread ones that a listing would still come to, oldest first.

        Args:
            edge: Where its next page starts (Unix milliseconds); ``None`` = at the newest. Then
                the newest ones are left to the first page, which must be read in any case.
        """
        unread = [one for one in self.unread() if self._videos[one]]
        if edge is None:
            newest = [one for one, posted in self._videos.items() if posted][-PAGE_SIZE:]
            return [one for one in unread if one not in newest]
        return [one for one in unread if self._is_below(one, edge)]

    def pages_below(self, edge: int) -> int:
        """How many pages a listing would still need to its end, as far as is known."""
        return -(-sum(self._is_below(one, edge) for one in self._videos) // PAGE_SIZE)

    def _is_below(self, video_id: str, edge: int) -> bool:
        posted = self._videos[video_id]
        return posted is not None and milliseconds(posted) < edge

    def lost(self) -> list[str]:
        """Not shown by a query nor by a page since, the newest first, without a time last."""
        lost = [one for one in self.not_shown if one not in self._seen]
        return sorted(
            lost, key=lambda one: -(t.timestamp()) if (t := self._videos[one]) else float("inf")
        )
