"""What do the second API's token endpoints answer: code, refresh, revoke, token info?

JSON in and out, the app's id and secret in the body (pages "Authentication" and "Get the
information of a token"; reference: Accounts API, 1.3). Every change is committed before the answer.
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any

from include.sandbox.business.envelopes import (
    BAD_CLIENT,
    BAD_CODE,
    BAD_GRANT_TYPE,
    BAD_REFRESH,
    BAD_TOKEN,
    MESSAGES,
    MISSING,
    REFRESH_EXPIRED,
    TOKEN_EXPIRED,
    WRONG_APP,
    business_ok,
    refuse,
)

if TYPE_CHECKING:
    from include.sandbox.accounts.records import Pair, Token
    from include.sandbox.endpoints.pipeline import Call
    from include.sandbox.state import SandboxState
    from include.sandbox.wire.envelopes import SandboxAnswer

TOKEN_PATH = "/open_api/v1.3/tt_user/oauth2/token/"  # noqa: S105 (a path)
REFRESH_PATH = "/open_api/v1.3/tt_user/oauth2/refresh_token/"
REVOKE_PATH = "/open_api/v1.3/tt_user/oauth2/revoke/"
TOKEN_INFO_PATH = "/open_api/v1.3/tt_user/token_info/get/"  # noqa: S105 (a path)


def token(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """Tokens for the code that a consent came back with."""
    body = _body(call, "client_id", "client_secret", "grant_type", "auth_code", "redirect_uri")
    _check_client(sandbox, body)
    if body["grant_type"] != "authorization_code":
        refuse(BAD_GRANT_TYPE)
    code = call.tokens.find_code(body["auth_code"])
    if code is not None:
        call.entry.store_code = code.store_code
    if code is None or code.used or code.expires_at <= call.at:
        refuse(BAD_CODE)
    if code.redirect_uri not in (None, body["redirect_uri"]):
        refuse(MISSING, "Invalid Param(s): redirect_uri")
    return _tokens(sandbox, call, call.tokens.exchange(code, sandbox.settings, call.at))


def refresh(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """A fresh access token, and now and then a new refresh token, whose deadline stays."""
    sandbox.log.count_refresh_call()
    body = _body(call, "client_id", "client_secret", "grant_type", "refresh_token")
    _check_client(sandbox, body)
    if body["grant_type"] != "refresh_token":
        refuse(BAD_GRANT_TYPE)
    found = _use(sandbox, call, body["refresh_token"])
    if found is None:
        assert sandbox.settings.business is not None  # noqa: S101 (its app is known)
        refuse(int(sandbox.settings.business.unknown_refresh_token), MESSAGES[BAD_REFRESH])
    if found.kind != "refresh":
        refuse(BAD_REFRESH)
    if not call.tokens.is_alive(found, call.at):
        refuse(REFRESH_EXPIRED if found.expires_at <= call.at else BAD_REFRESH)
    pair = call.tokens.refresh(found, sandbox.settings, call.at)
    sandbox.log.count_refresh(found.store_code)
    return _tokens(sandbox, call, pair)


def revoke(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """Ends the whole grant that an access token belongs to; `data` is empty."""
    body = _body(call, "client_id", "client_secret", "access_token")
    _check_client(sandbox, body)
    found = _alive(sandbox, call, body["access_token"])
    call.tokens.revoke(found.store_code)
    return business_ok({}, call.log_id)


def token_info(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """What an access token is for; the order of its scopes differs from call to call."""
    body = _body(call, "app_id", "access_token")
    app_id, _ = call.tokens.app.client(sandbox.settings)
    if body["app_id"] != app_id:
        refuse(WRONG_APP)
    found = _alive(sandbox, call, body["access_token"])
    data = {
        "app_id": app_id,
        "creator_id": _open_id(sandbox, call, found.store_code),
        "scope": _shuffled(sandbox, call.tokens.grant(found.store_code).scope),
    }
    return business_ok(data, call.log_id)


def _use(sandbox: SandboxState, call: Call, value: str) -> Token | None:
    """Notes the use of a token that may be dead."""
    found = call.tokens.find(value)
    if found is not None:
        call.entry.store_code = found.store_code
        call.entry.token_generation = found.generation
        if not call.tokens.is_alive(found, call.at):
            sandbox.log.count_dead_token()
    return found


def _alive(sandbox: SandboxState, call: Call, value: str) -> Token:
    found = _use(sandbox, call, value)
    if found is None or found.kind != "access":
        refuse(BAD_TOKEN)
    if not call.tokens.is_alive(found, call.at):
        refuse(TOKEN_EXPIRED if found.expires_at <= call.at else BAD_TOKEN)
    return found


def _tokens(sandbox: SandboxState, call: Call, pair: Pair) -> SandboxAnswer:
    data = {
        "access_token": pair.access.value,
        "expires_in": round(pair.access.expires_at - call.at),
        "open_id": _open_id(sandbox, call, pair.grant.store_code),
        "refresh_token": pair.refresh.value,
        "refresh_token_expires_in": int(pair.refresh.expires_at - call.at),
        "scope": _shuffled(sandbox, pair.grant.scope),
        "token_type": "Bearer",
    }
    return business_ok(data, call.log_id)


def _open_id(sandbox: SandboxState, call: Call, store_code: str) -> str:
    store = sandbox.world.store_of(store_code)
    return call.tokens.app.open_id(store, sandbox.settings.seed)


def _shuffled(sandbox: SandboxState, scope: str) -> str:
    scopes = scope.split(",")
    sandbox.rng.shuffle(scopes)
    return ",".join(scopes)


def _body(call: Call, *names: str) -> dict[str, Any]:
    """The JSON object in the body, with texts in all the named fields."""
    try:
        body = json.loads(call.body) if call.has_media_type("application/json") else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        refuse(MISSING, "Invalid Param(s): the request body must be a JSON object")
    missing = [name for name in names if not isinstance(body.get(name), str) or not body[name]]
    if missing:
        refuse(MISSING, f"Missing required field(s): {', '.join(missing)}")
    return body


def _check_client(sandbox: SandboxState, body: dict[str, Any]) -> None:
    given = f"{body['client_id']}\n{body['client_secret']}"
    expected = "\n".join(sandbox.business_tokens.app.client(sandbox.settings))
    if not hmac.compare_digest(given.encode(), expected.encode()):
        refuse(BAD_CLIENT)
