"""Which posts does the second API list, and what does it say about each?

Page "Get posts of a TikTok account" (reference: Accounts API, 2.3, 3.3 and 6.3): the public videos
of the Display side, and posts that are shown only in ads or hold photos; those against music
rights are left out for a while. Figures are lifetime totals, paid and organic, one or two days
late; six of them go while a video is quiet for more than seven days, and nothing changes 365 days
after posting.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

from include.sandbox.business import lists
from include.sandbox.world.content import drawn

if TYPE_CHECKING:
    from include.sandbox.business.accounts import Account
    from include.sandbox.state import SandboxState
    from include.sandbox.world.stores import SandboxStore, SandboxVideo

VIDEO = "VIDEO"
PHOTO = "PHOTO"

QUIET_DAYS = 7
FROZEN_DAYS = 365

#: What goes while a video is quiet.
QUIET_FIELDS = frozenset(
    {
        *("reach", "full_video_watched_rate", "total_time_watched", "average_time_watched"),
        *("impression_sources", "audience_countries"),
    }
)
#: What a photo cannot have.
WATCH_FIELDS = frozenset(
    {
        *("video_duration", "full_video_watched_rate", "total_time_watched"),
        *("average_time_watched", "video_view_retention", "engagement_likes"),
    }
)
BUSINESS_FIELDS = frozenset({"favorites", "profile_views"})
REGISTERED_FIELDS = frozenset(
    {
        *("website_clicks", "phone_number_clicks", "lead_submissions", "app_download_clicks"),
        *("email_clicks", "address_clicks"),
    }
)

_EXTRA_DAYS = 45
_MOST_EXTRA = 4
_SPARK_ONE_IN = 10
_AD_DAYS = 30
_HIDDEN_ONE_IN = 25
_HIDDEN_CYCLE, _HIDDEN_DAYS = 28, 5
_BUSY_DAYS = 14
_OLD_ACTIVE_ONE_IN = 15
_DAY = 86_400


@dataclasses.dataclass(frozen=True, slots=True)
class Post:
    """One post.

    Attributes:
        video: What it is like.
        on_profile: Whether the Display side lists it too.
        media_type: `VIDEO` or `PHOTO`.
        is_ad: Whether it is used in an ad; one that is not on the profile is shown in ads only.
    """

    video: SandboxVideo
    on_profile: bool
    media_type: str
    is_ad: bool

    @property
    def created(self) -> dt.date:
        """The UTC day it was posted."""
        return dt.date.fromordinal(self.video.first_day)


def posts_of(sandbox: SandboxState, store: SandboxStore) -> list[Post]:
    """All posts of a store, newest first, hidden ones too."""
    seed = sandbox.settings.seed
    posts = [
        Post(
            video,
            on_profile=True,
            media_type=VIDEO,
            is_ad=not drawn(_SPARK_ONE_IN, seed, video.id, "spark"),
        )
        for video in sandbox.world.listing(store.number).videos
    ]
    posts += _extra(sandbox, store)
    return sorted(posts, key=lambda p: (p.video.create_time, p.video.id), reverse=True)


def is_hidden(sandbox: SandboxState, post: Post) -> bool:
    """Whether a post's music keeps it from being listed today; it comes back."""
    key = (sandbox.settings.seed, post.video.id, "music")
    if drawn(_HIDDEN_ONE_IN, *key):
        return False
    phase = sandbox.settings.today.toordinal() + drawn(_HIDDEN_CYCLE, *key, "phase")
    return phase % _HIDDEN_CYCLE < _HIDDEN_DAYS


def is_quiet(sandbox: SandboxState, post: Post) -> bool:
    """Whether nobody has done anything with a post for more than seven days."""
    today = sandbox.settings.today
    if (today - post.created).days <= _BUSY_DAYS:
        return False
    return all(
        drawn(_OLD_ACTIVE_ONE_IN, post.video.id, today.toordinal() - back)
        for back in range(QUIET_DAYS + 1)
    )


