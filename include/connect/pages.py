"""What does a store's manager read? Every page of the app, in plain words, with the next step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from include.connect.notice import Notice
from include.connect.settings import PRIVACY_PATH, ConnectSettings
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.tiktok.models import KNOWN_SCOPES

FOLDER = Path(__file__).resolve().parent

CONTENT_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
"""Nothing from elsewhere may load, no script at all may run.

It has no ``form-action``, for the pages whose form leads to TikTok. Browsers apply that directive
to every redirect after a form, and where TikTok redirects to (a regional login, its app) is up to
TikTok: with a list of addresses, the button would one day do nothing and say nothing.
"""

_FORMS_TO_TIKTOK = ("leave", "again", "next_step")
"""Values of a page that are forms leading to TikTok."""

SCOPE_TEXTS = {
    "user.info.basic": "see the account's name",
    "user.info.profile": "see the account's public profile (username, description)",
    "user.info.stats": "see how many followers, likes and videos the account has",
    "video.list": "see the account's public videos and how often they are watched and liked",
}
"""Scope -> what it lets us do, in the order in which it is shown."""

_BUSINESS_TEXTS = {
    "user.info.basic": "see the account's name",
    "user.info.username": "see its username, which must be that of the store's account",
    "user.info.profile": "see its public profile (description, link)",
    "user.info.stats": "see how many followers, likes and videos it has",
    "user.account.type": "see whether it is a personal or a business account",
    "user.insights": "see the account's figures of each of the last 60 days and from now on, and"
    " how its followers divide by age, gender and place",
    "video.list": "see its public posts with their figures",
    "video.insights": "see how many people each video reached, how long they watched, and how they"
    " came across it",
}
"""The same for the Accounts API."""

ALREADY_ALLOWED = KNOWN_SCOPES | {"user.info.username"}
"""What the second consent asks for again, and who has given the first need not read again."""


@dataclass(frozen=True)
class Text:
    """A page that only says something. ``next`` is what the manager can do about it."""

    title: str
    what: str
    next: str


_ASK = "Ask {retailer} for a new link."
_NOTHING = "Nothing was connected."

TEXTS: dict[str, Text] = {
    "unknown_link": Text(
        "This link does not work",
        "It may have been cut off when it was copied.",
        "Open the link from the message itself, or copy all of it. If that does not help: " + _ASK,
    ),
    "expired": Text(
        "This link has expired", "Links work for some days only, to keep the account safe.", _ASK
    ),
    "used": Text(
        "This link was already used",
        "The TikTok account is connected. Each link works once.",
        "There is nothing left to do. If you want to connect another account, ask {retailer} for a"
        " new link.",
    ),
    "replaced": Text(
        "This link no longer works",
        "A newer link was made for this store, or the store is not to be connected at present.",
        "Look for a later message from {retailer}. If there is none: " + _ASK,
    ),
    "bad_state": Text(
        "This step cannot be repeated",
        "You came back from TikTok too late, or in another browser.",
        "Open the link from the message again: it says whether the account is connected. If it is"
        " not, stay in the same browser all the way.",
    ),
    "no_cookie": Text(
        "Please start again in this browser",
        "You came back from TikTok in another browser than you started in, or cookies are blocked.",
        "Open the link from the message in the browser that you use for TikTok, and allow cookies."
        " It says whether the account is connected already.",
    ),
    "bad_form": Text(
        "This page was open too long",
        "It can no longer be sent.",
        "Open the link from the message again: it says whether the account is connected.",
    ),
    "attempt_expired": Text(
        "That took too long",
        "For safety, what TikTok gave us was thrown away after half an hour. " + _NOTHING,
        "Open the link from the message again.",
    ),
    "denied": Text(
        "You did not allow access",
        "TikTok told us that you cancelled, or left out what we need to see which account it is. "
        + _NOTHING,
        "If that was a mistake, try again and keep the permissions switched on.",
    ),
    "declined": Text(
        "Nothing was connected",
        "You said that this is not the store's account. We gave the access back to TikTok.",
        "Log in to TikTok with the store's account (in the TikTok app or on tiktok.com: log out"
        " first), then try again.",
    ),
    "taken": Text(
        "This account belongs to another store",
        "The TikTok account you are logged in with is already connected to another store of"
        " {retailer}. " + _NOTHING,
        "Log out of TikTok, log in with this store's own account, then try again. If the account"
        " really has moved to this store, tell {retailer}.",
    ),
    "unavailable": Text(
        "TikTok is not answering",
        "TikTok is busy, or has a problem at the moment. " + _NOTHING,
        "Wait some minutes, then try again.",
    ),
    "failed": Text(
        "TikTok did not give us access",
        "Something went wrong between TikTok and us. " + _NOTHING,
        "Try again. If it happens again, tell {retailer}.",
    ),
    "not_approved": Text(
        "TikTok did not accept our request",
        "{retailer}'s app asked TikTok for something that TikTok has not approved it for. It is not"
        " your fault. " + _NOTHING,
        "Tell {retailer}. There is nothing for you to do until you get a new link.",
    ),
    "too_many": Text(
        "Too many requests", "This page was opened very often.", "Wait a minute, then try again."
    ),
    "not_found": Text("There is no such page", "The address is wrong.", "Open your link again."),
    "bad_request": Text(
        "That did not work", "Your browser sent something unexpected.", "Open your link again."
    ),
    "our_fault": Text(
        "Something is wrong on our side",
        "It is not your fault.",
        "Wait some minutes, then open the link from the message again: it says whether the account"
        " is connected. If this happens again, tell {retailer}.",
    ),
}


def scope_lines(scopes: Iterable[str], api: Api = "display") -> list[str]:
    """Scopes in plain words, those that we have words for."""
    found = frozenset(scopes)
    texts = _BUSINESS_TEXTS if api == "business" else SCOPE_TEXTS
    return [text for scope, text in texts.items() if scope in found]


def account_names(username: str | None, display_name: str | None) -> list[str]:
    """An account as people call it, a line each."""
    lines = [display_name or "", f"@{username}" if username else ""]
    return [line for line in lines if line] or ["an account whose name TikTok did not tell"]


class Pages:
    """Renders pages.

    Args:
        settings: Who asks, and whom to ask.

    Attributes:
        notice: The privacy notice that they show.
    """

    def __init__(self, settings: ConnectSettings) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.notice = Notice.of(settings)
        self._environment.globals.update(
            retailer=settings.retailer,
            contact=settings.contact,
            notice=self.notice,
            privacy_path=PRIVACY_PATH,
        )
        self._retailer = settings.retailer

    def page(self, template: str, status: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
        """A page from a template."""
        text = self._environment.get_template(f"{template}.html").render(**values)
        headers = {}
        if any(values.get(form) for form in _FORMS_TO_TIKTOK):
            headers["Content-Security-Policy"] = CONTENT_POLICY
        return HTMLResponse(text, status, headers)

    def message(
        self,
        name: str,
        status: int = HTTPStatus.BAD_REQUEST,
        *,
        again: Any = None,
        is_second: bool = False,
    ) -> HTMLResponse:
        """One of :data:`TEXTS`.

        Args:
            name: Which.
            status: HTTP status.
            again: The form that tries again (path, token).
            is_second: The second consent has ended, which leaves the first as it was.
        """
        text = TEXTS[name]
        return self.page(
            "message",
            status,
            title=text.title,
            what=text.what.format(retailer=self._retailer),
            next=text.next.format(retailer=self._retailer),
            again=again,
            is_second=is_second,
        )
