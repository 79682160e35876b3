"""Routes of a store's manager: link, redirect to TikTok, callback, last question, privacy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone
from http import HTTPStatus
from typing import Annotated, get_args
from uuid import UUID

import structlog
from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from include.connect.callback import CallbackHandler
from include.connect.context import ConnectContext
from include.connect.database import Attempt, Link, Verdict
from include.connect.pages import account_names, scope_lines
from include.connect.settings import CALLBACK_PATH, PRIVACY_PATH
from include.tiktok_sync.links.connect_links import hash_of
from include.tiktok_sync.tokens.scopes import split_scope

log = structlog.get_logger(__name__)

_CONNECTED = ("connected", "missing_scope")
_ENDED = ("used", "replaced")
"""States of a link that also end the attempts begun with it."""

ATTEMPT_PATH = "/attempts/{attempt_id}"

READ_METHODS = ["GET", "HEAD"]
"""Methods that read a page; mail gateways check links with HEAD."""

FormToken = Annotated[str, Form(max_length=2_000)]


def manager_routes(context: ConnectContext) -> APIRouter:
    """The pages that a manager sees."""
    router = APIRouter()
    routes = _ManagerRoutes(context)
    router.api_route("/c/{token}", methods=READ_METHODS)(routes.landing)
    router.post("/c/{token}")(routes.start)
    router.api_route(CALLBACK_PATH, methods=READ_METHODS)(routes.callback)
    router.api_route(ATTEMPT_PATH, methods=READ_METHODS)(routes.attempt_page)
    router.post(ATTEMPT_PATH)(routes.answer)
    router.api_route(PRIVACY_PATH, methods=READ_METHODS)(routes.privacy)
    return router


class _ManagerRoutes:
    def __init__(self, context: ConnectContext) -> None:
        self._context = context
        self._callback = CallbackHandler(context)

    def landing(self, request: Request, token: str) -> Response:
        """Show who asks for what. It changes nothing: mail programs open links too.

        Only the text of the privacy notice is recorded, before the page shows it.
        """
        link, refusal = self._link(token)
        if link is None:
            return refusal
        cookies = self._context.cookies
        browser = cookies.read(request) or cookies.new()
        notice = self._notice(request)
        response = self._context.pages.page(
            "landing",
            store_name=link.store_name,
            store_code=link.store_code,
            expected_account=link.expected_account,
            permissions=scope_lines(self._context.settings.scopes),
            expires_at=link.expires_at.astimezone(timezone.utc),
            leave={
                "path": f"/c/{token}",
                "form_token": cookies.form_token(browser, _leaving(token), notice),
            },
        )
        cookies.write(response, browser)
        return response

    def start(self, request: Request, token: str, form_token: FormToken) -> Response:
        """Redirect to TikTok, with a state that only this browser can use."""
        link, refusal = self._link(token)
        if link is None:
            return refusal
        cookies = self._context.cookies
        browser = cookies.read(request)
        if browser is None:
            return self._context.pages.message("no_cookie")
        if not cookies.is_own_form(form_token, browser, _leaving(token)):
            return self._context.pages.message("bad_form")
        notice = cookies.notice_of_form(form_token)
        return self._redirect_to_tiktok(hash_of(token), link.store_code, browser, notice)

    def callback(
        self, request: Request, state: str = "", code: str = "", error: str = ""
    ) -> Response:
        """Handle the return from TikTok. The address of the next page no longer holds the code."""
        browser = self._context.cookies.read(request)
        if browser is None:
            return self._context.pages.message("no_cookie")
        if request.method == "HEAD":
            found = self._callback.find(state, browser)
        else:
            found = self._callback.handle(state, code=code, error=error, browser=browser)
        if found is None:
            return self._context.pages.message("bad_state")
        response = _redirect(ATTEMPT_PATH.format(attempt_id=found.attempt_id))
        if found.unwanted is not None:
            names = (found.unwanted.username, found.unwanted.display_name)
            self._context.cookies.remember_names(response, found.attempt_id, names)
        return response

    def attempt_page(self, request: Request, attempt_id: UUID) -> Response:
        """Show how the attempt ended, or ask the last question."""
        browser = self._context.cookies.read(request)
        attempt = self._attempt(attempt_id, browser)
        if attempt is None or browser is None:
            return self._context.pages.message("bad_state", HTTPStatus.NOT_FOUND)
        path = ATTEMPT_PATH.format(attempt_id=attempt_id)
        again = None
        if attempt.link_state == "open":
            shown = attempt.notice_version
            again = {"path": path, "form_token": self._token(browser, attempt_id, "again", shown)}
        if attempt.outcome in _CONNECTED:
            return self._done(attempt, again)
        if attempt.outcome == "wrong_account":
            names = self._context.cookies.names(request, attempt_id)
            return self._wrong_account(attempt, names, again)
        if attempt.is_under_way:
            return self._context.pages.page("under_way", path=path)
        ended = _how_it_ended(attempt)
        if ended is not None:
            return self._context.pages.message(*ended, again=again)
        return self._question(attempt, browser, attempt_id, self._notice(request))

    def answer(
        self,
        request: Request,
        attempt_id: UUID,
        form_token: FormToken,
        choice: Annotated[str, Form(max_length=20)],
    ) -> Response:
        """The manager's answer: connect, decline, or try again."""
        browser = self._context.cookies.read(request)
        attempt = self._attempt(attempt_id, browser)
        if attempt is None or browser is None:
            return self._context.pages.message("bad_state", HTTPStatus.NOT_FOUND)
        if choice != "again" and attempt.outcome in _CONNECTED:
            return _redirect(ATTEMPT_PATH.format(attempt_id=attempt_id))
        if not self._is_answer(form_token, browser, attempt_id, attempt, choice):
            return self._context.pages.message("bad_form")
        notice = self._context.cookies.notice_of_form(form_token)
        if choice == "again":
            if attempt.link_state != "open":
                return self._context.pages.message(attempt.link_state, HTTPStatus.GONE)
            return self._redirect_to_tiktok(attempt.link_hash, attempt.store_code, browser, notice)
        if attempt.outcome is None and choice == "connect":
            self._connect(attempt, attempt_id, browser, notice)
        elif choice == "decline":
            self._callback.decline(attempt, attempt_id, browser)
        return _redirect(ATTEMPT_PATH.format(attempt_id=attempt_id))

    def _is_answer(
        self, token: str, browser: str, attempt_id: UUID, attempt: Attempt, choice: str
    ) -> bool:
        """Whether the form was made for this attempt and question.

        The form is bound to the question that was shown: a yes to "first" is not a yes to replacing
        an account. Once the attempt has ended, any answer only leads to its result.
        """
        asked: Sequence[str] = [attempt.verdict]
        if choice == "again":
            asked = ["again"]
        elif attempt.outcome is not None:
            asked = get_args(Verdict)
        forms = self._context.cookies
        return any(forms.is_own_form(token, browser, f"{attempt_id} {one}") for one in asked)

    def privacy(self) -> Response:
        """The privacy notice by itself, also for those who have no link any more."""
        return self._context.pages.page("privacy")

    def _notice(self, request: Request) -> str:
        """The version of the privacy notice on the page that answers this; recorded before."""
        notice = self._context.pages.notice
        if request.method == "GET":
            with self._context.database() as database:
                database.keep_notice(notice.version, notice.text)
        return notice.version

    def _connect(
        self, attempt: Attempt, attempt_id: UUID, browser: str, notice: str | None
    ) -> None:
        with self._context.database() as database:
            result = database.confirm(
                attempt_id,
                hash_of(browser),
                scope=attempt.scope or "",
                wanted=self._context.settings.scopes,
                replace=attempt.verdict == "replaces",
                notice=notice,
            )
            if result == "taken":
                database.close(attempt_id, hash_of(browser), "taken")
        log.info("connect.answered", store_code=attempt.store_code, result=result)

    def _link(self, token: str) -> tuple[Link | None, Response]:
        """An open link, or the page that says why it is not open."""
        pages = self._context.pages
        store_code = self._context.signer.store_of(token)
        if store_code is None:
            return None, pages.message("unknown_link", HTTPStatus.NOT_FOUND)
        with self._context.database() as database:
            link = database.link(hash_of(token))
        if link is None or link.store_code != store_code:
            return None, pages.message("unknown_link", HTTPStatus.NOT_FOUND)
        if link.state != "open":
            return None, pages.message(link.state, HTTPStatus.GONE)
        return link, Response()

    def _redirect_to_tiktok(
        self, link_hash: bytes, store_code: str, browser: str, notice: str | None
    ) -> Response:
        if notice is None:  # an attempt from before notices were shown: the link's page has it
            return self._context.pages.message("bad_form")
        cookies = self._context.cookies
        state = cookies.new_state(store_code)
        with self._context.database() as database:
            begun = database.begin(
                link_hash,
                state_hash=hash_of(state),
                browser_hash=hash_of(browser),
                life=cookies.attempt_life,
                notice=notice,
            )
        if begun is None:
            return self._context.pages.message("replaced", HTTPStatus.GONE)
        log.info("connect.left_for_tiktok", store_code=store_code, attempt_id=str(begun))
        verifier = cookies.code_verifier(state)
        return _redirect(self._context.consent.authorize_url(state, verifier))

    def _attempt(self, attempt_id: UUID, browser: str | None) -> Attempt | None:
        if browser is None:
            return None
        with self._context.database() as database:
            return database.attempt(attempt_id, hash_of(browser))

    def _token(self, browser: str, attempt_id: UUID, question: str, notice: str | None) -> str:
        return self._context.cookies.form_token(browser, f"{attempt_id} {question}", notice)

    def _question(self, attempt: Attempt, browser: str, attempt_id: UUID, notice: str) -> Response:
        missing = self._context.settings.scopes - split_scope(attempt.scope or "")
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
            missing=scope_lines(missing),
            form_token=self._token(browser, attempt_id, attempt.verdict, notice),
            again=again,
            path=path,
        )

    def _done(self, attempt: Attempt, again: dict[str, str] | None) -> Response:
        granted = split_scope(attempt.scope or "")
        return self._context.pages.page(
            "done",
            store_name=attempt.store_name,
            account=account_names(attempt.username, attempt.display_name),
            granted=scope_lines(granted),
            missing=scope_lines(self._context.settings.scopes - granted),
            again=again,
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


def _leaving(token: str) -> str:
    return f"leave {hash_of(token).hex()}"


def _redirect(address: str) -> Response:
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)
