"""What do the reading endpoints answer: account, posts and benchmark?

Pages "Get profile data of a TikTok account", "Get posts of a TikTok account" and "Get benchmarks"
(reference: Accounts API, 2.2 to 2.4). Where TikTok says nothing a setting decides.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from include.sandbox.business import lists
from include.sandbox.business.accounts import PERSONAL, account_of, has_audience
from include.sandbox.business.days import LOOK_BACK, shown_day
from include.sandbox.business.envelopes import (
    BAD_TOKEN,
    MISSING,
    NO_TOKEN,
    TOKEN_EXPIRED,
    business_ok,
    refuse,
)
from include.sandbox.business.fields import (
    AUDIENCE_FIELDS,
    DAILY_FIELDS,
    GET_DEFAULT,
    GET_FIELDS,
    PROFILE_FIELDS,
    VIDEO_DEFAULT,
    VIDEO_FIELDS,
    allowed_fields,
    asked_fields,
    json_value,
    without_absent,
)
from include.sandbox.business.posts import is_hidden, post_figures, posts_of
from include.sandbox.setting_checks import SettingsError, parse_day
from include.sandbox.world.content import seeded

if TYPE_CHECKING:
    from include.sandbox.accounts.records import Grant
    from include.sandbox.business.accounts import Account
    from include.sandbox.business_settings import BusinessSettings
    from include.sandbox.endpoints.pipeline import Call
    from include.sandbox.state import SandboxState
    from include.sandbox.wire.envelopes import SandboxAnswer

GET_PATH = "/open_api/v1.3/business/get/"
VIDEO_LIST_PATH = "/open_api/v1.3/business/video/list/"
BENCHMARK_PATH = "/open_api/v1.3/business/benchmark/"

DEFAULT_DAYS = 7
DEFAULT_PAGE = 10
MAX_PAGE = 20

#: How many `video_ids` fit is on no page; a vendor's tool sends 20.
MAX_IDS = 20

_IMAGE_SECONDS = 48 * 3_600
_MAX_INT64 = 2**63 - 1

#: Category -> how TikTok's answer names it.
CATEGORIES = {
    name: name.replace("_", " ").title().replace(" And ", " & ")
    for name in (
        *("ART_AND_CRAFTS", "AUTOMOTIVE_AND_TRANSPORTATION", "BABY", "BEAUTY"),
        *("CLOTHING_AND_ACCESSORIES", "EDUCATION_AND_TRAINING", "ELECTRONICS"),
        *("FINANCE_AND_INVESTING", "FOOD_AND_BEVERAGE", "GAMING", "HEALTH_AND_WELLNESS"),
        *("HOME_FURNITURE_AND_APPLIANCES", "MACHINERY_AND_EQUIPMENT", "MEDIA_AND_ENTERTAINMENT"),
        *("PERSONAL_BLOG", "PETS", "PROFESSIONAL_SERVICES", "PUBLIC_ADMINISTRATION"),
        *("REAL_ESTATE", "RESTAURANTS_AND_BARS", "SHOPPING_AND_RETAIL", "SOFTWARE_AND_APPS"),
        *("SPORTS_FITNESS_AND_OUTDOORS", "TRAVEL_AND_TOURISM", "OTHERS"),
    )
}


def nothing(_: SandboxState, call: Call) -> SandboxAnswer:
    """POST instead of GET: not refused, and empty (seen by one client)."""
    return business_ok({}, call.log_id)


def get(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """Profile, audience and days of an account, as asked for in `fields`."""
    grant, query = _authenticate(sandbox, call)
    settings = _settings(sandbox)
    names = asked_fields(query, GET_FIELDS, GET_DEFAULT)
    start, end = _window(sandbox, query)
    allowed = allowed_fields(names, GET_FIELDS, grant, settings, "/business/get/")
    account = account_of(sandbox, sandbox.world.store_of(grant.store_code))
    key = f"{account.store.code}:{sandbox.settings.today}"
    values = {**profile(sandbox, account), **audience(sandbox, account)}
    if "profile_image" in allowed:
        values["profile_image"] = signed(
            sandbox, f"tos-maliva-avt-0068/{account.store.avatar}~c5_168x168.jpeg", call.at
        )
    shown = [name for name in allowed if name in PROFILE_FIELDS or name in AUDIENCE_FIELDS]
    data = without_absent(values, shown, settings, key)
    daily = [name for name in allowed if name in DAILY_FIELDS]
    if daily and "user.insights" in grant.scopes:
        data["metrics"] = _metrics(sandbox, account, daily, start, end)
    return business_ok(data, call.log_id)


def video_list(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """One page of posts, newest first, posted before the cursor; or the posts asked for by id."""
    grant, query = _authenticate(sandbox, call)
    settings = _settings(sandbox)
    names = asked_fields(query, VIDEO_FIELDS, VIDEO_DEFAULT)
    if "item_id" not in names:
        refuse(MISSING, "Invalid Param(s): fields must contain item_id")
    size = call.page_size = _whole(query, "max_count", DEFAULT_PAGE, 1, MAX_PAGE)
    cursor = _whole(query, "cursor", 0, 0, _MAX_INT64)
    call.entry.cursor = cursor if "cursor" in query else None
    allowed = allowed_fields(names, VIDEO_FIELDS, grant, settings, "/business/video/list/")
    store = sandbox.world.store_of(grant.store_code)
    posts = posts_of(sandbox, store)
    if "filters" in query:
        found = {post.video.id: post for post in posts}
        ids, ads_only = _filters(query)
        page = [found[one] for one in ids if one in found]
        page = [post for post in page if post.is_ad or not ads_only]
        call.entry.asked = len(ids)
        position = {"cursor": 0, "has_more": False}
    else:
        older = [p for p in posts if not cursor or p.video.create_time * 1_000 < cursor]
        page = older[:size]
        # Recorded: the last page has a cursor too.
        last = page[-1].video.create_time * 1_000 if page else 0
        position = {"cursor": last, "has_more": len(older) > size}
    # Posts that are kept back leave gaps: a page may be short, or empty, although more follow.
    page = [post for post in page if not is_hidden(sandbox, post)]
    call.entry.shown = len(page)
    account = account_of(sandbox, store)
    items = []
    for post in page:
        values = post_figures(sandbox, account, post)
        if "thumbnail_url" in allowed:
            path = f"tos-maliva-p-0068/{post.video.id}~tplv-noop.image"
            values["thumbnail_url"] = signed(sandbox, path, call.at)
        key = f"{post.video.id}:{sandbox.settings.today}"
        items.append(without_absent(values, allowed, settings, key))
    return business_ok({"videos": items, **position}, call.log_id)


def benchmark(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """Averages over the Business Accounts of a category."""
    _, query = _authenticate(sandbox, call)
    category = query.get("business_category")
    if category is None:
        refuse(MISSING, "Missing required field(s): business_category")
    if category not in CATEGORIES:
        refuse(MISSING, "Invalid Param(s): business_category")
    return business_ok(benchmark_of(sandbox, category), call.log_id)


def benchmark_of(sandbox: SandboxState, category: str) -> dict[str, Any]:
    """A category's figures on the sandbox's day."""
    rng = seeded(sandbox.settings.seed, category, sandbox.settings.today)
    most = {
        "average_likes": 30_000,
        "average_comments": 900,
        "average_shares": 1_500,
        "average_video_count": 300,
        "average_follower_count": 4_000,
        "average_follower_growth": 60,
        "average_engagement_rate": 0.1,
        "average_video_views": 500_000,
    }
    figures = {name: round(rng.uniform(0.1, 1) * high, 4) for name, high in most.items()}
    return {**figures, "business_category": CATEGORIES[category]}


def profile(sandbox: SandboxState, account: Account) -> dict[str, Any]:
    """The profile's fields but the signed image: the figures of the Display side, now."""
    user = sandbox.world.user(account.store, sandbox.settings.today)
    return {
        "is_business_account": account.kind != PERSONAL,
        "username": user["username"],
        "display_name": user["display_name"],
        "profile_deep_link": user["profile_deep_link"],
        "bio_description": user["bio_description"],
        "is_verified": user["is_verified"],
        "followers_count": user["follower_count"],
        "following_count": user["following_count"],
        "total_likes": user["likes_count"],
        "videos_count": user["video_count"],
    }


