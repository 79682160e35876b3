"""Which page shows an attempt: how it ended, the last question, or the way to the next step?"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from include.connect.context import ConnectContext
from include.connect.database import Attempt
from include.connect.pages import ALREADY_ALLOWED, account_names, scope_lines
from include.tiktok_sync.tokens.scopes import split_scope

CONNECTED = ("connected", "missing_scope")
"""Outcomes of attempts that connected the store."""

_ENDED = ("used", "replaced")
"""States of a link that also end the attempts begun with it."""

ATTEMPT_PATH = "/attempts/{attempt_id}"


def notice_of(context: ConnectContext, request: Request) -> str:
    """The version of the privacy notice on the page that answers this; recorded before."""
    notice = context.pages.notice
    if request.method == "GET":
        with context.database() as database:
            database.keep_notice(notice.version, notice.text)
    return notice.version


class AttemptPages:
    """The pages of attempts.

    Args:
        context: Shared by the routes.
    """

    def __init__(self, context: ConnectContext) -> None:
        self._context = context

    def page(self, request: Request, attempt: Attempt, attempt_id: UUID, browser: str) -> Response:
        """The page of an attempt, for the browser that began it."""
        path = ATTEMPT_PATH.format(attempt_id=attempt_id)
        again = None
        if attempt.link_state == "open":
            shown = attempt.notice_version
            again = {"path": path, "form_token": self._token(browser, attempt_id, "again", shown)}
        if attempt.outcome in CONNECTED:
            return self._done(request, attempt, attempt_id, browser, again)
        if attempt.outcome == "wrong_account":
            names = self._context.cookies.names(request, attempt_id)
            return self._wrong_account(attempt, names, again)
        if attempt.is_under_way:
            return self._context.pages.page("under_way", path=path)
        ended = _how_it_ended(attempt)
        if ended is not None:
            if attempt.outcome == "not_approved":
                again = None  # it would end the same way
            is_second = attempt.api == "business"
            return self._context.pages.message(*ended, again=again, is_second=is_second)
        return self._question(attempt, browser, attempt_id, notice_of(self._context, request))

    def _token(self, browser: str, attempt_id: UUID, question: str, notice: str | None) -> str:
        return self._context.cookies.form_token(browser, f"{attempt_id} {question}", notice)

    def _next_step(
        self, request: Request, attempt: Attempt, attempt_id: UUID, browser: str
    ) -> dict[str, Any] | None:
        """The form of the second consent; ``None`` = it does not follow."""
        apis = self._context.settings.apis
        if attempt.api == "business" or "business" not in apis or attempt.has_business:
            return None
        shown = attempt.notice_version == self._context.pages.notice.version
        notice = notice_of(self._context, request)
        added = self._context.settings.wanted("business") - ALREADY_ALLOWED
        return {
            "path": ATTEMPT_PATH.format(attempt_id=attempt_id),
            "form_token": self._token(browser, attempt_id, "next", notice),
            "permissions": scope_lines(added, "business"),
            "username": attempt.username,
            "is_notice_shown": shown,
        }

    def _question(self, attempt: Attempt, browser: str, attempt_id: UUID, notice: str) -> Response:
        missing = self._context.settings.wanted(attempt.api) - split_scope(attempt.scope or "")
        path = ATTEMPT_PATH.format(attempt_id=attempt_id)
        again = None
        if missing and attempt.link_state == "open":
            again = {"path": path, "form_token": self._token(browser, attempt_id, "again", notice)}
        return self._context.pages.page(
            "question",
            store_name=attempt.store_name,
            store_code=attempt.store_code,
            account=account_names(attempt.username, attempt.display_name),
            replaces=attempt.verdict == "replaces",
            present=account_names(attempt.present_username, attempt.present_display_name),
            missing=scope_lines(missing, attempt.api),
            form_token=self._token(browser, attempt_id, attempt.verdict, notice),
            again=again,
            path=path,
        )

    def _done(
        self,
        request: Request,
        attempt: Attempt,
        attempt_id: UUID,
        browser: str,
        again: dict[str, str] | None,
    ) -> Response:
        granted = split_scope(attempt.scope or "")
        missing = self._context.settings.wanted(attempt.api) - granted
        next_step = None if missing else self._next_step(request, attempt, attempt_id, browser)
        return self._context.pages.page(
            "done",
            store_name=attempt.store_name,
            account=account_names(attempt.username, attempt.display_name),
            api=attempt.api,
            granted=scope_lines(granted, attempt.api),
            missing=scope_lines(missing, attempt.api),
            again=again,
            next_step=next_step,
        )

    def _wrong_account(
        self,
        attempt: Attempt,
        names: tuple[str | None, str | None] | None,
        again: dict[str, str] | None,
    ) -> Response:
        return self._context.pages.page(
            "wrong_account",
            store_name=attempt.store_name,
            account=account_names(*names) if names else [],
            expected=attempt.expected_account,
            is_unknown=names is not None and names[0] is None,
            is_second=attempt.api == "business",
            again=again,
        )


def _how_it_ended(attempt: Attempt) -> tuple[str, HTTPStatus] | None:
    """The text for an attempt that did not connect; ``None`` = it is waiting for an answer."""
    if attempt.outcome in (None, "expired") and attempt.link_state in _ENDED:
        return attempt.link_state, HTTPStatus.GONE
    if attempt.outcome == "expired" or not (attempt.outcome or attempt.is_waiting):
        return "attempt_expired", HTTPStatus.GONE
    if attempt.outcome is not None:
        return attempt.outcome, HTTPStatus.OK
    return None
