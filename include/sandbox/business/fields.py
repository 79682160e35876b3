"""Which fields may be asked for, which scope opens each, and how does one look that is not there?

Fields of pages "Get profile data of a TikTok account" and "Get posts of a TikTok account"
(reference: Accounts API, 3).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from include.sandbox.business.envelopes import MISSING, NO_SCOPE, refuse
from include.sandbox.world.content import drawn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from include.sandbox.accounts.records import Grant
    from include.sandbox.business_settings import BusinessSettings

PROFILE_FIELDS: Mapping[str, str] = {
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
AUDIENCE_FIELDS: Mapping[str, str] = dict.fromkeys(
    ("audience_ages", "audience_genders", "audience_countries", "audience_cities"),
    "user.insights",
)

#: `followers_count` is a field of the profile as well: asking for it gives both.
DAILY_FIELDS: Mapping[str, str] = dict.fromkeys(
    (
        *("video_views", "profile_views", "likes", "comments", "shares", "followers_count"),
        *("audience_activity", "unique_video_views", "engaged_audience"),
        *("daily_total_followers", "daily_new_followers", "daily_lost_followers"),
        *("phone_number_clicks", "lead_submissions", "app_download_clicks"),
        *("bio_link_clicks", "email_clicks", "address_clicks"),
    ),
    "user.insights",
)
GET_FIELDS: Mapping[str, str] = {**DAILY_FIELDS, **AUDIENCE_FIELDS, **PROFILE_FIELDS}
GET_DEFAULT = ("display_name", "profile_image")

VIDEO_FIELDS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("item_id", "media_type", "is_ad", "thumbnail_url", "share_url", "embed_url"),
            *("caption", "create_time", "video_duration", "video_views", "likes", "comments"),
            *("shares", "favorites", "reach"),
        ),
        "video.list",
    ),
    **dict.fromkeys(
        (
            *("total_time_watched", "average_time_watched", "full_video_watched_rate"),
            *("impression_sources", "audience_countries", "audience_cities", "audience_genders"),
            *("audience_types", "video_view_retention", "engagement_likes", "new_followers"),
            *("profile_views", "website_clicks", "phone_number_clicks", "lead_submissions"),
            *("app_download_clicks", "email_clicks", "address_clicks"),
        ),
        "video.insights",
    ),
}
VIDEO_DEFAULT = ("item_id",)

LISTS = frozenset(
    {
        *("audience_ages", "audience_genders", "audience_countries", "audience_cities"),
        *("audience_activity", "impression_sources", "audience_types"),
        *("video_view_retention", "engagement_likes"),
    }
)


def asked_fields(
    query: Mapping[str, str], known: Mapping[str, str], default: tuple[str, ...]
) -> tuple[str, ...]:
    """The names in `fields`, a JSON list; unknown ones refuse the call with 40002."""
    if "fields" not in query:
        return default
    names = json_value(query, "fields", list)
    for name in names:
        if not isinstance(name, str) or name not in known:
            refuse(MISSING, f"Invalid Param(s): fields: {name}")
    return tuple(dict.fromkeys(names))


def json_value(query: Mapping[str, str], name: str, kind: type) -> Any:
    """A list or an object in the query: JSON text."""
    try:
        value = json.loads(query[name])
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        refuse(MISSING, f"Invalid Param(s): {name}")
    return value


def allowed_fields(
    names: Iterable[str],
    known: Mapping[str, str],
    grant: Grant,
    settings: BusinessSettings,
    path: str,
) -> tuple[str, ...]:
    """Those fields whose scope was granted; whether one too many refuses all is a setting."""
    names = tuple(names)
    allowed = tuple(name for name in names if known[name] in grant.scopes)
    if settings.missing_scope == "refuse" and len(allowed) < len(names):
        message = (
            f"The access token lacks the required scope for endpoint '{path}'. Please ask the user"
            " to generate a new access token and reauthorize the scope."
        )
        refuse(NO_SCOPE, message)
    return allowed


def without_absent(
    values: Mapping[str, Any], names: Iterable[str], settings: BusinessSettings, key: object
) -> dict[str, Any]:
    """Some of the values; how one looks that is not there is a setting (reference: section 11)."""
    shown: dict[str, Any] = {}
    for name in names:
        value = values[name]
        look = settings.absent_as
        if value is None and look == "mixed":
            look = ("null", "omit", "empty")[drawn(3, key, name)]
        if value is not None or look == "null":
            shown[name] = value
        elif look == "empty":
            shown[name] = [] if name in LISTS else None
    return shown
