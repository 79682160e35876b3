"""How the pages are made: templates, the headers of every answer, the cookie behind the buttons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.app import get_cookie_path
from fastapi import Depends, FastAPI, Request, Response
from fastapi import status as http
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.tiktok_sync import __version__
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.settings import Settings
from tiktok_airflow.status_page.access import Viewer
from tiktok_airflow.status_page.buttons.csrf import SESSION_COOKIE, CsrfGuard
from tiktok_airflow.status_page.buttons.forms import Notices, guard
from tiktok_airflow.status_page.rendering.formats import FILTERS

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
PREFIX = "/tiktok-sync"
"""Where the plugin mounts the app."""

HEADERS = {
    # Nothing but our own files; shown in a frame of Airflow's UI and nowhere else.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_TEMPLATES.filters.update(FILTERS)


def load_templates() -> None:
    """Compile every template, which is else done when it is first shown."""
    for name in _TEMPLATES.list_templates():
        _TEMPLATES.get_template(name)


class Look:
    """Makes the pages that answer one request."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._base = str(request.scope["root_path"])

    def page(
        self, template: str, user: Viewer, http_status: int = http.HTTP_200_OK, **values: Any
    ) -> Response:
        """A page for a user, with what its buttons need."""
        session = self._request.cookies.get(SESSION_COOKIE)
        answer = HTMLResponse(
            self._render(
                template,
                user=user,
                csrf_token=guard().token(user.id, session or (made := CsrfGuard.new_session())),
                notice=Notices.read(self._request),
                **values,
            ),
            status_code=http_status,
        )
        if not session:
            answer.set_cookie(
                SESSION_COOKIE,
                made,
                path=get_cookie_path(),
                httponly=True,
                secure=self._request.url.scheme == "https",
                samesite="strict",
            )
        if template != "live":
            Notices.take(self._request, answer)
        return answer

    def failure(self, status: int, headline: str, message: str) -> Response:
        """A page that says what is wrong and what to do."""
        return HTMLResponse(
            self._render(
                "failure", user=None, notice="", status=status, headline=headline, message=message
            ),
            status_code=status,
        )

    def _render(self, template: str, **values: Any) -> str:
        return _TEMPLATES.get_template(f"{template}.html.j2").render(
            base=self._base,
            airflow=self._base.removesuffix(PREFIX),
            zone=Settings.from_env().timezone,
            now=utc_now(),
            version=__version__,
            **values,
        )


LookDep = Annotated[Look, Depends(Look)]


def add_headers(app: FastAPI) -> None:
    """Give every answer of the app :data:`HEADERS`."""

    @app.middleware("http")
    async def headers(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        answer = await call_next(request)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)  # a weekly report has a policy of its own
        return answer
