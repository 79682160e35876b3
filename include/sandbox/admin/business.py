"""What does a test see of the second API, and change in it? `/admin/business/…`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from include.sandbox.admin.wire import refuse, store_by_store
from include.sandbox.business.accounts import account_of
from include.sandbox.business.days import LOOK_BACK, final_day, shown_day
from include.sandbox.business.posts import (
    counted_through,
    is_hidden,
    is_quiet,
    post_figures,
    posts_of,
)
from include.sandbox.business.reads import CATEGORIES, audience, benchmark_of, profile

if TYPE_CHECKING:
    from starlette.requests import Request

    from include.sandbox.admin.wire import Handler
    from include.sandbox.business.limits import BusinessLimits
    from include.sandbox.state import SandboxState


async def truth(sandbox: SandboxState, request: Request) -> Response:
    """`{store_code: {…}}`: what the second API says now, and what is true; see `truth_of`.

    `?store_code=S001` gives one store.
    """
    if sandbox.settings.business is None:
        refuse("the second API is off; start with SANDBOX_BUSINESS_APP_ID", 404)
    return store_by_store(sandbox, request, truth_of)


async def benchmarks(sandbox: SandboxState, _: Request) -> Response:
    """Category -> its figures today."""
    return JSONResponse({name: benchmark_of(sandbox, name) for name in CATEGORIES})


async def violations(limits: BusinessLimits, _: Request) -> Response:
    """Calls that broke a limit, and the fullest windows; see `BusinessLimits.shown`."""
    return JSONResponse(limits.shown())


async def clear_violations(limits: BusinessLimits, request: Request) -> Response:
    """Forgets violations and maxima; `?lift=1` ends penalties and empties the windows too."""
    limits.clear()
    if request.query_params.get("lift") == "1":
        limits.lift()
    return Response(status_code=204)


BUSINESS_ROUTES: tuple[tuple[str, str, Handler[SandboxState]], ...] = (
    ("GET", "/business/truth", truth),
    ("GET", "/business/benchmarks", benchmarks),
)
LIMIT_ROUTES: tuple[tuple[str, str, Handler[BusinessLimits]], ...] = (
    ("GET", "/business/limits", violations),
    ("DELETE", "/business/limits", clear_violations),
)


def truth_of(sandbox: SandboxState, code: str) -> dict[str, Any]:
    """One store, None for each figure that is not there.

    `account`: kind and first days. `profile` and `audience`: as `/business/get/` gives them.
    `days`: day -> what it says now, of the last 60 days; a day that it does not give is not there.
    `final_days`: day -> what it says once that day is final. `posts`: as `/business/video/list/`
    gives them, with `on_profile`, `quiet`, `hidden` and `counted_through` (a day, or None while it
    is too young). Signed links are left out.
    """
    store = sandbox.world.store_of(code)
    account = account_of(sandbox, store)
    today = sandbox.settings.today
    window = [today - dt.timedelta(days=age) for age in range(LOOK_BACK, 0, -1)]
    shown = {day.isoformat(): shown_day(sandbox, account, day) for day in window}
    final = {day.isoformat(): final_day(sandbox, account, day) for day in window}
    return {
        "business_id": sandbox.business_tokens.app.open_id(store, sandbox.settings.seed),
        "account": account.shown(),
        "profile": profile(sandbox, account),
        "audience": audience(sandbox, account),
        "days": {day: figures for day, figures in shown.items() if figures is not None},
        "final_days": {day: figures for day, figures in final.items() if figures is not None},
        "posts": [
            {
                **post_figures(sandbox, account, post),
                "on_profile": post.on_profile,
                "quiet": is_quiet(sandbox, post),
                "hidden": is_hidden(sandbox, post),
                "counted_through": None
                if (day := counted_through(sandbox, post)) is None
                else day.isoformat(),
            }
            for post in posts_of(sandbox, store)
        ],
    }
