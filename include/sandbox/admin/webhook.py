"""How does the sandbox tell an app that a user has disconnected it? A signed webhook, on demand.

Body and signature as on TikTok's pages "Webhook events" and "Check the signature".
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from starlette.responses import JSONResponse, Response

from include.sandbox.admin.wire import api_tokens, json_object, only, path_store, refuse, whole

if TYPE_CHECKING:
    from starlette.requests import Request

    from include.sandbox.state import SandboxState

REMOVED = "authorization.removed"

_REASON_USER = 1
_MOST_REASON = 5
_SECONDS = 30
_FAR_FUTURE = 2**40


async def send_webhook(sandbox: SandboxState, request: Request) -> Response:
    """Ends a store's grant and tells `{url, event?, reason?, create_time?}`: `{"status": …}`.

    `reason` 0 … 5 (1 = the user disconnected the app), `create_time` in epoch seconds. Any other
    `event` leaves the grant alone. The answer is the app's HTTP status. `?api=business` sends what
    the second API sends: the same, signed with its own secret (reference: Accounts API, 2.6).
    """
    code, tokens = path_store(sandbox, request), api_tokens(sandbox, request)
    client_key, client_secret = tokens.app.client(sandbox.settings)
    body = await json_object(request)
    only(body, ("url", "event", "reason", "create_time"))
    url, event = body.get("url"), body.get("event", REMOVED)
    if not isinstance(url, str) or urlsplit(url).hostname not in {"127.0.0.1", "localhost"}:
        refuse("url: must be an address on 127.0.0.1")
    if not isinstance(event, str):
        refuse("event: must be a text")
    payload = json.dumps(
        {
            "client_key": client_key,
            "event": event,
            "create_time": whole(body, "create_time", int(time.time()), _FAR_FUTURE),
            "user_openid": tokens.app.open_id(sandbox.world.store_of(code), sandbox.settings.seed),
            "content": json.dumps({"reason": whole(body, "reason", _REASON_USER, _MOST_REASON)}),
        }
    ).encode()
    if event == REMOVED:
        tokens.revoke(code)
    headers = {
        "Content-Type": "application/json",
        "TikTok-Signature": signature(client_secret, payload, int(time.time())),
    }
    answer = await asyncio.to_thread(_post, url, payload, headers)
    return JSONResponse({"status": answer})


def signature(client_secret: str, payload: bytes, timestamp: int) -> str:
    """The header `TikTok-Signature` of a body: `t=<epoch seconds>,s=<hex HMAC-SHA256>`."""
    signed = f"{timestamp}.".encode() + payload
    digest = hmac.new(client_secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={timestamp},s={digest}"


def _post(url: str, payload: bytes, headers: dict[str, str]) -> int:
    with requests.Session() as session:
        session.trust_env = False  # no proxy to the loopback interface
        return session.post(url, data=payload, headers=headers, timeout=_SECONDS).status_code
