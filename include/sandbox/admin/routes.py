"""What can a person or a test see and change: the `/admin` endpoints (loopback only, no login)."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
import time
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from include.sandbox.admin.business import BUSINESS_ROUTES, LIMIT_ROUTES
from include.sandbox.admin.faults import FAULT_ROUTES
from include.sandbox.admin.webhook import send_webhook
from include.sandbox.admin.wire import (
    api_tokens,
    check_store,
    json_object,
    only,
    path_store,
    refuse,
    routes_of,
    store_by_store,
)
from include.sandbox.admin.world import WORLD_ROUTES, truth_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from include.sandbox.accounts.tokens import Tokens
    from include.sandbox.admin.wire import Handler
    from include.sandbox.business.limits import BusinessLimits
    from include.sandbox.faults.switch import FaultSwitch
    from include.sandbox.state import SandboxState

#: Header of the product's store import.
CSV_HEADER = (
    "store_code",
    "store_name",
    "region",
    "open_id",
    "access_token",
    "access_expires_at",
    "refresh_token",
    "refresh_expires_at",
    "scope",
)

#: Its optional columns, for a grant at the second API.
BUSINESS_CSV_HEADER = (
    "business_open_id",
    "business_access_token",
    "business_access_expires_at",
    "business_refresh_token",
    "business_refresh_expires_at",
    "business_scope",
)

_MAX_SHIFT = 10 * 365 * 86_400


def admin_routes(sandbox: SandboxState, switch: FaultSwitch, limits: BusinessLimits) -> list[Route]:
    """All `/admin` endpoints."""
    table: tuple[tuple[str, str, Handler[SandboxState]], ...] = (
        ("GET", "/health", health),
        ("GET", "/stores", stores),
        ("GET", "/stores.csv", stores_csv),
        ("GET", "/truth", truth),
        ("GET", "/stats", stats),
        ("GET", "/requests", requests),
        ("DELETE", "/requests", clear_requests),
        ("GET", "/settings", settings),
        ("PATCH", "/settings", change_settings),
        ("POST", "/stores/{code}/grant", change_grant),
        ("POST", "/stores/{code}/code", mint_code),
        ("POST", "/stores/{code}/webhook", send_webhook),
        ("GET", "/secrets", secrets),
        *WORLD_ROUTES,
        *BUSINESS_ROUTES,
    )
    return [
        *routes_of(sandbox, table),
        *routes_of(switch, FAULT_ROUTES),
        *routes_of(limits, LIMIT_ROUTES),
    ]


async def health(sandbox: SandboxState, _: Request) -> Response:
    """`{"status": "ok", "stores": n, "profile": name}`."""
    shown = {
        "status": "ok",
        "stores": sandbox.settings.stores,
        "profile": sandbox.settings.profile,
    }
    return JSONResponse(shown)


async def stores(sandbox: SandboxState, _: Request) -> Response:
    """List of `{store_code, store_name, region, open_id, scope, video_count}`."""
    found = ((code, sandbox.world.store_of(code)) for code in sandbox.codes())
    rows = [
        {
            "store_code": code,
            "store_name": store.name,
            "region": store.region,
            "open_id": store.open_id,
            "scope": sandbox.tokens.grant(code).scope,
            "video_count": sandbox.world.video_count(store),
        }
        for code, store in found
    ]
    return JSONResponse(rows)


async def stores_csv(sandbox: SandboxState, request: Request) -> Response:
    """The stores' newest tokens as the product imports them; `?codes=S001,S002` picks some."""
    picked = request.query_params.get("codes")
    codes = picked.split(",") if picked else sandbox.codes()
    has_business = sandbox.settings.business is not None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*CSV_HEADER, *(BUSINESS_CSV_HEADER if has_business else ())))
    for code in codes:
        check_store(sandbox, code)
        store = sandbox.world.store_of(code)
        row = (code, store.name, store.region, *_grant_columns(sandbox, sandbox.tokens, code))
        if has_business:
            row += _grant_columns(sandbox, sandbox.business_tokens, code)
        writer.writerow(row)
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8")


def _grant_columns(sandbox: SandboxState, tokens: Tokens, code: str) -> tuple[str, ...]:
    """Open id, tokens with their ends, scope; all empty for a store without a grant."""
    if not tokens.has(code):
        return ("",) * len(BUSINESS_CSV_HEADER)
    pair = tokens.pair(code)
    return (
        tokens.app.open_id(sandbox.world.store_of(code), sandbox.settings.seed),
        pair.access.value,
        _iso(pair.access.expires_at),
        pair.refresh.value,
        _iso(pair.refresh.expires_at),
        pair.grant.scope,
    )


