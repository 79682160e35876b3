"""What is a store, a video and a listing?"""

from __future__ import annotations

import bisect
import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class SandboxStore:
    """What is fixed about one store; figures of a day come from `World.user`.

    Attributes:
        number: 1-based.
        code: `S` and at least three digits.
        name: Name that the retailer uses, any script.
        region: ISO 3166 country code.
        profile: Fixed user fields of the Display API, field -> value.
        avatar: Path of the picture on the CDN.
        followers: (count on `FIRST_DAY`, gain a day).
        likes: The same for `likes_count`; beyond 2^31 for one store in 40.
    """

    number: int
    code: str
    name: str
    region: str
    profile: dict[str, Any]
    avatar: str
    followers: tuple[int, int]
    likes: tuple[int, int]

    @property
    def open_id(self) -> str:
        """36 characters of A-Za-z0-9_-; one store in nine has a leading hyphen."""
        return str(self.profile["open_id"])

    @property
    def video_count(self) -> int:
        """Number of videos that the seed gave it; `World.video_count` is today's."""
        return int(self.profile["video_count"])


@dataclasses.dataclass(frozen=True, slots=True)
class SandboxVideo:
    """What is fixed about one video; figures of a day come from `World.video`.

    Attributes:
        fields: Fixed fields of the Video object, field -> value.
        first_day: Ordinal of the day it was posted.
        base: Views from the start; beyond 2^31 for a few videos.
        reach: Views it approaches over the years.
        pace: Views a day that never stop.
        per_mille: Likes, comments and shares per thousand views.
    """

    fields: dict[str, Any]
    first_day: int
    base: int
    reach: int
    pace: int
    per_mille: tuple[int, int, int]

    @property
    def id(self) -> str:
        """19 digits; the upper half is about `create_time` (reference: "id contains time")."""
        return str(self.fields["id"])

    @property
    def create_time(self) -> int:
        """UTC seconds."""
        return int(self.fields["create_time"])


class Listing:
    """One store's videos, newest first, with a look-up by time and by id."""

    def __init__(self, videos: list[SandboxVideo]) -> None:
        self.videos = videos
        self.by_id = {video.id: video for video in videos}
        self._ages = [-video.create_time for video in videos]

    def page(self, before_ms: int, size: int) -> tuple[list[SandboxVideo], bool]:
        """Up to `size` videos posted strictly before a time, and whether older ones follow.

        Args:
            before_ms: UTC milliseconds, 0 for the newest page.
            size: Most videos to give.
        """
        start = self.start(before_ms)
        return self.videos[start : start + size], start + size < len(self.videos)

    def start(self, before_ms: int) -> int:
        """Index of the newest video posted strictly before a time (UTC ms, 0: of all)."""
        # For whole seconds, -t > -before/1000 is the same as -t > floor(-before/1000).
        return bisect.bisect_right(self._ages, -before_ms // 1000) if before_ms else 0
