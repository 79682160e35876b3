"""The way of a store's manager: the link, off to TikTok, back again, and the last question."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone
from http import HTTPStatus
from typing import Annotated, get_args
from uuid import UUID

import structlog
from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from include.connect.arrival import Arrivals
from include.connect.desk import Desk
from include.connect.ledger import Attempt, Link, Verdict
from include.connect.pages import account_names, scope_lines
from include.connect.settings import CALLBACK_PATH
from include.tiktok_sync.links.connect_links import hash_of
from include.tiktok_sync.tokens.store import split_scope

log = structlog.get_logger(__name__)

_CONNECTED = ("connected", "missing_scope")
_ENDED = ("used", "replaced")
"""States of a link that also end the attempts begun with it."""

ATTEMPT_PATH = "/attempts/{attempt_id}"

LOOK = ["GET", "HEAD"]
"""How a page is asked for; gateways that check the links of a mail use HEAD."""

FormToken = Annotated[str, Form(max_length=2_000)]


def manager_routes(desk: Desk) -> APIRouter:
    """The pages that a manager sees."""
    router = APIRouter()
    way = _Way(desk)
    router.api_route("/c/{token}", methods=LOOK)(way.landing)
    router.post("/c/{token}")(way.leave)
    router.api_route(CALLBACK_PATH, methods=LOOK)(way.come_back)
    router.api_route(ATTEMPT_PATH, methods=LOOK)(way.show)
    router.post(ATTEMPT_PATH)(way.answer)
    return router


class _Way:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._arrivals = Arrivals(desk)

    def landing(self, request: Request, token: str) -> Response:
        """Who asks for what. Changes nothing: mail programs look at links too."""
        link, refusal = self._link(token)
        if link is None:
            return refusal
        browsers = self._desk.browsers
        browser = browsers.known(request) or browsers.fresh()
        response = self._desk.pages.page(
            "landing",
            store_name=link.store_name,
            store_code=link.store_code,
            expected_account=link.expected_account,
            permissions=scope_lines(self._desk.settings.scopes),
            expires_at=link.expires_at.astimezone(timezone.utc),
            leave={
                "path": f"/c/{token}",
                "form_token": browsers.form_token(browser, _leaving(token)),
            },
        )
        browsers.remember(response, browser)
        return response

    def leave(self, request: Request, token: str, form_token: FormToken) -> Response:
        """Off to TikTok, with a state that only this browser can use."""
        link, refusal = self._link(token)
        if link is None:
            return refusal
        browser = self._desk.browsers.known(request)
        if browser is None:
            return self._desk.pages.message("no_cookie")
        if not self._desk.browsers.is_own_form(form_token, browser, _leaving(token)):
            return self._desk.pages.message("bad_form")
        return self._off_to_tiktok(hash_of(token), link.store_code, browser)

    def come_back(
        self, request: Request, state: str = "", code: str = "", error: str = ""
    ) -> Response:
        """TikTok sent the browser back. The next page's address holds no code any more."""
        browser = self._desk.browsers.known(request)
        if browser is None:
            return self._desk.pages.message("no_cookie")
        if request.method == "HEAD":
            found = self._arrivals.look(state, browser)
        else:
            found = self._arrivals.settle(state, code=code, error=error, browser=browser)
        if found is None:
            return self._desk.pages.message("bad_state")
        response = _see(ATTEMPT_PATH.format(attempt_id=found.attempt_id))
        if found.unwanted is not None:
            names = (found.unwanted.username, found.unwanted.display_name)
            self._desk.browsers.remember_names(response, found.attempt_id, names)
        return response

    def show(self, request: Request, attempt_id: UUID) -> Response:
        """What came of it, or the last question."""
        browser = self._desk.browsers.known(request)
        attempt = self._attempt(attempt_id, browser)
        if attempt is None or browser is None:
            return self._desk.pages.message("bad_state", HTTPStatus.NOT_FOUND)
        path = ATTEMPT_PATH.format(attempt_id=attempt_id)
        again = None
        if attempt.link_state == "open":
            again = {"path": path, "form_token": self._token(browser, attempt_id, "again")}
        if attempt.outcome in _CONNECTED:
            return self._done(attempt, again)
        if attempt.outcome == "wrong_account":
            names = self._desk.browsers.names(request, attempt_id)
            return self._wrong_account(attempt, names, again)
        if attempt.is_under_way:
            return self._desk.pages.page("under_way", path=path)
        ended = _how_it_ended(attempt)
        if ended is not None:
            return self._desk.pages.message(*ended, again=again)
        return self._question(attempt, browser, attempt_id, again)

    def answer(
        self,
        request: Request,
        attempt_id: UUID,
        form_token: FormToken,
        choice: Annotated[str, Form(max_length=20)],
    ) -> Response:
        """The manager's answer: connect, decline, or try again."""
        browser = self._desk.browsers.known(request)
        attempt = self._attempt(attempt_id, browser)
        if attempt is None or browser is None:
            return self._desk.pages.message("bad_state", HTTPStatus.NOT_FOUND)
        if choice != "again" and attempt.outcome in _CONNECTED:
            return _see(ATTEMPT_PATH.format(attempt_id=attempt_id))
        if not self._is_answer(form_token, browser, attempt_id, attempt, choice):
            return self._desk.pages.message("bad_form")
        if choice == "again":
            if attempt.link_state != "open":
                return self._desk.pages.message(attempt.link_state, HTTPStatus.GONE)
            return self._off_to_tiktok(attempt.link_hash, attempt.store_code, browser)
        if attempt.outcome is None and choice == "connect":
            self._connect(attempt, attempt_id, browser)
        elif choice == "decline":
            self._arrivals.decline(attempt, attempt_id, browser)
        return _see(ATTEMPT_PATH.format(attempt_id=attempt_id))

    def _is_answer(
        self, token: str, browser: str, attempt_id: UUID, attempt: Attempt, choice: str
    ) -> bool:
        """Whether the form was made for this.

        It is bound to the question that was shown: consent to "first" is none to replace. Once the
        attempt has ended, an answer to any question of it only leads to how it ended.
        """
        asked: Sequence[str] = [attempt.verdict]
        if choice == "again":
            asked = ["again"]
        elif attempt.outcome is not None:
            asked = get_args(Verdict)
        forms = self._desk.browsers
        return any(forms.is_own_form(token, browser, f"{attempt_id} {one}") for one in asked)

    def _connect(self, attempt: Attempt, attempt_id: UUID, browser: str) -> None:
        with self._desk.ledger() as ledger:
            result = ledger.confirm(
                attempt_id,
                hash_of(browser),
                scope=attempt.scope or "",
                wanted=self._desk.settings.scopes,
                replace=attempt.verdict == "replaces",
            )
            if result == "taken":
                ledger.close(attempt_id, hash_of(browser), "taken")
        log.info("connect.answered", store_code=attempt.store_code, result=result)

    def _link(self, token: str) -> tuple[Link | None, Response]:
        """An open link, or the page that says why it is none."""
        pages = self._desk.pages
        store_code = self._desk.signer.store_of(token)
        if store_code is None:
            return None, pages.message("unknown_link", HTTPStatus.NOT_FOUND)
        with self._desk.ledger() as ledger:
            link = ledger.link(hash_of(token))
        if link is None or link.store_code != store_code:
            return None, pages.message("unknown_link", HTTPStatus.NOT_FOUND)
        if link.state != "open":
            return None, pages.message(link.state, HTTPStatus.GONE)
        return link, Response()

    def _off_to_tiktok(self, link_hash: bytes, store_code: str, browser: str) -> Response:
        browsers = self._desk.browsers
        state = browsers.new_state(store_code)
        with self._desk.ledger() as ledger:
            begun = ledger.begin(
                link_hash,
                state_hash=hash_of(state),
                browser_hash=hash_of(browser),
                life=browsers.attempt_life,
            )
        if begun is None:
            return self._desk.pages.message("replaced", HTTPStatus.GONE)
        log.info("connect.left_for_tiktok", store_code=store_code, attempt_id=str(begun))
        verifier = browsers.code_verifier(state)
        return _see(self._desk.consent.authorize_url(state, verifier))

    def _attempt(self, attempt_id: UUID, browser: str | None) -> Attempt | None:
        if browser is None:
            return None
        with self._desk.ledger() as ledger:
            return ledger.attempt(attempt_id, hash_of(browser))

    def _token(self, browser: str, attempt_id: UUID, question: str) -> str:
        return self._desk.browsers.form_token(browser, f"{attempt_id} {question}")

    def _question(
        self, attempt: Attempt, browser: str, attempt_id: UUID, again: dict[str, str] | None
    ) -> Response:
        missing = self._desk.settings.scopes - split_scope(attempt.scope or "")
        return self._desk.pages.page(
            "question",
            store_name=attempt.store_name,
            store_code=attempt.store_code,
            account=account_names(attempt.username, attempt.display_name),
            replaces=attempt.verdict == "replaces",
            present=account_names(attempt.present_username, attempt.present_display_name),
            missing=scope_lines(missing),
            form_token=self._token(browser, attempt_id, attempt.verdict),
            again=again if missing else None,
            path=ATTEMPT_PATH.format(attempt_id=attempt_id),
        )

    def _done(self, attempt: Attempt, again: dict[str, str] | None) -> Response:
        granted = split_scope(attempt.scope or "")
        return self._desk.pages.page(
            "done",
            store_name=attempt.store_name,
            account=account_names(attempt.username, attempt.display_name),
            granted=scope_lines(granted),
            missing=scope_lines(self._desk.settings.scopes - granted),
            again=again,
        )

    def _wrong_account(
        self,
        attempt: Attempt,
        names: tuple[str | None, str | None] | None,
        again: dict[str, str] | None,
    ) -> Response:
        return self._desk.pages.page(
            "wrong_account",
            store_name=attempt.store_name,
            account=account_names(*names) if names else [],
            expected=attempt.expected_account,
            is_unknown=names is not None and names[0] is None,
            again=again,
        )


def _how_it_ended(attempt: Attempt) -> tuple[str, HTTPStatus] | None:
    """The text for an attempt that connected nothing; ``None`` = it waits for an answer."""
    if attempt.outcome == "expired" or not (attempt.outcome or attempt.is_waiting):
        return "attempt_expired", HTTPStatus.GONE
    if attempt.outcome is not None:
        return attempt.outcome, HTTPStatus.OK
    if attempt.link_state in _ENDED:
        return attempt.link_state, HTTPStatus.GONE
    return None


def _leaving(token: str) -> str:
    return f"leave {hash_of(token).hex()}"


def _see(address: str) -> Response:
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)
