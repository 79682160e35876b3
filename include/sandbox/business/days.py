"""What happened on an account's day, and what does TikTok say about it by now?

A day comes one or two days late. One in four arrives with figures that are too low, and is put
right within seven days (reference: Accounts API, 3.2 and 6.1). Days are those of UTC.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from include.sandbox.business.accounts import has_audience, has_insights
from include.sandbox.world.content import drawn, seeded

if TYPE_CHECKING:
    from include.sandbox.business.accounts import Account
    from include.sandbox.state import SandboxState

    Figures = dict[str, Any]

#: TikTok keeps the days of the last 60.
LOOK_BACK = 60

#: From this age on a day does not change any more.
FINAL_AFTER = 7

_DAY = dt.timedelta(days=1)
_LATE_ONE_IN = 3
_WRONG_ONE_IN = 4
_TAKEN_BACK_ONE_IN = 30
_HOURS = 24


def final_day(sandbox: SandboxState, account: Account, day: dt.date) -> Figures | None:
    """What really happened on a day: field -> figure, None if TikTok never counted it.

    `followers_count` is the net gain here, and `total_followers` the total at the day's end.
    Figures that the kind of the account does not have are None.
    """
    if not has_insights(sandbox, account) or day < account.since:
        return None
    code, seed = account.store.code, sandbox.settings.seed
    total = _followers(sandbox, account, day)
    net = 0 if account.is_small else total - _followers(sandbox, account, day - _DAY)
    size = 30 + total // 8

    def some(most: int, name: str) -> int:
        return drawn(most + 1, seed, code, day, name)

    views = size + some(size, "views")
    comments = some(views // 50, "comments")
    if not drawn(_TAKEN_BACK_ONE_IN, seed, code, day, "taken back"):
        comments = -1 - some(3, "comments")  # spam that TikTok removed
    figures: Figures = {
        "video_views": views,
        "profile_views": some(views // 10, "profile_views"),
        "likes": some(views // 8, "likes"),
        "comments": comments,
        "shares": some(views // 40, "shares"),
        "followers_count": net,
        "total_followers": total,
    }
    lost = some(3 + size // 100, "lost")
    unique = views - some(views // 3, "unique")
    figures |= _if(
        account.has_business(day),
        {
            "unique_video_views": unique,
            "engaged_audience": some(unique // 6, "engaged"),
            "daily_total_followers": net,
            "daily_new_followers": net + lost,
            "daily_lost_followers": lost,
        },
    )
    clicks = (
        *("phone_number_clicks", "lead_submissions", "app_download_clicks"),
        *("bio_link_clicks", "email_clicks", "address_clicks"),
    )
    figures |= _if(
        account.kind == "registered", {name: some(views // 200, name) for name in clicks}
    )
    if not account.has_business(day) or not has_audience(sandbox, account):
        return figures | {"audience_activity": None}
    rng = seeded(seed, code, day, "hours")
    active = [{"hour": str(hour), "count": rng.randint(0, total // 4)} for hour in range(_HOURS)]
    return figures | {"audience_activity": active}


def shown_day(sandbox: SandboxState, account: Account, day: dt.date) -> Figures | None:
    """What TikTok says about a day by now, None if it says nothing yet."""
    figures = final_day(sandbox, account, day)
    key = (sandbox.settings.seed, account.store.code, day)
    age = (sandbox.settings.today - day).days
    delay = 1 if drawn(_LATE_ONE_IN, *key, "late") else 2
    if figures is None or age < delay or age > LOOK_BACK:
        return None
    if drawn(_WRONG_ONE_IN, *key, "wrong"):
        return figures
    corrected_at = delay + 1 + drawn(FINAL_AFTER - delay, *key, "corrected")
    if age >= corrected_at:
        return figures
    share = 500 + drawn(450, *key, "share")
    return {
        name: value * share // 1_000 if type(value) is int and name != "total_followers" else value
        for name, value in figures.items()
    }


def _followers(sandbox: SandboxState, account: Account, day: dt.date) -> int:
    """Followers at the end of a day, the same as on the Display side."""
    return int(sandbox.world.user(account.store, day)["follower_count"])


def _if(condition: bool, figures: Figures) -> Figures:  # noqa: FBT001 (reads as a sentence)
    return figures if condition else dict.fromkeys(figures)
