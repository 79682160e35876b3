"""What do the objects of the Accounts API contain, and how are they read?

Sources: business-api.tiktok.com, "Get profile data of a TikTok account" (1762228399168514) and "Get
posts of a TikTok account" (1762228421622786). Any figure may be absent: a personal account, fewer
than 100 followers, a post that was quiet for 7 days or is younger than 2. Absent and ``null`` are
``None``, never 0, and so is an empty list. Paid and organic views are mixed, so none of these
figures is the Display API's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from include.tiktok_sync.errors import DataError, SyncError
from include.tiktok_sync.tiktok.values import (
    read_count,
    read_flag,
    read_id,
    read_items,
    read_list,
    read_number,
    read_text,
    read_time,
)

PROFILE_SCOPES: Mapping[str, str] = {
    "is_business_account": "user.account.type",
    "username": "user.info.username",
    "display_name": "user.info.basic",
    "profile_image": "user.info.basic",
    "profile_deep_link": "user.info.profile",
    "bio_description": "user.info.profile",
    "is_verified": "user.info.profile",
    "followers_count": "user.info.stats",
    "following_count": "user.info.stats",
    "total_likes": "user.info.stats",
    "videos_count": "user.info.stats",
}
"""Field of the profile -> the scope it needs."""

STATS = ("followers_count", "following_count", "total_likes", "videos_count")
"""Those of them that are counters."""

AUDIENCE_LISTS = ("audience_ages", "audience_genders", "audience_countries", "audience_cities")
"""Shares of the followers, for accounts with at least 100 of them; scope ``user.insights``."""

DAY_FIGURES = (
    "video_views",
    "profile_views",
    "likes",
    "comments",
    "shares",
    "followers_count",
    "unique_video_views",
    "engaged_audience",
    "daily_total_followers",
    "daily_new_followers",
    "daily_lost_followers",
    "phone_number_clicks",
    "lead_submissions",
    "app_download_clicks",
    "bio_link_clicks",
    "email_clicks",
    "address_clicks",
)
"""Counters of a UTC day; scope ``user.insights``. The last 12 need a Business account.

