"""What do the OAuth endpoints answer: token (three grants) and revoke.

Flat bodies, form encoding only (TikTok pages "Manage user access tokens", "OAuth error handling";
reference: OAuth). Every change is committed before the answer, so an answer that gets lost leaves
the store with a token that the client never saw, as it would at TikTok.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl

from include.sandbox.accounts.tokens import CLIENT_TOKEN_LIFETIME
from include.sandbox.endpoints.pipeline import api_route
from include.sandbox.wire.envelopes import OAuthError, SandboxAnswer

if TYPE_CHECKING:
    from starlette.routing import Route

    from include.sandbox.accounts.records import Code, Pair, Token
    from include.sandbox.endpoints.pipeline import Call, FaultPlan
    from include.sandbox.state import SandboxState

_FORM = "application/x-www-form-urlencoded"
_MALFORMED = ("invalid_request", "The request parameters are malformed.")
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def oauth_routes(sandbox: SandboxState, faults: FaultPlan) -> list[Route]:
    """The two OAuth endpoints."""
    return [
        api_route(sandbox, "oauth_token", "POST", "/v2/oauth/token/", token, faults=faults),
        api_route(sandbox, "oauth_revoke", "POST", "/v2/oauth/revoke/", revoke, faults=faults),
    ]


def token(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """Tokens for a code, a refresh token or the client itself."""
    form = _form(call)
    _check_client(sandbox, form)
    grant_type = _required(form, "grant_type")
    if grant_type == "refresh_token":
        return _refresh(sandbox, call, _required(form, "refresh_token"))
    if grant_type == "authorization_code":
        return _exchange(sandbox, call, form)
    if grant_type != "client_credentials":
        _refuse("unsupported_grant_type", "The grant type is not supported.")
    issued = sandbox.tokens.issue_client_token(call.at)
    body = {
        "access_token": issued.value,
        "expires_in": CLIENT_TOKEN_LIFETIME,
        "token_type": "Bearer",
    }
    return SandboxAnswer(200, "ok", body, dict(_NO_STORE))


def revoke(sandbox: SandboxState, call: Call) -> SandboxAnswer:
    """Ends the whole grant that an access token belongs to; answers `{}`."""
    form = _form(call)
    _check_client(sandbox, form)
    found = sandbox.tokens.find(_required(form, "token"))
    if found is None or not _use(sandbox, call, found, "access"):
        _refuse("invalid_grant", "Access token is invalid or expired.")
    sandbox.tokens.revoke(found.store_code)
    return SandboxAnswer(200, "ok", {}, dict(_NO_STORE))


def _refresh(sandbox: SandboxState, call: Call, value: str) -> SandboxAnswer:
    sandbox.log.count_refresh_call()
    found = sandbox.tokens.find(value)
    if found is None or not _use(sandbox, call, found, "refresh"):
        _refuse("invalid_grant", "Refresh token is invalid or expired.")
    pair = sandbox.tokens.refresh(found, sandbox.settings, call.at)
    sandbox.log.count_refresh(found.store_code)
    return _tokens(sandbox, call, pair)


def _exchange(sandbox: SandboxState, call: Call, form: dict[str, str]) -> SandboxAnswer:
    code = sandbox.tokens.find_code(_required(form, "code"))
    redirect_uri = _required(form, "redirect_uri")
    if code is not None:
        call.entry.store_code = code.store_code
    if code is None or code.used or code.expires_at <= call.at:
        _refuse("invalid_grant", "Authorization code is expired.")
    if code.redirect_uri not in (None, redirect_uri):
        message = "Redirect_uri is not matched with the uri when requesting code."
        _refuse("invalid_request", message)
    _check_verifier(code, form.get("code_verifier", ""))
    return _tokens(sandbox, call, sandbox.tokens.exchange(code, sandbox.settings, call.at))


def _check_verifier(code: Code, verifier: str) -> None:
    """PKCE as TikTok has it: the challenge is hex SHA-256 (page "Login Kit for Desktop")."""
    challenge = hashlib.sha256(verifier.encode()).hexdigest()
    if code.code_challenge is not None and not hmac.compare_digest(challenge, code.code_challenge):
        _refuse("invalid_request", "Code verifier or code challenge is invalid.")


def _refuse(code: str, message: str) -> NoReturn:
    raise OAuthError(code, message)


def _use(sandbox: SandboxState, call: Call, found: Token, kind: str) -> bool:
    """Notes the use of a user's token; whether it is of a kind and alive."""
    if found.kind == "client":
        return False
    call.entry.store_code = found.store_code
    call.entry.token_generation = found.generation
    alive = sandbox.tokens.is_alive(found, call.at)
    if not alive:
        sandbox.log.count_dead_token()
    return alive and found.kind == kind


def _tokens(sandbox: SandboxState, call: Call, pair: Pair) -> SandboxAnswer:
    body = {
        "open_id": sandbox.world.store_of(pair.grant.store_code).open_id,
        "scope": pair.grant.scope,
        "access_token": pair.access.value,
        "expires_in": round(pair.access.expires_at - call.at),
        "refresh_token": pair.refresh.value,
        "refresh_expires_in": int(pair.refresh.expires_at - call.at),
        "token_type": "Bearer",
    }
    return SandboxAnswer(200, "ok", body, dict(_NO_STORE))


def _form(call: Call) -> dict[str, str]:
    """The form fields; a charset suffix on the type is refused too, as others observed."""
    if not call.has_media_type(_FORM, exactly=True):
        _refuse(*_MALFORMED)
    try:
        pairs = parse_qsl(call.body.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        _refuse(*_MALFORMED)
    form = dict(pairs)
    if len(form) != len(pairs) or any(value != value.strip() for value in form.values()):
        _refuse(*_MALFORMED)
    return form


def _required(form: dict[str, str], name: str) -> str:
    value = form.get(name)
    if not value:
        _refuse("invalid_request", "The request is missing a required parameter.")
    return value


def _check_client(sandbox: SandboxState, form: dict[str, str]) -> None:
    settings = sandbox.settings
    given = f"{_required(form, 'client_key')}\n{_required(form, 'client_secret')}"
    expected = f"{settings.client_key}\n{settings.client_secret}"
    if not hmac.compare_digest(given.encode(), expected.encode()):
        _refuse("invalid_client", "Client key or secret is incorrect.")
