"""What is checked before every request, and added to every answer? Limits, a size cap, headers."""

from __future__ import annotations

import ipaddress
from http import HTTPStatus

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.connect.pages import CONTENT_POLICY, Pages
from include.connect.settings import (
    BUSINESS_WEBHOOK_PATH,
    HEALTH_PATH,
    WEBHOOK_PATH,
    ConnectSettings,
)

MAX_BODY_BYTES = 32 * 1024
"""Our forms and TikTok's events are far below 2 KB."""

LIMITS: dict[str, RateLimitItem] = {
    "page": RateLimitItemPerMinute(60),
    "form": RateLimitItemPerMinute(20),
    "webhook": RateLimitItemPerMinute(600),
}
"""Requests a minute from one address: a manager needs five; guessing a link needs 2^128."""


def security_headers(settings: ConnectSettings) -> dict[str, str]:
    """Headers of every answer.

    No address may leak (the link's token is in one). Pages whose form leads to TikTok come with a
    content policy of their own, see :data:`include.connect.pages.CONTENT_POLICY`.
    """
    headers = {
        "Content-Security-Policy": f"{CONTENT_POLICY}; form-action 'self'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex, nofollow",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "Cache-Control": "no-store",
    }
    if settings.is_https:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers


class SecurityMiddleware:
    """Rate limits, a body cap and security headers: the outermost layer of the app.

    Limits are counted in this process: run only one, or set a limit in the reverse proxy too.

    Args:
        app: The application behind it.
        settings: For the headers.
        pages: For its own refusals.
    """

    def __init__(self, app: ASGIApp, settings: ConnectSettings, pages: Pages) -> None:
        self._app = app
        self._pages = pages
        self._headers = security_headers(settings)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            elif scope["method"] == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        kind = _kind_of(scope)
        if kind and not self._limiter.hit(LIMITS[kind], kind, _address(scope)):
            page = self._pages.message("too_many", HTTPStatus.TOO_MANY_REQUESTS)
            page.headers["Retry-After"] = "60"
            await page(scope, receive, send_with_headers)
            return
        body = await _read(receive)
        if body is None:
            page = self._pages.message("bad_request", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            await page(scope, receive, send_with_headers)
            return
        await self._app(scope, _replay(body, receive), send_with_headers)


def _kind_of(scope: Scope) -> str | None:
    if scope["path"] in {WEBHOOK_PATH, BUSINESS_WEBHOOK_PATH}:
        return "webhook"
    if scope["path"] == HEALTH_PATH or scope["path"].startswith("/static/"):
        return None  # costs nothing
    return "form" if scope["method"] == "POST" else "page"


def _address(scope: Scope) -> str:
    """The key to count by: an address; for IPv6, the network that one customer gets."""
    host = str(scope["client"][0]) if scope.get("client") else "unknown"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 6:  # noqa: PLR2004 - the version of IP
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


async def _read(receive: Receive) -> bytes | None:
    """The whole body; ``None`` = too large."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
