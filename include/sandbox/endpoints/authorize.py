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

from include.sandbox.accounts.tokens import SCOPES
from include.sandbox.settings import AUTHORIZE_PATH
from include.sandbox.world.world import store_code, store_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from include.sandbox.state import SandboxState

    Then = Callable[[SandboxState, dict[str, str]], Response]

_SCOPE_TEXTS = {
    "user.info.basic": "Read your profile info (avatar, display name)",
    "user.info.profile": "Read access to your additional profile information",
    "user.info.stats": "Read access to your profile engagement statistics",
    "video.list": "Read your public videos on TikTok",
}
_CHALLENGE = re.compile(r"[0-9a-f]{64}")
_MAX_URI = 512
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


def _refuse(reason: str) -> NoReturn:
    raise _RefusedError(reason)


def authorize_routes(sandbox: SandboxState) -> list[Route]:
    """The page and its form."""

    async def show(request: Request) -> Response:
        return _answer(sandbox, dict(request.query_params), _form)

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
    except _RefusedError as error:
        content = f"<h1>Something went wrong</h1><p>{html.escape(str(error))}</p>"
        return HTMLResponse(_PAGE.format(content=content), 400)


def _check(sandbox: SandboxState, fields: dict[str, str]) -> None:
    """Refuses what TikTok would refuse before asking anybody."""
    expected = sandbox.settings.client_key
    if not hmac.compare_digest(fields.get("client_key", "").encode(), expected.encode()):
        _refuse("client_key: We couldn't log in with TikTok.")
    if fields.get("response_type") != "code":
        _refuse("response_type")
    _check_redirect_uri(sandbox, fields.get("redirect_uri", ""))
    scopes = [scope for scope in fields.get("scope", "").split(",") if scope]
    if not scopes or not set(scopes) <= set(SCOPES):
        # One scope too many fails the whole request, as observed.
        _refuse("invalid_scope")
    fields["scope"] = ",".join(scopes)
    if "code_challenge" in fields:
        is_hex = _CHALLENGE.fullmatch(fields["code_challenge"])
        if fields.get("code_challenge_method") != "S256" or not is_hex:
            _refuse("code_challenge")


def _check_redirect_uri(sandbox: SandboxState, uri: str) -> None:
    parts = urlsplit(uri)
    absolute = parts.scheme in {"http", "https"} and parts.netloc and len(uri) < _MAX_URI
    registered = [one.strip() for one in sandbox.settings.redirect_uris.split(",") if one.strip()]
    if not absolute or parts.query or parts.fragment or (registered and uri not in registered):
        _refuse("redirect_uri")


def _form(sandbox: SandboxState, fields: dict[str, str]) -> Response:
    scopes = fields["scope"].split(",")
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
    account = html.escape(fields.get("account", store_code(numbers[0])))
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
    state = {"state": fields["state"]} if "state" in fields else {}
    if fields.get("decision") != "allow":
        refusal = {"error": "access_denied", "error_description": "User canceled authorization."}
        return _back(fields, {**refusal, **state})
    most = sandbox.settings.stores + sandbox.settings.new_accounts
    account = fields.get("account", "").strip()
    if store_number(account, most) is None:
        _refuse(f"There is no account {account}.")
    asked = fields["scope"].split(",")
    scope = ",".join(one for one in asked if one in granted)
    if not scope:
        return _back(fields, {"error": "access_denied", **state})
    code = sandbox.tokens.mint_code(
        account,
        scope,
        fields["redirect_uri"],
        time.time(),
        code_challenge=fields.get("code_challenge"),
    )
    return _back(fields, {"code": code, "scopes": scope, **state})


def _back(fields: dict[str, str], query: dict[str, str]) -> Response:
    return RedirectResponse(f"{fields['redirect_uri']}?{urlencode(query)}", 302)