async def truth(sandbox: SandboxState, request: Request) -> Response:
    """`{store_code: {"user": {…}, "videos": [{…}, …]}}`: what the API would say now.

    All fields but the signed URLs, videos newest first; `?store_code=S001` gives one store.
    """
    return store_by_store(sandbox, request, truth_of)


async def stats(sandbox: SandboxState, _: Request) -> Response:
    """Calls, codes, in-flight gauges and window maxima; see `RequestLog.stats`."""
    return JSONResponse(sandbox.log.stats())


async def requests(sandbox: SandboxState, request: Request) -> Response:
    """The last `?limit=` log entries of an `?endpoint=` and a `?store_code=`, by arrival.

    The header `X-Requests-Dropped` counts entries that no longer fitted in the log.
    """
    query = request.query_params
    limit = query.get("limit")
    if limit is not None and not limit.isdecimal():
        refuse("limit: must be a whole number")
    found = sandbox.log.matching(
        query.get("endpoint"), query.get("store_code"), None if limit is None else int(limit)
    )
    return JSONResponse(found, headers={"X-Requests-Dropped": str(sandbox.log.dropped)})


async def clear_requests(sandbox: SandboxState, _: Request) -> Response:
    """Forgets the log, the counts and the maxima; the rate limit keeps its memory."""
    sandbox.log.clear()
    return Response(status_code=204)


async def settings(sandbox: SandboxState, _: Request) -> Response:
    """The settings in force, without key and secret."""
    return JSONResponse(sandbox.settings.public())


async def change_settings(sandbox: SandboxState, request: Request) -> Response:
    """Changes some settings (see `SandboxSettings.patched`) and gives all of them."""
    sandbox.change(await json_object(request))
    return JSONResponse(sandbox.settings.public())


async def change_grant(sandbox: SandboxState, request: Request) -> Response:
    """Changes a store's grant: `{scope?, access_expires_in?, expire_access?, revoke?}`.

    `?api=business` means the grant at the second API.

    Answers `{store_code, scope, generation, revoked, access_expires_at, refresh_expires_at}`.
    """
    code, tokens = path_store(sandbox, request), api_tokens(sandbox, request)
    body = await json_object(request)
    only(body, {"scope", "access_expires_in", "expire_access", "revoke"})
    scope, seconds = body.get("scope"), body.get("access_expires_in")
    flags = {name: body.get(name, False) for name in ("expire_access", "revoke")}
    for name, value in flags.items():
        if not isinstance(value, bool):
            refuse(f"{name}: must be true or false")
    if scope is not None:
        _check_scope(tokens, scope)
    if seconds is not None:
        _check_shift(seconds)
    if flags["expire_access"]:
        seconds = -1
    if scope is not None:
        tokens.change_scope(code, scope)
    if seconds is not None:
        tokens.move_access_expiry(code, time.time() + seconds)
    if flags["revoke"]:
        tokens.revoke(code)
    pair = tokens.pair(code)
    shown = {
        "store_code": code,
        "scope": pair.grant.scope,
        "generation": pair.grant.generation,
        "revoked": pair.grant.revoked,
        "access_expires_at": _iso(pair.access.expires_at),
        "refresh_expires_at": _iso(pair.refresh.expires_at),
    }
    return JSONResponse(shown)


async def mint_code(sandbox: SandboxState, request: Request) -> Response:
    """An authorization code, decoded, for `{scope?, redirect_uri?}`: `{"code": …}`.

    `?api=business` means one of the second API.
    """
    code, tokens = path_store(sandbox, request), api_tokens(sandbox, request)
    body = await json_object(request)
    only(body, {"scope", "redirect_uri"})
    scope, redirect_uri = body.get("scope", tokens.app.full_scope), body.get("redirect_uri")
    _check_scope(tokens, scope)
    if not isinstance(redirect_uri, (str, type(None))):
        refuse("redirect_uri: must be a string")
    minted = tokens.mint_code(code, scope, redirect_uri, time.time())
    return JSONResponse({"code": minted})


async def secrets(sandbox: SandboxState, _: Request) -> Response:
    """Every token, code and client secret ever issued, by kind, for leak scans."""
    found = sandbox.tokens.secrets()
    for kind, values in sandbox.business_tokens.secrets().items():
        found[kind] += values
    return JSONResponse(found)


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.timezone.utc).isoformat(timespec="seconds")


def _check_scope(tokens: Tokens, scope: object) -> None:
    scopes = tokens.app.scopes
    known = isinstance(scope, str) and scope and set(scope.split(",")) <= set(scopes)
    if not known:
        refuse(f"scope: must be a comma list of {', '.join(scopes)}")


def _check_shift(seconds: object) -> None:
    ok = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not ok or not math.isfinite(seconds) or abs(seconds) > _MAX_SHIFT:  # type: ignore[arg-type]  # ok proves a number
        refuse("access_expires_in: must be seconds")
