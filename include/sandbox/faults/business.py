"""What goes wrong at the second API: codes in HTTP 200, odd figures, a listing that misleads?

Sources: page "Return codes" and what others met (reference: Accounts API, 2.1, 3.2, 5 and 6). What
breaks on its way breaks as at the Display API; see `http`, `transport` and `oauth`. Only the wire
is odd: `/admin/business/truth` keeps the true figures.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from include.sandbox.business.envelopes import (
    BAD_REFRESH,
    BAD_TOKEN,
    NO_SCOPE,
    TOKEN_EXPIRED,
    TOO_MANY,
    BusinessError,
    answer_of,
)
from include.sandbox.business.fields import AUDIENCE_FIELDS, LISTS
from include.sandbox.business.posts import posts_of
from include.sandbox.business_settings import BUSINESS_READS, BUSINESS_REFRESH
from include.sandbox.faults.fault import Fault

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from include.sandbox.faults.fault import Act, Hit
    from include.sandbox.wire.envelopes import SandboxAnswer

    #: Changes one day or one post of the answer, if it can.
    Change = Callable[[random.Random, dict[str, Any]], bool]

#: TikTok's own trouble: a client should try again.
TROUBLE = (50_000, 50_002, 51_010, 51_065, 60_001)

#: On no page: a client can only go by the first figure.
UNKNOWN = (40_999, 59_999)

_OFFLINE = 41_002
_GET = ("business_get",)
_LISTING = ("business_video_list",)
_ROWS = (*_GET, *_LISTING)
_REFRESH = (BUSINESS_REFRESH,)


def _refused(*numbers: int, message: str | None = None) -> Act:
    """One of some codes."""

    def act(hit: Hit) -> SandboxAnswer:
        return answer_of(BusinessError(hit.rng.choice(numbers), message), hit.call.log_id)

    return act


def _code_as_text(hit: Hit) -> SandboxAnswer:
    answer = hit.answer()
    return dataclasses.replace(answer, body={**answer.body, "code": str(answer.body["code"])})


def _grant_revoked(hit: Hit) -> SandboxAnswer:
    number = BAD_REFRESH if hit.call.endpoint in _REFRESH else BAD_TOKEN
    return answer_of(BusinessError(number), hit.call.log_id)


def _some_rows(change: Change) -> Act:
    """Changes some of the days or posts, at least one."""

    def act(hit: Hit) -> SandboxAnswer | None:
        data = hit.data()
        name = "videos" if hit.call.endpoint in _LISTING else "metrics"
        if data is None or not data.get(name):
            return None
        rows = [dict(row) if isinstance(row, dict) else row for row in data[name]]
        objects = [row for row in rows if isinstance(row, dict)]
        picked = hit.rng.sample(objects, hit.rng.randint(min(1, len(objects)), len(objects)))
        changed = [change(hit.rng, row) for row in picked]
        return hit.with_data(data | {name: rows}) if any(changed) else None

    return act


def _figures(change: Callable[[dict[str, Any], str], object]) -> Change:
    """Changes some of a row's numbers, at least one."""

    def act(rng: random.Random, row: dict[str, Any]) -> bool:
        names = [name for name, value in row.items() if type(value) in (int, float)]
        if not names:
            return False
        for name in rng.sample(names, rng.randint(1, len(names))):
            change(row, name)
        return True

    return act


def _null(row: dict[str, Any], name: str) -> None:
    row[name] = None


def _text(row: dict[str, Any], name: str) -> None:
    row[name] = str(row[name])


def _lists_null(rng: random.Random, row: dict[str, Any]) -> bool:
    names = [name for name in row if name in LISTS and row[name] is not None]
    for name in names:
        row[name] = rng.choice((None, []))
    return bool(names)


def _unreadable(rng: random.Random, row: dict[str, Any]) -> bool:
    names = [name for name in ("item_id", "date", "create_time", "video_views") if name in row]
    if names:
        row[rng.choice(names)] = {"about": 5}
    return bool(names)


def _audience_in_metrics(hit: Hit) -> SandboxAnswer | None:
    data = hit.data()
    lists = {name: data[name] for name in AUDIENCE_FIELDS if name in data} if data else {}
    if data is None or not lists or not data.get("metrics"):
        return None
    rest = {name: value for name, value in data.items() if name not in lists}
    metrics = [*data["metrics"][:-1], data["metrics"][-1] | lists]
    return hit.with_data(rest | {"metrics": metrics})


def _not_object(hit: Hit) -> SandboxAnswer | None:
    data = hit.data()
    if data is None or not data.get("videos"):
        return None
    videos = list(data["videos"])
    videos[hit.rng.randrange(len(videos))] = hit.rng.choice((None, "video", 7, []))
    return hit.with_data(data | {"videos": videos})


