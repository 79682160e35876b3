"""TikTok's webhook events: a manager has disconnected the app, or the account is gone.

Signature: TikTok's page "Check the signature". Events: "Webhook events". TikTok repeats an event
for 72 hours until it is answered with 200, and may send one twice ("Webhooks overview").
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from include.connect.context import ConnectContext
from include.connect.settings import BUSINESS_WEBHOOK_PATH, WEBHOOK_PATH
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import DataError
from include.tiktok_sync.jobs import Api

log = structlog.get_logger(__name__)

REMOVED = "authorization.removed"

TOLERANCE = timedelta(hours=73)
"""TikTok repeats for 72 hours and does not say whether it signs each repeat again; an event counts
once however often it comes, so a long tolerance gives a replay nothing."""

_AHEAD = timedelta(minutes=5)
"""How far TikTok's clocks may be ahead: of ours, and one of the other."""

LINK_COMMANDS: dict[Api, str] = {"display": "stores link", "business": "stores link --business"}

REASONS = {
    1: "the manager disconnected the app in TikTok's settings",
    2: "the TikTok account was deleted",
    3: "the age of the TikTok account's owner changed",
    4: "TikTok banned the account",
    5: "the access was given back by this app",
}
"""TikTok's numbers; 0 = unknown."""


@dataclass(frozen=True)
class WebhookEvent:
    """One event of TikTok.

    Attributes:
        client_key: The app it is about.
        event: Its name.
        open_id: The account it is about.
        dated_at: Its date, as received.
        happened_at: The date that is used: never later than the signature.
        reason: One of ``REASONS``; ``None`` = none given.
        content: As received.
    """

    client_key: str
    event: str
    open_id: str
    dated_at: datetime
    happened_at: datetime
    reason: int | None
    content: str

    @property
    def key(self) -> bytes:
        """Identifies the event, however often it is sent."""
        parts = [self.client_key, self.event, self.open_id, self.dated_at.isoformat()]
        return hashlib.sha256(json.dumps([*parts, self.content]).encode()).digest()

    def message(self, api: Api) -> str:
        """The new ``status_reason`` of the store's grant."""
        why = REASONS.get(self.reason or 0, "TikTok gives no reason")
        return (
            f"TikTok ended the access on {self.happened_at:%Y-%m-%d %H:%M} UTC: {why}. The"
            f" store's manager must connect the account again ({LINK_COMMANDS[api]})."
        )


def webhook_routes(context: ConnectContext) -> APIRouter:
    """The endpoints that are registered at TikTok, one for each app."""
    router, settings = APIRouter(), context.settings
    _add(router, context, "display", WEBHOOK_PATH, settings.client_key, settings.client_secret)
    if "business" in settings.apis:
        app_id, secret = settings.business_app_id, settings.business_secret
        _add(router, context, "business", BUSINESS_WEBHOOK_PATH, app_id, secret)
    return router


def _add(
    router: APIRouter, context: ConnectContext, api: Api, path: str, client_key: str, secret: str
) -> None:
    def record(event: WebhookEvent) -> str:
        with context.database() as database:
            return database.webhook(
                api,
                event.key,
                event=event.event,
                open_id=event.open_id,
                reason=event.reason,
                happened_at=event.happened_at,
                message=event.message(api),
            )

    @router.post(path)
    async def receive(request: Request) -> Response:
        body = await request.body()
        signed_at = when_signed(
            request.headers.get("TikTok-Signature", ""), body, secret, utc_now()
        )
        if signed_at is None:
            log.warning("webhook.refused", reason="signature")
            return JSONResponse({"error": "signature"}, HTTPStatus.UNAUTHORIZED)
        try:
            event = parse_event(body, signed_at)
        except DataError as error:
            log.warning("webhook.refused", reason=str(error))
            return JSONResponse({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        if event.client_key != client_key:
            return JSONResponse({"error": "client_key"}, HTTPStatus.BAD_REQUEST)
        effect = await run_in_threadpool(record, event)
        log.info("webhook.received", event_name=event.event, effect=effect, reason=event.reason)
        return JSONResponse({"effect": effect})


def when_signed(header: str, body: bytes, secret: str, now: datetime) -> datetime | None:
    """When TikTok signed exactly these bytes; ``None`` = it did not, or too long ago.

    Args:
        header: ``t=<epoch seconds>,s=<hex HMAC-SHA256 of "t.body" with the app's secret>``.
        body: As received.
        secret: The app's secret.
        now: The time.
    """
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    timestamp, signature = parts.get("t", ""), parts.get("s", "")
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):  # noqa: PLR2004 - digits of a time
        return None
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    if not hmac.compare_digest(digest.hexdigest().encode(), signature.encode()):
        return None
    signed_at = datetime.fromtimestamp(int(timestamp), timezone.utc)
    return signed_at if -_AHEAD <= now - signed_at <= TOLERANCE else None


def parse_event(body: bytes, signed_at: datetime) -> WebhookEvent:
    """Read an event.

    Args:
        body: As received.
        signed_at: When TikTok signed it. An event with a later date counts as happened then: with
            its own date it would end any grant given before that date.

    Raises:
        DataError: It is not an event; the message says what is wrong.
    """
    try:
        fields = json.loads(body)
        content = fields.get("content") or ""
        dated_at = datetime.fromtimestamp(int(fields["create_time"]), timezone.utc)
        return WebhookEvent(
            client_key=_text(fields, "client_key"),
            event=_text(fields, "event"),
            open_id=_text(fields, "user_openid"),
            dated_at=dated_at,
            happened_at=dated_at if dated_at <= signed_at + _AHEAD else signed_at,
            reason=_reason(content),
            content=str(content),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError) as error:
        message = f"This is no event of TikTok: {type(error).__name__}."
        raise DataError(message) from None


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value or "\x00" in value:
        raise ValueError(name)
    return value


def _reason(content: Any) -> int | None:
    """The number in ``content``, which is JSON in a text; other events have other contents."""
    try:
        found = json.loads(content) if isinstance(content, str) else content
    except ValueError:
        return None
    reason = found.get("reason") if isinstance(found, dict) else None
    return reason if type(reason) is int and abs(reason) < 2**31 else None