``followers_count`` is asked for once and comes twice: in the profile, and in each day."""

ACTIVITY = "audience_activity"
"""Followers active by hour of the UTC day."""

INSIGHTS_SCOPE = "user.insights"
POSTS_SCOPE = "video.list"
POST_INSIGHTS_SCOPE = "video.insights"

ACCOUNT_SCOPES: Mapping[str, str] = {
    **PROFILE_SCOPES,
    **dict.fromkeys((*AUDIENCE_LISTS, ACTIVITY, *DAY_FIGURES), INSIGHTS_SCOPE),
    "followers_count": "user.info.stats",
}
"""Field of ``/business/get/`` -> the scope it needs."""

POST_COUNTERS = ("video_views", "likes", "comments", "shares", "favorites", "reach")
"""Lifetime totals of a post; scope ``video.list``."""

POST_INSIGHT_COUNTERS = (
    "new_followers",
    "profile_views",
    "website_clicks",
    "phone_number_clicks",
    "lead_submissions",
    "app_download_clicks",
    "email_clicks",
    "address_clicks",
)
POST_INSIGHT_NUMBERS = ("total_time_watched", "average_time_watched", "full_video_watched_rate")
"""Seconds, seconds, and a share from 0 to 1."""

POST_LISTS = (
    "impression_sources",
    "audience_countries",
    "audience_cities",
    "audience_genders",
    "audience_types",
    "video_view_retention",
    "engagement_likes",
)

_POST_FIELDS = (
    "item_id",
    "create_time",
    "media_type",
    "is_ad",
    "caption",
    "share_url",
    "video_duration",
    *POST_COUNTERS,
)

POST_SCOPES: Mapping[str, str] = {
    **dict.fromkeys(_POST_FIELDS, POSTS_SCOPE),
    **dict.fromkeys(
        (*POST_INSIGHT_COUNTERS, *POST_INSIGHT_NUMBERS, *POST_LISTS), POST_INSIGHTS_SCOPE
    ),
}
"""Field of ``/business/video/list/`` -> the scope it needs."""

BUSINESS_SCOPES = frozenset({*ACCOUNT_SCOPES.values(), *POST_SCOPES.values()})
"""The eight scopes that this product requests."""

OTHER_BUSINESS_SCOPES = frozenset(
    {
        "comment.list",
        "comment.list.manage",
        "video.upload",
        "video.publish",
        "biz.spark.auth",
        "biz.brand.insights",
        "biz.ads.recommend",
        "biz.creator.info",
        "biz.creator.insights",
        "tcm.order.update",
        "message.list.read",
        "message.list.send",
        "message.list.manage",
    }
)
"""What an app that also posts, answers or advertises is granted in addition."""


@dataclass(frozen=True)
class SkippedFields:
    """Fields that TikTok refuses for this store, and that are no longer asked for in this run.

    Attributes:
        group: ``profile``, ``stats``, ``insights`` or ``video insights``.
        error: What TikTok said.
    """

    group: str
    error: SyncError


@dataclass(frozen=True)
class AccountDay:
    """The figures of one UTC day.

    Attributes:
        metric_date: The day.
        figures: Every name of ``DAY_FIGURES``; ``None`` = absent. Negative values stay.
        audience_activity: Followers by hour, as it came; ``None`` = absent.
    """

    metric_date: date
    figures: Mapping[str, int | None]
    audience_activity: list[Any] | None

    @classmethod
    def from_api(cls, day: Mapping[str, Any]) -> AccountDay:
        """Read one element of ``data.metrics``.

        Raises:
            DataError: No day, or a field of an impossible type; the message names day and field.
        """
        text = read_text(day, "date")
        try:
            metric_date = date.fromisoformat(text or "")
        except ValueError:
            message = "A day of `metrics` came without a readable date."
            raise DataError(message) from None
        try:
            figures = {name: read_count(day, name) for name in DAY_FIGURES}
            return cls(metric_date, figures, read_list(day, ACTIVITY))
        except DataError as error:
            message = f"Day {metric_date}: {error.message}"
            raise DataError(message) from error


@dataclass(frozen=True)
class AccountInsights:
    """One answer of ``/business/get/``; ``None`` = TikTok left it out.

    Attributes:
        username: And what follows: the profile now.
        audience: List of ``AUDIENCE_LISTS`` -> as it came; without those that were left out.
        days: In the order of their dates. A day that TikTok left out is not there; none is if it
            refused the insights.
        problems: One line for each day that could not be read.
        skipped: Fields that TikTok refused.
        observed_at: When the answer arrived.
        log_id: Of the answer.
    """

    observed_at: datetime
    username: str | None = None
    display_name: str | None = None
    profile_image: str | None = None
    profile_deep_link: str | None = None
    bio_description: str | None = None
    is_business_account: bool | None = None
    is_verified: bool | None = None
    followers_count: int | None = None
    following_count: int | None = None
    total_likes: int | None = None
    videos_count: int | None = None
    audience: Mapping[str, list[Any]] = field(default_factory=dict)
    days: tuple[AccountDay, ...] = ()
    problems: tuple[str, ...] = ()
    skipped: tuple[SkippedFields, ...] = ()
    log_id: str | None = None

    @classmethod
    def from_api(
        cls, data: Mapping[str, Any], observed_at: datetime, log_id: str | None = None
    ) -> AccountInsights:
        """Read ``data``.

        Raises:
            DataError: A field has a type it cannot have; the message names the field.
        """
        metrics = data.get("metrics")
        if metrics is not None and not isinstance(metrics, list):
            message = f"`metrics` should be a list and is {type(metrics).__name__}."
            raise DataError(message)
        days, problems = _days(metrics or [])
        audience = _lists(data, AUDIENCE_LISTS)
        for day in metrics or []:
            # Seen inside of the days too; the newest day counts.
            if isinstance(day, dict):
                audience |= {
                    name: found
                    for name, found in _lists(day, AUDIENCE_LISTS).items()
                    if not data.get(name)
                }
        return cls(
            observed_at=observed_at,
            username=read_text(data, "username"),
            display_name=read_text(data, "display_name"),
            profile_image=read_text(data, "profile_image"),
            profile_deep_link=read_text(data, "profile_deep_link"),
            bio_description=read_text(data, "bio_description"),
            is_business_account=read_flag(data, "is_business_account"),
            is_verified=read_flag(data, "is_verified"),
            followers_count=read_count(data, "followers_count"),
            following_count=read_count(data, "following_count"),
            total_likes=read_count(data, "total_likes"),
            videos_count=read_count(data, "videos_count"),
            audience=audience,
            days=days,
            problems=problems,
            log_id=log_id,
        )


@dataclass(frozen=True)
class VideoInsights:
    """One post; ``None`` = TikTok left it out.

    Attributes:
        video_id: As the Display API's id of the same video.
        create_time: When it was posted.
        media_type: ``VIDEO`` or ``PHOTO`` (photo or text).
        is_ad: Used in an advertisement.
        caption: Its text.
        share_url: Its link.
        duration: Seconds.
        figures: Every counter and number by TikTok's name; ``None`` = absent.
        lists: As they came; without those that were left out.
    """

    video_id: str
    create_time: datetime | None
    media_type: str | None
    is_ad: bool | None
    caption: str | None
    share_url: str | None
    duration: float | None
    figures: Mapping[str, int | float | None]
    lists: Mapping[str, list[Any]]

    @classmethod
    def from_api(cls, post: Mapping[str, Any]) -> VideoInsights:
        """Read one element of ``data.videos``.

        Raises:
            DataError: No id, or a field of an impossible type; the message names id and field.
        """
        video_id = read_id(post, "item_id", "A post")
        counters = (*POST_COUNTERS, *POST_INSIGHT_COUNTERS)
        try:
            return cls(
                video_id=video_id,
                create_time=read_time(post, "create_time"),
                media_type=read_text(post, "media_type"),
                is_ad=read_flag(post, "is_ad"),
                caption=read_text(post, "caption"),
                share_url=read_text(post, "share_url"),
                duration=read_number(post, "video_duration"),
                figures={
                    **{name: read_count(post, name) for name in counters},
                    **{name: read_number(post, name) for name in POST_INSIGHT_NUMBERS},
                },
                lists=_lists(post, POST_LISTS),
            )
        except DataError as error:
            message = f"Post {video_id}: {error.message}"
            raise DataError(message) from error


@dataclass(frozen=True)
class InsightPage:
    """One answer of ``/business/video/list/``.

    Attributes:
        videos: The readable ones, in the order they came: newest first.
        problems: One line for each element that could not be read.
        cursor: Where the next page starts (Unix milliseconds); ``None`` if left out. It may be
            there on the last page too.
        has_more: Whether TikTok says that there is a next page; also after an empty one.
        observed_at: When the answer arrived.
        skipped: Fields that TikTok refused.
        log_id: Of the answer.
    """

    videos: tuple[VideoInsights, ...]
    problems: tuple[str, ...]
    cursor: int | None
    has_more: bool
    observed_at: datetime
    skipped: tuple[SkippedFields, ...] = ()
    log_id: str | None = None

    @classmethod
    def from_api(
        cls, data: Mapping[str, Any], observed_at: datetime, log_id: str | None = None
    ) -> InsightPage:
        """Read ``data``.

        Raises:
            DataError: ``videos`` or ``has_more`` is missing or of the wrong type: an answer like
                that must fail rather than pass for an empty page.
        """
        items, has_more = data.get("videos"), data.get("has_more")
        if not isinstance(items, list) or not isinstance(has_more, bool):
            message = "TikTok's page of posts lacks `videos` or `has_more`."
            raise DataError(message)
        videos, problems = read_items(items, VideoInsights.from_api, "videos")
        cursor = read_count(data, "cursor")
        return cls(videos, problems, cursor, has_more, observed_at, log_id=log_id)


BENCHMARK_FIGURES = (
    "average_likes",
    "average_comments",
    "average_shares",
    "average_video_count",
    "average_follower_count",
    "average_follower_growth",
    "average_engagement_rate",
    "average_video_views",
)

BENCHMARK_CATEGORIES = frozenset(
    [
        "ART_AND_CRAFTS",
        "AUTOMOTIVE_AND_TRANSPORTATION",
        "BABY",
        "BEAUTY",
        "CLOTHING_AND_ACCESSORIES",
        "EDUCATION_AND_TRAINING",
        "ELECTRONICS",
        "FINANCE_AND_INVESTING",
        "FOOD_AND_BEVERAGE",
        "GAMING",
        "HEALTH_AND_WELLNESS",
        "HOME_FURNITURE_AND_APPLIANCES",
        "MACHINERY_AND_EQUIPMENT",
        "MEDIA_AND_ENTERTAINMENT",
        "PERSONAL_BLOG",
        "PETS",
        "PROFESSIONAL_SERVICES",
        "PUBLIC_ADMINISTRATION",
        "REAL_ESTATE",
        "RESTAURANTS_AND_BARS",
        "SHOPPING_AND_RETAIL",
        "SOFTWARE_AND_APPS",
        "SPORTS_FITNESS_AND_OUTDOORS",
        "TRAVEL_AND_TOURISM",
        "OTHERS",
    ]
)
"""``business_category`` of ``/business/benchmark/`` (1822388944791617)."""


@dataclass(frozen=True)
class Benchmark:
    """One answer of ``/business/benchmark/``: averages over the Business accounts of a category.

    Attributes:
        category: As it was asked for.
        figures: Every name of ``BENCHMARK_FIGURES``; ``None`` = absent.
        observed_at: When the answer arrived.
        log_id: Of the answer.
    """

    category: str
    figures: Mapping[str, float | None]
    observed_at: datetime
    log_id: str | None = None


def read_benchmark(
    category: str, data: Mapping[str, Any], observed_at: datetime, log_id: str | None
) -> Benchmark:
    """Read ``data`` of a benchmark.

    Raises:
        DataError: A figure has an impossible type, or none came.
    """
    figures = {name: read_number(data, name) for name in BENCHMARK_FIGURES}
    if all(figure is None for figure in figures.values()):
        message = f"TikTok's benchmark of {category} has no figures."
        raise DataError(message)
    return Benchmark(category, figures, observed_at, log_id)


def _days(items: list[Any]) -> tuple[tuple[AccountDay, ...], tuple[str, ...]]:
    """The readable days by date, each once, and one line for each other element."""
    found, problems = read_items(items, AccountDay.from_api, "metrics")
    days: dict[date, AccountDay] = {}
    twice = [
        f"Day {day.metric_date} came twice, with different figures."
        for day in found
        if days.setdefault(day.metric_date, day) != day
    ]
    return tuple(days[day] for day in sorted(days)), (*problems, *twice)


def _lists(source: Mapping[str, Any], names: Iterable[str]) -> dict[str, list[Any]]:
    found = {name: read_list(source, name) for name in names}
    return {name: values for name, values in found.items() if values is not None}