def _times(hit: Hit, videos: list[dict[str, Any]]) -> list[int]:
    store = hit.sandbox.world.store_of(str(hit.store_code))
    moments = {post.video.id: post.video.create_time for post in posts_of(hit.sandbox, store)}
    return [moments[video["item_id"]] for video in videos]


def _short_page(hit: Hit) -> SandboxAnswer | None:
    data = hit.data()
    if data is None or hit.call.entry.asked or len(data.get("videos", ())) <= 1:
        return None
    times = _times(hit, data["videos"])
    # A cut between two posts of one second would lose the second one for good.
    cuts = [n for n in range(1, len(times)) if times[n - 1] != times[n]]
    if not cuts:
        return None
    cut = hit.rng.choice(cuts)
    page = {"videos": data["videos"][:cut], "cursor": times[cut - 1] * 1_000, "has_more": True}
    return hit.with_data(data | page)


def _empty_page(hit: Hit) -> SandboxAnswer | None:
    data = hit.data()
    if data is None or hit.call.entry.asked or not data.get("videos"):
        return None
    cursor = _times(hit, data["videos"])[0] * 1_000 + 1
    if cursor == hit.call.entry.cursor:
        return None
    return hit.with_data(data | {"videos": [], "cursor": cursor, "has_more": True})


def _stuck_cursor(hit: Hit) -> SandboxAnswer | None:
    data, sent = hit.data(), hit.call.entry.cursor
    if data is None or not sent or not data.get("has_more"):
        return None
    return hit.with_data(data | {"cursor": sent})


def _reads(text: str, act: Act) -> Fault:
    return Fault(text, BUSINESS_READS, act, replaces=True)


FAULTS: Mapping[str, Fault] = {
    "business_trouble": _reads(
        "business: a code of TikTok's own trouble, 5xxxx or 60001",
        _refused(*TROUBLE, message="Something is wrong"),
    ),
    "business_unknown_code": _reads(
        "business: an undocumented code, 4xxxx or 5xxxx",
        _refused(*UNKNOWN, message="Account under review"),
    ),
    "business_too_many": Fault(
        "business: 40100 out of turn",
        (*BUSINESS_READS, *_REFRESH),
        _refused(TOO_MANY),
        replaces=True,
    ),
    "business_fields_offline": _reads(
        "business: 41002, some fields are offline", _refused(_OFFLINE, message="Field offline")
    ),
    "business_token_rejected": _reads(
        "business: 40105 for a token that is alive", _refused(BAD_TOKEN)
    ),
    "business_token_expired": _reads(
        "business: 40102 for a token that is alive", _refused(TOKEN_EXPIRED)
    ),
    "business_scope_refused": _reads(
        "business: 40001, whatever was granted",
        _refused(NO_SCOPE, message="The access token lacks the required scope."),
    ),
    "business_grant_revoked": Fault(
        "business: the store's grant has ended: 40105 everywhere, refresh: 40107",
        (*BUSINESS_READS, *_REFRESH),
        _grant_revoked,
        replaces=True,
    ),
    "business_refresh_trouble": Fault(
        "business refresh: a code of TikTok's own trouble",
        _REFRESH,
        _refused(*TROUBLE, message="Something is wrong"),
        replaces=True,
    ),
    "business_code_text": Fault(
        'business: `code` is a text, "0"', (*BUSINESS_READS, *_REFRESH), _code_as_text
    ),
    "business_figure_null": Fault(
        "business: some figures of some days or posts are null", _ROWS, _some_rows(_figures(_null))
    ),
    "business_figure_absent": Fault(
        "business: some figures of some days or posts are left out",
        _ROWS,
        _some_rows(_figures(lambda row, name: row.pop(name))),
    ),
    "business_figure_text": Fault(
        'business: some figures of some days or posts are texts, "123"',
        _ROWS,
        _some_rows(_figures(_text)),
    ),
    "business_list_null": Fault(
        "business: the lists of some days or posts are null or empty",
        _ROWS,
        _some_rows(_lists_null),
    ),
    "business_unreadable_row": Fault(
        "business: some days or posts have a field of an impossible type",
        _ROWS,
        _some_rows(_unreadable),
    ),
    "business_item_not_object": Fault("business: one post is not an object", _LISTING, _not_object),
    "business_audience_in_metrics": Fault(
        "business: the audience's lists are in the last day", _GET, _audience_in_metrics
    ),
    "business_short_page": Fault(
        "business: fewer posts than there are, `has_more` true", _LISTING, _short_page
    ),
    "business_empty_page": Fault(
        "business: no posts, `has_more` true, a cursor that leads on", _LISTING, _empty_page
    ),
    "business_stuck_cursor": Fault(
        "business: the cursor that was sent comes back", _LISTING, _stuck_cursor
    ),
}