def counted_through(sandbox: SandboxState, post: Post) -> dt.date | None:
    """The day that a post's figures are of, None while it is too young to have any."""
    lag = 1 + drawn(2, post.video.id, "lag")
    day = sandbox.settings.today - dt.timedelta(days=lag)
    if day < post.created:
        return None
    return min(day, post.created + dt.timedelta(days=FROZEN_DAYS))


def post_figures(sandbox: SandboxState, account: Account, post: Post) -> dict[str, Any]:
    """All fields of a post but the signed thumbnail; None for what is not there today."""
    video = post.video
    fields: dict[str, Any] = {
        "item_id": video.id,
        "media_type": post.media_type,
        "is_ad": post.is_ad,
        "share_url": video.fields["share_url"],
        "embed_url": video.fields["embed_link"],
        "caption": video.fields["video_description"],
        "create_time": str(video.create_time),
    }
    day = counted_through(sandbox, post)
    counted = _counted(sandbox, account, post, day or post.created)
    gone: set[str] = set()
    if day is None or not account.analytics:
        gone.update(counted)
    if is_quiet(sandbox, post):
        gone |= QUIET_FIELDS
    if post.media_type == PHOTO:
        gone |= WATCH_FIELDS
    if day is None or not account.has_business(day):
        gone |= BUSINESS_FIELDS
    if account.kind != "registered":
        gone |= REGISTERED_FIELDS
    return fields | {name: None if name in gone else value for name, value in counted.items()}


def _counted(sandbox: SandboxState, account: Account, post: Post, day: dt.date) -> dict[str, Any]:
    """Every figure of a post at the end of a day."""
    video, store = post.video, account.store
    organic = sandbox.world.video(store, video, day)
    age = (day - post.created).days + 1
    paid = post.is_ad * video.pace * 20 * min(age, _AD_DAYS)
    views = organic["view_count"] + paid
    key = (sandbox.settings.seed, video.id)
    duration = int(video.fields["duration"])
    reach = views * (550 + drawn(400, *key, "reach")) // 1_000
    average = round(duration * (30 + drawn(600, *key, "average")) / 1_000, 3)
    week = (*key, day.toordinal() // 7)
    clicks = {name: views // (900 + drawn(900, *key, name)) for name in sorted(REGISTERED_FIELDS)}
    return {
        "video_duration": float(duration),
        "video_views": views,
        "likes": organic["like_count"],
        "comments": organic["comment_count"],
        "shares": organic["share_count"],
        "favorites": organic["like_count"] * drawn(300, *key, "favorites") // 1_000,
        "reach": reach,
        "total_time_watched": round(average * reach * 1.1, 3),
        "average_time_watched": average,
        "full_video_watched_rate": (10 + drawn(4_000, *key, "full")) / 10_000,
        "impression_sources": lists.sources(*week),
        "audience_countries": lists.countries(*week),
        "audience_cities": lists.cities(*week),
        "audience_genders": lists.genders(*week),
        "audience_types": lists.types(*week),
        "video_view_retention": lists.by_second(duration, *week, "retention"),
        "engagement_likes": lists.by_second(duration, *week, "likes"),
        "new_followers": views // (200 + drawn(800, *key, "followers")),
        "profile_views": views // (40 + drawn(200, *key, "profile")),
        **clicks,
    }


def _extra(sandbox: SandboxState, store: SandboxStore) -> list[Post]:
    """Posts that are only in ads, and photos; the reference load has none."""
    settings = sandbox.settings
    if settings.is_reference or not store.video_count:
        return []
    end = int(dt.datetime.combine(sandbox.anchor, dt.time(), dt.timezone.utc).timestamp())
    posts = []
    for index in range(drawn(_MOST_EXTRA, settings.seed, store.code, "extra")):
        at = end - 1 - drawn(_EXTRA_DAYS * _DAY, settings.seed, store.code, "extra", index)
        video = sandbox.world.made(store, "extra", index, at)
        is_photo = not (store.number + index) % 3
        media_type = PHOTO if is_photo else VIDEO
        posts.append(Post(video, on_profile=False, media_type=media_type, is_ad=not is_photo))
    return posts
