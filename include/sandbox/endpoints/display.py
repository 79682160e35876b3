"""What do the Display endpoints answer: user info, video list and video query.

Facts from TikTok's pages "Get user info", "List videos", "Query videos", "Video object" and "API v2
error handling", and from recorded answers (reference: Display API v2). Where TikTok says nothing,
the stricter answer is given, so that a client which works here does not depend on luck.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl

from include.sandbox.endpoints.pipeline import api_route
from include.sandbox.wire.envelopes import DisplayError, SandboxAnswer, display_ok

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.routing import Route

    from include.sandbox.accounts.records import Grant
    from include.sandbox.endpoints.pipeline import Call, FaultPlan
    from include.sandbox.state import SandboxState
    from include.sandbox.world.stores import SandboxStore, SandboxVideo

#: Field of the user object -> scope that opens it.
USER_FIELDS: Mapping[str, str] = {
    "open_id": "user.info.basic",
    "union_id": "user.info.basic",
    "avatar_url": "user.info.basic",
    "avatar_url_100": "user.info.basic",
    "avatar_large_url": "user.info.basic",
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

#: Field of the Video object -> scope that opens it.
VIDEO_FIELDS: Mapping[str, str] = dict.fromkeys(
    (
        "id",
        "create_time",
        "cover_image_url",
        "share_url",
        "video_description",
        "duration",
        "height",
        "width",
        "title",
        "embed_html",
        "embed_link",
        "like_count",
        "comment_count",
        "share_count",
        "view_count",
        "is_aigc",
    ),
    "video.list",
)

AVATAR_SECONDS = 48 * 3_600
COVER_SECONDS = 6 * 3_600
DEFAULT_PAGE = 10
MAX_PAGE = 20
MAX_IDS = 20

_MAX_INT64 = 2**63 - 1
_AVATAR_SIZES = {"avatar_url": "168x168", "avatar_url_100": "100x100"}


def display_routes(sandbox: SandboxState, faults: FaultPlan) -> list[Route]:
    """The three Display endpoints; their paths end in a slash, as documented."""
    return [
        api_route(sandbox, "user_info", "GET", "/v2/user/info/", user_info, faults=faults),
        api_route(sandbox, "video_list", "POST", "/v2/video/list/", video_list, faults=faults),
        api_route(sandbox, "video_query", "POST", "/v2/video/query/", video_query, faults=faults),
    ]


def user_info(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """`data.user` with the requested fields."""
    grant = _authenticate(sandbox, call)
    fields = _authorized_fields(call, grant, USER_FIELDS)
    store = sandbox.world.store_of(grant.store_code)
    user = sandbox.world.user(store, sandbox.settings.today)
    expires = int(call.at) + AVATAR_SECONDS
    for name in fields:
        if name not in user:
            size = _AVATAR_SIZES.get(name, "1080x1080")
            user[name] = _signed(sandbox, f"tos-avt-0068/{store.avatar}~{size}", expires)
    return display_ok({"user": _shuffled(sandbox, user, fields)}, call.log_id)


def video_list(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """One page, newest first, posted strictly before the cursor."""
    grant = _authenticate(sandbox, call)
    _authorized_fields(call, grant, VIDEO_FIELDS)
    body = _json_body(call)
    cursor = _integer(body, "cursor", 0, 0, _MAX_INT64)
    call.entry.cursor = cursor if "cursor" in body else None
    size = call.page_size = _integer(body, "max_count", DEFAULT_PAGE, 1, MAX_PAGE)
    store = sandbox.world.store_of(grant.store_code)
    videos, has_more = sandbox.world.listing(store.number).page(cursor, size)
    call.entry.shown = len(videos)
    data = {
        "videos": video_items(sandbox, call, store, videos),
        "cursor": videos[-1].create_time * 1_000 if videos else 0,
        "has_more": has_more,
    }
    return display_ok(_shuffled(sandbox, data, tuple(data)), call.log_id)


def video_query(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """The store's videos among up to 20 ids; any other id is silently left out."""
    grant = _authenticate(sandbox, call)
    _authorized_fields(call, grant, VIDEO_FIELDS)
    ids = _video_ids(_json_body(call))
    store = sandbox.world.store_of(grant.store_code)
    known = sandbox.world.listing(store.number).by_id
    videos = [known[video_id] for video_id in dict.fromkeys(ids) if video_id in known]
    call.entry.asked, call.entry.shown = len(ids), len(videos)
    data = {
        "videos": video_items(sandbox, call, store, videos),
        "cursor": 0,
        "has_more": False,
    }
    return display_ok(_shuffled(sandbox, data, tuple(data)), call.log_id)