def audience(sandbox: SandboxState, account: Account) -> dict[str, Any]:
    """The lists about the audience, None for an account that has none yet."""
    if not has_audience(sandbox, account):
        return dict.fromkeys(AUDIENCE_FIELDS)
    week = sandbox.settings.today.toordinal() // 7
    key = (sandbox.settings.seed, account.store.code, week)
    return {
        "audience_ages": lists.ages(*key),
        "audience_genders": lists.genders(*key),
        "audience_countries": lists.countries(*key),
        "audience_cities": lists.cities(*key),
    }


def signed(sandbox: SandboxState, path: str, now: float) -> str:
    """A link to a picture that ends at `x-expires`."""
    signature = f"{sandbox.rng.getrandbits(160):040x}"
    expires = int(now) + _IMAGE_SECONDS
    host = "https://p16-sign-va.tiktokcdn.com"
    return f"{host}/{path}?x-expires={expires}&x-signature={signature}%3D"


def _metrics(
    sandbox: SandboxState, account: Account, names: list[str], start: dt.date, end: dt.date
) -> list[dict[str, Any]]:
    """The days that are there, ascending; those that are not are left out."""
    settings = _settings(sandbox)
    found = []
    for ordinal in range(start.toordinal(), end.toordinal() + 1):
        day = dt.date.fromordinal(ordinal)
        figures = shown_day(sandbox, account, day)
        if figures is None:
            continue
        if settings.daily_followers == "total":
            figures = figures | {"followers_count": figures["total_followers"]}
        key = f"{account.store.code}:{day}"
        found.append({"date": day.isoformat()} | without_absent(figures, names, settings, key))
    return found


