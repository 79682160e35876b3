"""What do TikTok's objects contain, and how are they read from an answer?

Sources: developers.tiktok.com "Get User Info", "Video Object" (Aug 2026 edition). Only requested
fields come back, new ones appear over time, counts may be absent: absent is ``None``, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.tiktok.values import (
    read_count,
    read_flag,
    read_id,
    read_items,
    read_text,
    read_time,
    rest_of,
)

USER_FIELD_SCOPES: Mapping[str, str] = {
    "open_id": "user.info.basic",
    "union_id": "user.info.basic",
    "avatar_url": "user.info.basic",
    "display_name": "user.info.basic",
    "bio_description": "user.info.profile",
    "profile_deep_link": "user.info.profile",
    "is_verified": "user.info.profile",
    "username": "user.info.profile",
    "follower_count": "user.info.stats",
    "following_count": "user.info.stats",
    "likes_count": "user.info.stats",
    "video_count": "user.info.stats",
}
"""Field of ``/v2/user/info/`` -> the scope it needs; one field too many fails the whole call."""

BASIC_SCOPE = "user.info.basic"
VIDEO_SCOPE = "video.list"

VIDEO_FIELDS: tuple[str, ...] = (
    "id",
    "create_time",
    "cover_image_url",
    "share_url",
    "video_description",
    "duration",
    "height",
    "width",
    "title",
    "embed_link",
    "like_count",
    "comment_count",
    "share_count",
    "view_count",
)

USER_COUNTERS: tuple[str, ...] = (
    "follower_count",
    "following_count",
    "likes_count",
    "video_count",
)
VIDEO_COUNTERS: tuple[str, ...] = ("view_count", "like_count", "comment_count", "share_count")

KNOWN_SCOPES = frozenset({*USER_FIELD_SCOPES.values(), VIDEO_SCOPE})
"""The scopes this product requests; a store may have more (TikTok adds scopes), which are kept."""

OTHER_SCOPES = frozenset({"video.publish", "video.upload"})
"""What an app that also posts is granted in addition (developers.tiktok.com, "Scopes overview")."""


@dataclass(frozen=True)
class UserProfile:
    """One answer of ``/v2/user/info/``; ``None`` = TikTok left it out.

    ``extra`` holds fields that are not modelled here, as they came.
    """

    open_id: str | None = None
    union_id: str | None = None
    avatar_url: str | None = None
    display_name: str | None = None
    bio_description: str | None = None
    profile_deep_link: str | None = None
    is_verified: bool | None = None
    username: str | None = None
    follower_count: int | None = None
    following_count: int | None = None
    likes_count: int | None = None
    video_count: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_api(cls, user: Mapping[str, Any]) -> UserProfile:
        """Read ``data.user``.

        Raises:
            DataError: A field has a type it cannot have; the message names the field.
        """
        return cls(
            open_id=read_text(user, "open_id"),
            union_id=read_text(user, "union_id"),
            avatar_url=read_text(user, "avatar_url"),
            display_name=read_text(user, "display_name"),
            bio_description=read_text(user, "bio_description"),
            profile_deep_link=read_text(user, "profile_deep_link"),
            is_verified=read_flag(user, "is_verified"),
            username=read_text(user, "username"),
            follower_count=read_count(user, "follower_count"),
            following_count=read_count(user, "following_count"),
            likes_count=read_count(user, "likes_count"),
            video_count=read_count(user, "video_count"),
            extra=rest_of(user, USER_FIELD_SCOPES),
        )


@dataclass(frozen=True)
class Video:
    """One Video object; ``None`` = TikTok left it out. ``duration`` in seconds.

    ``video_id`` is text: 19 digits exceed what a float can hold.
    """

    video_id: str
    create_time: datetime | None = None
    cover_image_url: str | None = None
    share_url: str | None = None
    video_description: str | None = None
    duration: int | None = None
    height: int | None = None
    width: int | None = None
    title: str | None = None
    embed_link: str | None = None
    like_count: int | None = None
    comment_count: int | None = None
    share_count: int | None = None
    view_count: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_api(cls, video: Mapping[str, Any]) -> Video:
        """Read one element of ``data.videos``.

        Raises:
            DataError: No id, or a field of an impossible type; the message names id and field.
        """
        video_id = read_id(video, "id", "A video")
        try:
            return cls(
                video_id=video_id,
                create_time=read_time(video, "create_time"),
                cover_image_url=read_text(video, "cover_image_url"),
                share_url=read_text(video, "share_url"),
                video_description=read_text(video, "video_description"),
                duration=read_count(video, "duration"),
                height=read_count(video, "height"),
                width=read_count(video, "width"),
                title=read_text(video, "title"),
                embed_link=read_text(video, "embed_link"),
                like_count=read_count(video, "like_count"),
                comment_count=read_count(video, "comment_count"),
                share_count=read_count(video, "share_count"),
                view_count=read_count(video, "view_count"),
                extra=rest_of(video, dict.fromkeys(VIDEO_FIELDS)),
            )
        except DataError as error:
            message = f"Video {video_id}: {error.message}"
            raise DataError(message) from error


@dataclass(frozen=True)
class VideoPage:
    """One answer of ``/v2/video/list/``.

    Attributes:
        videos: The readable ones, in the order they came.
        problems: One line for each element that could not be read.
        cursor: Where the next page starts (Unix milliseconds); ``None`` if left out.
        has_more: Whether TikTok says that there is a next page.
        observed_at: When the answer arrived.
    """

    videos: tuple[Video, ...]
    problems: tuple[str, ...]
    cursor: int | None
    has_more: bool
    observed_at: datetime

    @classmethod
    def from_api(cls, data: Mapping[str, Any], observed_at: datetime) -> VideoPage:
        """Read ``data`` of a list answer.

        Raises:
            DataError: ``videos`` or ``has_more`` is missing or of the wrong type: an answer
                like that must fail rather than pass for an empty page.
        """
        items = data.get("videos")
        has_more = data.get("has_more")
        if not isinstance(items, list) or not isinstance(has_more, bool):
            message = "TikTok's page of videos lacks `videos` or `has_more`."
            raise DataError(message)
        videos, problems = parse_videos(items)
        return cls(videos, problems, read_count(data, "cursor"), has_more, observed_at)


@dataclass(frozen=True)
class QueriedVideos:
    """One answer of ``/v2/video/query/``.

    Attributes:
        videos: The readable ones of those that were asked for.
        problems: One line for each element that could not be read.
        observed_at: When the answer arrived.
    """

    videos: tuple[Video, ...]
    problems: tuple[str, ...]
    observed_at: datetime

    @classmethod
    def from_api(cls, data: Mapping[str, Any], observed_at: datetime) -> QueriedVideos:
        """Read ``data`` of a query's answer.

        Raises:
            DataError: ``videos`` is missing or no list: that must not pass for "none is shown".
        """
        items = data.get("videos")
        if not isinstance(items, list):
            message = "TikTok's answer to video/query lacks `videos`."
            raise DataError(message)
        return cls(*parse_videos(items), observed_at)


def figures_missing(item: UserProfile | Video, asked: Iterable[str]) -> int:
    """How many of the counters that were asked for TikTok left out."""
    return sum(getattr(item, name) is None for name in asked)


def parse_videos(items: list[Any]) -> tuple[tuple[Video, ...], tuple[str, ...]]:
    """The readable videos of ``items``, and one line for each unreadable element."""
    return read_items(items, Video.from_api, "videos")