def _authenticate(sandbox: SandboxState, call: Call) -> Grant:
    token = sandbox.tokens.find(call.bearer)
    if token is not None and token.kind != "client":
        call.entry.store_code = token.store_code
        call.entry.token_generation = token.generation
        if not sandbox.tokens.is_alive(token, call.at):
            sandbox.log.count_dead_token()
            token = None
    if token is None or token.kind != "access":
        message = "The access token is invalid or not found in the request."
        _refuse("access_token_invalid", message)
    return sandbox.tokens.grant(token.store_code)


@functools.lru_cache(maxsize=1_024)
def _query_fields(query: bytes) -> tuple[str, ...]:
    """Names in the `fields` parameter, each once; empty if there is none."""
    parameters = dict(reversed(parse_qsl(query.decode("latin-1"), keep_blank_values=True)))
    text = parameters.get("fields", "")
    return tuple(dict.fromkeys(text.split(","))) if text else ()


def _authorized_fields(call: Call, grant: Grant, known: Mapping[str, str]) -> tuple[str, ...]:
    """The requested fields, if all exist and all lie within the grant."""
    fields = _query_fields(call.query)
    if not fields:
        message = "Fields is required, please provide fields in the request"
        _refuse("invalid_params", message)
    unknown = [name for name in fields if name not in known]
    if unknown:
        _refuse("invalid_params", f"Invalid field(s): {', '.join(unknown)}")
    if not grant.scopes.issuperset(known[name] for name in fields):
        message = "The user did not authorize the scope required for completing this request."
        _refuse("scope_not_authorized", message)
    return fields


def _refuse(code: str, message: str) -> NoReturn:
    raise DisplayError(code, message)


def _json_body(call: Call) -> dict[str, Any]:
    if not call.body:
        return {}
    if not call.has_media_type("application/json"):
        _refuse("invalid_params", "The Content-Type of the request body must be application/json")
    try:
        body = json.loads(call.body)
    except (ValueError, RecursionError):
        _refuse("invalid_params", "The request body is not valid JSON")
    if not isinstance(body, dict):
        _refuse("invalid_params", "The request body must be a JSON object")
    return body


def _integer(body: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = body.get(name, default)
    # `type`, because True is an int to isinstance.
    if type(value) is not int or not low <= value <= high:
        _refuse("invalid_params", f"Invalid {name}")
    return value


def _video_ids(body: Mapping[str, Any]) -> list[str]:
    filters = body.get("filters")
    ids = filters.get("video_ids") if isinstance(filters, dict) else None
    if not isinstance(ids, list) or not all(isinstance(value, str) for value in ids):
        _refuse("invalid_params", "filters.video_ids is required and must be a list of strings")
    if not 1 <= len(ids) <= MAX_IDS:
        _refuse("invalid_params", f"filters.video_ids must hold 1 to {MAX_IDS} ids")
    return ids


def video_items(
    sandbox: SandboxState, call: Call, store: SandboxStore, videos: list[SandboxVideo]
) -> list[dict[str, Any]]:
    """Some of a store's videos as Video objects with the fields that a call asks for."""
    fields = _query_fields(call.query)
    day = sandbox.settings.today
    expires = int(call.at) + COVER_SECONDS
    items = []
    for video in videos:
        item = sandbox.world.video(store, video, day)
        if "cover_image_url" in fields:
            path = f"tos-cover-0037/{video.id}~tplv-noop.image"
            item["cover_image_url"] = _signed(sandbox, path, expires)
        items.append(_shuffled(sandbox, item, fields))
    return items


def _signed(sandbox: SandboxState, path: str, expires: int) -> str:
    """A CDN link like TikTok's: it ends (epoch seconds), and its signature differs each time."""
    signature = f"{sandbox.rng.getrandbits(160):040x}"
    return f"https://p16-sign.tiktokcdn.com/{path}?x-expires={expires}&x-signature={signature}%3D"


def _shuffled(
    sandbox: SandboxState, values: Mapping[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    """Some of the values, in an order that differs between calls, as recorded."""
    random = sandbox.rng.random
    return {name: values[name] for name in sorted(names, key=lambda _: random())}