def _settings(sandbox: SandboxState) -> BusinessSettings:
    assert sandbox.settings.business is not None  # noqa: S101 (its routes are served only then)
    return sandbox.settings.business


def _authenticate(sandbox: SandboxState, call: Call) -> tuple[Grant, dict[str, str]]:
    """The grant behind the token, and the query; the token is looked at first."""
    if not call.bearer:
        refuse(NO_TOKEN)
    token = call.tokens.find(call.bearer)
    if token is None or token.kind != "access":
        refuse(BAD_TOKEN)
    call.entry.store_code, call.entry.token_generation = token.store_code, token.generation
    if not call.tokens.is_alive(token, call.at):
        sandbox.log.count_dead_token()
        grant = call.tokens.grant(token.store_code)
        revoked = token.generation <= grant.dead_through
        refuse(BAD_TOKEN if revoked else TOKEN_EXPIRED)
    query = dict(parse_qsl(call.query.decode("latin-1"), keep_blank_values=True))
    business_id = query.get("business_id")
    if not business_id:
        refuse(MISSING, "Missing required field(s): business_id")
    store = sandbox.world.store_of(token.store_code)
    if business_id != call.tokens.app.open_id(store, sandbox.settings.seed):
        refuse(
            int(_settings(sandbox).wrong_business_id),
            "The access token does not belong to this business_id.",
        )
    return call.tokens.grant(token.store_code), query


def _window(sandbox: SandboxState, query: dict[str, str]) -> tuple[dt.date, dt.date]:
    """First and last day asked for; days are those of UTC."""
    today = sandbox.settings.today
    start = _day(query, "start_date", today - dt.timedelta(days=DEFAULT_DAYS))
    end = _day(query, "end_date", today - dt.timedelta(days=1))
    oldest = today - dt.timedelta(days=LOOK_BACK)
    if start > end:
        refuse(MISSING, "Invalid Param(s): start_date is after end_date")
    if start < oldest and _settings(sandbox).look_back == "refuse":
        refuse(MISSING, "Invalid Param(s): start_date: the look-back period is 60 days at most")
    return max(start, oldest), min(end, today)


def _day(query: dict[str, str], name: str, default: dt.date) -> dt.date:
    if name not in query:
        return default
    try:
        return parse_day(name, query[name])
    except SettingsError:
        refuse(MISSING, f"Invalid Param(s): {name}")


def _whole(query: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    if name not in query:
        return default
    text = query[name]
    if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
        refuse(MISSING, f"Invalid Param(s): {name}")
    return int(text)


def _filters(query: dict[str, str]) -> tuple[list[str], bool]:
    """`video_ids` in the order asked, and `ad_post_only`."""
    filters = json_value(query, "filters", dict)
    ids, ads_only = filters.get("video_ids"), filters.get("ad_post_only", False)
    good = isinstance(ids, list) and all(isinstance(one, str) for one in ids)
    if not good or not 1 <= len(ids) <= MAX_IDS or not isinstance(ads_only, bool):
        refuse(MISSING, "Invalid Param(s): filters")
    return ids, ads_only
