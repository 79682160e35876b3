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

from include.connect.attempt_pages import ATTEMPT_PATH, CONNECTED, AttemptPages, notice_of
from include.connect.callback import CallbackHandler
from include.connect.context import ConnectContext
from include.connect.database import Attempt, Link, Outcome, Verdict
from include.connect.pages import scope_lines
from include.connect.settings import BUSINESS_CALLBACK_PATH, CALLBACK_PATH, PRIVACY_PATH
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.links.connect_links import hash_of

log = structlog.get_logger(__name__)

_TO_TIKTOK = ("again", "next")
"""Choices that lead to TikTok: another try, the second consent after the first."""

_REFUSED: dict[str, Outcome] = {"taken": "taken", "other": "wrong_account"}
"""Results of connecting that end the attempt, and how."""

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
    if "business" in context.settings.apis:
        path = BUSINESS_CALLBACK_PATH
        router.api_route(path, methods=READ_METHODS)(routes.business_callback)
    router.api_route(ATTEMPT_PATH, methods=READ_METHODS)(routes.attempt_page)
    router.post(ATTEMPT_PATH)(routes.answer)
    router.api_route(PRIVACY_PATH, methods=READ_METHODS)(routes.privacy)
    return router


class _ManagerRoutes:
    def __init__(self, context: ConnectContext) -> None:
        self._context = context
        self._pages = AttemptPages(context)
        self._callbacks = {api: CallbackHandler(context, api) for api in context.settings.apis}

    def landing(self, request: Request, token: str) -> Response:
        """Show who asks for what. It changes nothing: mail programs open links too.

        Only the text of the privacy notice is recorded, before the page shows it.
        """
        link, refusal = self._link(token)
        if link is None:
            return refusal
        cookies = self._context.cookies
        browser = cookies.read(request) or cookies.new()
        notice = notice_of(self._context, request)
        response = self._context.pages.page(
            "landing",
            store_name=link.store_name,
            store_code=link.store_code,
            expected_account=link.expected_account,
            permissions=scope_lines(self._context.settings.wanted(link.api), link.api),
            api=link.api,
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
        return self._redirect_to_tiktok(link.api, hash_of(token), link.store_code, browser, notice)

    def callback(
        self, request: Request, state: str = "", code: str = "", error: str = ""
    ) -> Response:
        """Handle the return from TikTok. The address of the next page no longer holds the code."""
        return self._returned(request, "display", state, code, error)

    def business_callback(
        self,
        request: Request,
        state: str = "",
        code: str = "",
        auth_code: str = "",
        error: str = "",
    ) -> Response:
        """The same for the Accounts API, whose older portals name the code differently."""
        return self._returned(request, "business", state, code or auth_code, error)

    def _returned(self, request: Request, api: Api, state: str, code: str, error: str) -> Response:
        callback = self._callbacks[api]
        browser = self._context.cookies.read(request)
        if browser is None:
            return self._context.pages.message("no_cookie")
        if request.method == "HEAD":
            found = callback.find(state, browser)
        else:
            found = callback.handle(state, code=code, error=error, browser=browser)
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
        return self._pages.page(request, attempt, attempt_id, browser)

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
        if choice not in _TO_TIKTOK and attempt.outcome in CONNECTED:
            return _redirect(ATTEMPT_PATH.format(attempt_id=attempt_id))
        if not self._is_answer(form_token, browser, attempt_id, attempt, choice):
            return self._context.pages.message("bad_form")
        notice = self._context.cookies.notice_of_form(form_token)
        if choice in _TO_TIKTOK:
            return self._to_tiktok(choice, attempt, attempt_id, browser, notice)
        if attempt.outcome is None and choice == "connect":
            self._connect(attempt, attempt_id, browser, notice)
        elif choice == "decline":
            self._callbacks[attempt.api].decline(attempt, attempt_id, browser)
        return _redirect(ATTEMPT_PATH.format(attempt_id=attempt_id))

    def _to_tiktok(
        self, choice: str, attempt: Attempt, attempt_id: UUID, browser: str, notice: str | None
    ) -> Response:
        if choice == "next":
            return self._begin_next(attempt, attempt_id, browser, notice)
        if attempt.link_state != "open":
            return self._context.pages.message(attempt.link_state, HTTPStatus.GONE)
        return self._redirect_to_tiktok(
            attempt.api, attempt.link_hash, attempt.store_code, browser, notice
        )

    def _is_answer(
        self, token: str, browser: str, attempt_id: UUID, attempt: Attempt, choice: str
    ) -> bool:
        """Whether the form was made for this attempt and question.

        The form is bound to the question that was shown: a yes to "first" is not a yes to replacing
        an account. Once the attempt has ended, any answer only leads to its result.
        """
        asked: Sequence[str] = [attempt.verdict]
        if choice in _TO_TIKTOK:
            asked = [choice]
        elif attempt.outcome is not None:
            asked = get_args(Verdict)
        forms = self._context.cookies
        return any(forms.is_own_form(token, browser, f"{attempt_id} {one}") for one in asked)

    def privacy(self) -> Response:
        """The privacy notice by itself, also for those who have no link any more."""
        return self._context.pages.page("privacy")

    def _connect(
        self, attempt: Attempt, attempt_id: UUID, browser: str, notice: str | None
    ) -> None:
        with self._context.database() as database:
            result = database.confirm(
                attempt.api,
                attempt_id,
                hash_of(browser),
                scope=attempt.scope or "",
                wanted=self._context.settings.wanted(attempt.api),
                replace=attempt.verdict == "replaces",
                notice=notice,
            )
        if result in _REFUSED:
            self._callbacks[attempt.api].give_back(
                attempt_id,
                hash_of(browser),
                attempt.store_code,
                result if result == "taken" else attempt.verdict,
                _REFUSED[result],
            )
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
        if link.state == "open" and link.api not in self._context.settings.apis:
            return None, pages.message("replaced", HTTPStatus.GONE)  # switched off since
        if link.state != "open":
            return None, pages.message(link.state, HTTPStatus.GONE)
        return link, Response()

    def _begin_next(
        self, attempt: Attempt, attempt_id: UUID, browser: str, notice: str | None
    ) -> Response:
        if "business" not in self._context.settings.apis or notice is None:
            return self._context.pages.message("bad_form")
        cookies = self._context.cookies
        state = cookies.new_state("business", attempt.store_code)
        with self._context.database() as database:
            begun = database.begin_next(
                attempt_id,
                hash_of(browser),
                link_hash=hash_of(cookies.new()),
                state_hash=hash_of(state),
                life=cookies.attempt_life,
                notice=notice,
            )
        return self._left_for_tiktok("business", begun, attempt.store_code, state)

    def _redirect_to_tiktok(
        self, api: Api, link_hash: bytes, store_code: str, browser: str, notice: str | None
    ) -> Response:
        if notice is None:  # an attempt from before notices were shown: the link's page has it
            return self._context.pages.message("bad_form")
        cookies = self._context.cookies
        state = cookies.new_state(api, store_code)
        with self._context.database() as database:
            begun = database.begin(
                link_hash,
                state_hash=hash_of(state),
                browser_hash=hash_of(browser),
                life=cookies.attempt_life,
                notice=notice,
            )
        return self._left_for_tiktok(api, begun, store_code, state)

    def _left_for_tiktok(
        self, api: Api, begun: UUID | None, store_code: str, state: str
    ) -> Response:
        if begun is None:
            return self._context.pages.message("replaced", HTTPStatus.GONE)
        log.info("connect.left_for_tiktok", store_code=store_code, attempt_id=str(begun))
        verifier = self._context.cookies.code_verifier(state)
        return _redirect(self._context.consents[api].authorize_url(state, verifier))

    def _attempt(self, attempt_id: UUID, browser: str | None) -> Attempt | None:
        if browser is None:
            return None
        with self._context.database() as database:
            attempt = database.attempt(attempt_id, hash_of(browser))
        return attempt if attempt and attempt.api in self._context.settings.apis else None


def _leaving(token: str) -> str:
    return f"leave {hash_of(token).hex()}"


def _redirect(address: str) -> Response:
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)
