"""What does a person see who is sent to TikTok to consent: the authorize page and its answers.

Parameters as on TikTok's pages "Login Kit for Web" and "Login Kit for Desktop" (PKCE); reference:
Authorize. A request that names the wrong app or address is never sent back anywhere: it ends here.
"""

from __future__ import annotations

import functools
import hmac
import html
import re
import time
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from include.sandbox.setting_checks import is_loopback
from include.sandbox.settings import AUTHORIZE_PATH
from include.sandbox.world.world import store_code, store_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from include.sandbox.accounts.tokens import Tokens
    from include.sandbox.state import SandboxState

    Then = Callable[[SandboxState, dict[str, str]], Response]

_SCOPE_TEXTS = {
    "user.info.basic": "Read your profile info (avatar, display name)",
    "user.info.profile": "Read access to your additional profile information",
    "user.info.stats": "Read access to your profile engagement statistics",
    "video.list": "Read your public videos on TikTok",
    "user.info.username": "Read your username",
    "user.account.type": "Read your account type",
    "user.insights": "Read your account's analytics",
    "video.insights": "Read your videos' analytics",
}
_CHALLENGE = re.compile(r"[0-9a-f]{64}")
_MAX_URI = 512
_COOKIE = "sandbox_account"
_SHOWN_STORES = 20
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Authorize | sandbox TikTok</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
*{{box-sizing:border-box}}
body{{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:2rem auto;padding:0 1rem}}
label{{display:block;margin:.6rem 0}}
button{{font:inherit;padding:.7rem;width:100%;margin-top:.6rem;border:1px solid #888;
border-radius:4px;background:#fff}}
button[value=allow]{{background:#fe2c55;border-color:#fe2c55;color:#fff}}
.note{{color:#666;font-size:.85rem}}input[name=account]{{font:inherit;width:100%;padding:.4rem}}
</style></head><body><p class="note">The sandbox plays TikTok. Nothing here leaves this machine.</p>
{content}</body></html>"""


class _RefusedError(Exception):
    """The request ends on this page."""


class _SentBackError(Exception):
    """The request goes back with an error.

    Args:
        query: What the address is given.
    """

    def __init__(self, query: dict[str, str]) -> None:
        super().__init__(query)
        self.query = query


def _refuse(reason: str) -> NoReturn:
    raise _RefusedError(reason)


def authorize_routes(sandbox: SandboxState) -> list[Route]:
    """The page and its form."""

    async def show(request: Request) -> Response:
        fields = dict(request.query_params)
        logged_in = request.cookies.get(_COOKIE)
        return _answer(sandbox, fields, functools.partial(_form, logged_in=logged_in))

    async def decide(request: Request) -> Response:
        body = (await request.body()).decode("utf-8", errors="replace")
        pairs = parse_qsl(body, keep_blank_values=True)
        fields = {name: value for name, value in pairs if name != "grant"}
        granted = [value for name, value in pairs if name == "grant"]
        return _answer(sandbox, fields, functools.partial(_decision, granted=granted))

    return [
        Route(AUTHORIZE_PATH, show, methods=["GET"]),
        Route(AUTHORIZE_PATH, decide, methods=["POST"]),
    ]


def _answer(sandbox: SandboxState, fields: dict[str, str], then: Then) -> Response:
    try:
        _check(sandbox, fields)
        return then(sandbox, fields)
    except _SentBackError as error:
        return _back(fields, error.query)
    except _RefusedError as error:
        content = f"<h1>Something went wrong</h1><p>{html.escape(str(error))}</p>"
        return HTMLResponse(_PAGE.format(content=content), 400)


def _check(sandbox: SandboxState, fields: dict[str, str]) -> None:
    """Refuses what TikTok would refuse before asking anybody."""
    tokens = _tokens(sandbox, fields)
    if fields.get("response_type") != "code":
        _refuse("response_type")
    _check_redirect_uri(sandbox, tokens, fields.get("redirect_uri", ""))
    scopes = [scope for scope in fields.get("scope", "").split(",") if scope]
    if not scopes or not set(scopes) <= set(tokens.app.scopes):
        # One scope too many fails the whole request, as observed for both apps.
        if tokens.app.is_business:
            query = {"error": "invalid_scope", "error_type": "scope", **_state(fields)}
            raise _SentBackError(query)
        _refuse("invalid_scope")
    fields["scope"] = ",".join(scopes)
    if "code_challenge" in fields:
        is_hex = _CHALLENGE.fullmatch(fields["code_challenge"])
        if fields.get("code_challenge_method") != "S256" or not is_hex:
            _refuse("code_challenge")


def _tokens(sandbox: SandboxState, fields: dict[str, str]) -> Tokens:
    """The tokens of the app that `client_key` names; the Accounts API app's key is its number."""
    given = fields.get("client_key", "").encode()
    for tokens in (sandbox.tokens, sandbox.business_tokens):
        expected = tokens.app.client(sandbox.settings)[0]
        if expected and hmac.compare_digest(given, expected.encode()):
            return tokens
    _refuse("client_key: We couldn't log in with TikTok.")


def _check_redirect_uri(sandbox: SandboxState, tokens: Tokens, uri: str) -> None:
    """Exactly a registered address; the Accounts API app's ends with a slash and has no port.

    A port and http are let through on loopback, where the sandbox itself is.
    """
    settings, parts = sandbox.settings, urlsplit(uri)
    absolute = parts.scheme in {"http", "https"} and parts.netloc and len(uri) < _MAX_URI
    uris = settings.redirect_uris
    if tokens.app.is_business and settings.business is not None:
        uris = settings.business.redirect_uris
        is_local = is_loopback(parts.hostname or "")
        public = parts.scheme == "https" and ":" not in parts.netloc
        absolute = absolute and uri.endswith("/") and (public or is_local)
    registered = [one.strip() for one in uris.split(",") if one.strip()]
    if not absolute or parts.query or parts.fragment or (registered and uri not in registered):
        _refuse("redirect_uri")


def _state(fields: dict[str, str]) -> dict[str, str]:
    return {"state": fields["state"]} if "state" in fields else {}


def _form(sandbox: SandboxState, fields: dict[str, str], *, logged_in: str | None) -> Response:
    scopes = fields["scope"].split(",")
    tokens = _tokens(sandbox, fields)
    known = logged_in if tokens.app.is_business and _exists(sandbox, logged_in) else None
    if known and fields.get("disable_auto_auth") != "1" and _has_granted(tokens, known, scopes):
        # A person who has granted all of it before is sent back without a question.
        return _consent(tokens, fields, known, fields["scope"])
    hidden = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in fields.items()
        if name not in {"account", "decision"}
    )
    boxes = "".join(
        f'<label><input type="checkbox" name="grant" value="{scope}" checked>'
        f" {_SCOPE_TEXTS[scope]}</label>"
        for scope in scopes
    )
    stores, new = sandbox.settings.stores, sandbox.settings.new_accounts
    numbers = [*range(stores + 1, stores + new + 1), *range(1, min(stores, _SHOWN_STORES) + 1)]
    options = "".join(_option(sandbox, number) for number in numbers)
    account = html.escape(fields.get("account", known or store_code(numbers[0])))
    content = (
        f'<h1>Authorize this app?</h1><form method="post">{hidden}'
        f'<label>You are logged in as <input name="account" value="{account}" list="accounts"'
        f' required></label><datalist id="accounts">{options}</datalist>{boxes}'
        '<button name="decision" value="allow">Continue</button>'
        '<button name="decision" value="deny">Cancel</button></form>'
    )
    return HTMLResponse(_PAGE.format(content=content))


def _option(sandbox: SandboxState, number: int) -> str:
    user = sandbox.world.store(number).profile
    label = html.escape(f"{user['display_name']} (@{user['username']})")
    return f'<option value="{store_code(number)}">{label}</option>'


def _decision(sandbox: SandboxState, fields: dict[str, str], *, granted: list[str]) -> Response:
    state = _state(fields)
    if fields.get("decision") != "allow":
        refusal = {"error": "access_denied", "error_description": "User canceled authorization."}
        return _back(fields, {**refusal, **state})
    account = fields.get("account", "").strip()
    if not _exists(sandbox, account):
        _refuse(f"There is no account {account}.")
    asked = fields["scope"].split(",")
    scope = ",".join(one for one in asked if one in granted)
    if not scope:
        return _back(fields, {"error": "access_denied", **state})
    return _consent(_tokens(sandbox, fields), fields, account, scope)


def _exists(sandbox: SandboxState, account: str | None) -> bool:
    most = sandbox.settings.stores + sandbox.settings.new_accounts
    return account is not None and store_number(account, most) is not None


def _has_granted(tokens: Tokens, account: str, scopes: list[str]) -> bool:
    if not tokens.has(account):
        return False
    grant = tokens.grant(account)
    return not grant.revoked and grant.scopes >= set(scopes)


def _consent(tokens: Tokens, fields: dict[str, str], account: str, scope: str) -> Response:
    code = tokens.mint_code(
        account,
        scope,
        fields["redirect_uri"],
        time.time(),
        code_challenge=fields.get("code_challenge"),
    )
    response = _back(fields, {"code": code, "scopes": scope, **_state(fields)})
    # The browser stays logged in.
    response.set_cookie(_COOKIE, account, path=AUTHORIZE_PATH, httponly=True, samesite="lax")
    return response


def _back(fields: dict[str, str], query: dict[str, str]) -> Response:
    return RedirectResponse(f"{fields['redirect_uri']}?{urlencode(query)}", 302)
