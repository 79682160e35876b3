"""The buttons' forms: who may press them, did our page send them, and which answer is shown?"""

from __future__ import annotations

from functools import cache
from typing import Annotated
from urllib.parse import quote, unquote

from airflow.api_fastapi.app import get_cookie_path
from airflow.api_fastapi.auth.tokens import get_signing_key
from airflow.configuration import conf
from fastapi import Depends, Form, HTTPException, Request, Response, status
from fastapi.responses import RedirectResponse

from tiktok_airflow.status_page.access import ViewerDep
from tiktok_airflow.status_page.buttons.csrf import (
    SESSION_COOKIE,
    CsrfGuard,
    check_origin,
    origin_of,
)

_NOTICE_COOKIE = "tiktok_sync_notice"
_NOTICE_SECONDS = 60


@cache
def guard() -> CsrfGuard:
    """Signs with the secret that all processes of Airflow's API server share."""
    return CsrfGuard(get_signing_key("api", "secret_key"))


class CheckedForm:
    """A form that came from our page, shown to the user who sends it.

    Attributes:
        base: Path of this app, for addresses.
    """

    def __init__(self, base: str) -> None:
        self.base = base

    def require(self, *, allowed: bool, what: str) -> None:
        """Refuse a user who may not.

        Raises:
            HTTPException: 403.
        """
        if not allowed:
            raise HTTPException(
                status.HTTP_403_FORBIDDEN,
                f"You may not {what} in Airflow. Ask somebody who may, or an administrator.",
            )


def checked_form(
    request: Request,
    user: ViewerDep,
    csrf_token: Annotated[str, Form()] = "",
) -> CheckedForm:
    """The form of a request.

    Raises:
        CsrfError: It is not to be trusted.
    """
    own = {origin_of(str(request.url)), origin_of(conf.get("api", "base_url", fallback=""))}
    check_origin(request.headers, own - {""})
    guard().check(csrf_token, user.id, request.cookies.get(SESSION_COOKIE))
    return CheckedForm(request.scope["root_path"])


FormDep = Annotated[CheckedForm, Depends(checked_form)]


def back(form: CheckedForm, path: str, done: str) -> Response:
    """Lead to another page, which says what was done."""
    answer = RedirectResponse(form.base + path, status_code=status.HTTP_303_SEE_OTHER)
    Notices.leave(answer, done)
    return answer


class Notices:
    """What a button did, kept for the page that comes next."""

    @staticmethod
    def leave(answer: Response, text: str) -> None:
        """Keep it."""
        answer.set_cookie(
            _NOTICE_COOKIE,
            quote(text),
            max_age=_NOTICE_SECONDS,
            path=get_cookie_path(),
            httponly=True,
            samesite="strict",
        )

    @staticmethod
    def take(request: Request, answer: Response) -> None:
        """Say it once."""
        if _NOTICE_COOKIE in request.cookies:
            answer.delete_cookie(_NOTICE_COOKIE, path=get_cookie_path())

    @staticmethod
    def read(request: Request) -> str:
        """The messages to show; empty = none."""
        return unquote(request.cookies.get(_NOTICE_COOKIE, ""))
