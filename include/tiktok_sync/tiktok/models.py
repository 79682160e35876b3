"""What do TikTok's objects contain, and how are they read from an answer?

Sources: developers.tiktok.com "Get User Info", "Video Object" (Aug 2026 edition). Only requested
fields come back, new ones appear over time, counts may be absent: absent is ``None``, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from include.tiktok_sync.errors import DataError

UTC = timezone.utc

_MAX_COUNT = 2**63 - 1  # Postgres' bigint

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
            open_id=_text(user, "open_id"),
            union_id=_text(user, "union_id"),
            avatar_url=_text(user, "avatar_url"),
            display_name=_text(user, "display_name"),
            bio_description=_text(user, "bio_description"),
            profile_deep_link=_text(user, "profile_deep_link"),
            is_verified=_flag(user, "is_verified"),
            username=_text(user, "username"),
            follower_count=_count(user, "follower_count"),
            following_count=_count(user, "following_count"),
            likes_count=_count(user, "likes_count"),
            video_count=_count(user, "video_count"),
            extra=_rest(user, USER_FIELD_SCOPES),
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
        video_id = video.get("id")
        if isinstance(video_id, int) and not isinstance(video_id, bool):
            video_id = str(video_id)
        if not isinstance(video_id, str) or not video_id:
            message = f"A video came without an id (keys: {', '.join(sorted(video))})."
            raise DataError(message)
        try:
            return cls(
                video_id=clean_text(video_id),
                create_time=_time(video, "create_time"),
                cover_image_url=_text(video, "cover_image_url"),
                share_url=_text(video, "share_url"),
                video_description=_text(video, "video_description"),
                duration=_count(video, "duration"),
                height=_count(video, "height"),
                width=_count(video, "width"),
                title=_text(video, "title"),
                embed_link=_text(video, "embed_link"),
                like_count=_count(video, "like_count"),
                comment_count=_count(video, "comment_count"),
                share_count=_count(video, "share_count"),
                view_count=_count(video, "view_count"),
                extra=_rest(video, dict.fromkeys(VIDEO_FIELDS)),
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
        return cls(videos, problems, _count(data, "cursor"), has_more, observed_at)


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
    videos: list[Video] = []
    problems: list[str] = []
    for item in items:
        try:
            if not isinstance(item, dict):
                message = f"An element of `videos` is a {type(item).__name__}, not an object."
                raise DataError(message)  # noqa: TRY301 - one place names every unreadable element
            videos.append(Video.from_api(item))
        except DataError as error:
            problems.append(error.message)
    return tuple(videos), tuple(problems)


def clean_text(text: str) -> str:
    """A text from TikTok, cleaned so that the database accepts it."""
    # Postgres text and jsonb refuse NUL; JSON can also smuggle in half a surrogate pair.
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _wrong(name: str, value: object, wanted: str) -> DataError:
    # Anything but a number could name the account, or a video, in a log and in the run's summary.
    shown = f" {value!r:.60}" if isinstance(value, int | float) else ""
    return DataError(f"`{name}` should be {wanted} and is {type(value).__name__}{shown}.")


def _text(source: Mapping[str, Any], name: str) -> str | None:
    value = source.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        # Without the value: see _wrong.
        message = f"`{name}` should be text and is {type(value).__name__}."
        raise DataError(message)
    return clean_text(value)


def _flag(source: Mapping[str, Any], name: str) -> bool | None:
    value = source.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise _wrong(name, value, "true or false")


def _count(source: Mapping[str, Any], name: str) -> int | None:
    value = source.get(name)
    if value is None:
        return None
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str):
        with suppress(ValueError):
            number = int(value)
    if number is None or abs(number) > _MAX_COUNT:
        raise _wrong(name, value, "a whole number that fits 64 bits")
    return number


def _time(source: Mapping[str, Any], name: str) -> datetime | None:
    seconds = _count(source, name)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise _wrong(name, seconds, "Unix seconds") from error


def _rest(source: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {
        clean_text(key): _clean_json(value) for key, value in source.items() if key not in known
    }


def _clean_json(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 is JSON and no jsonb
        return None
    if isinstance(value, list):
        return [_clean_json(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(str(key)): _clean_json(item) for key, item in value.items()}
    return value
