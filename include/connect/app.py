"""Which application is served: routes, error pages, and the middleware around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from include.connect.context import ConnectContext
from include.connect.middleware import SecurityMiddleware
from include.connect.pages import FOLDER, Pages
from include.connect.routes import READ_METHODS, manager_routes
from include.connect.settings import HEALTH_PATH, ConnectSettings
from include.connect.webhook import webhook_routes
from include.tiktok_sync.errors import SyncError

log = structlog.get_logger(__name__)

_SWEEP_SECONDS = 60.0


def build_app(settings: ConnectSettings) -> ASGIApp:
    """The connect app as an ASGI application. It opens no connection until it is used.

    Args:
        settings: The app's settings.
    """
    context = ConnectContext(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(context))
        try:
            yield
        finally:
            sweeping.cancel()

    app = FastAPI(
        title="Connect TikTok",
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(manager_routes(context))
    app.include_router(webhook_routes(context))
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))

    @app.api_route(HEALTH_PATH, methods=READ_METHODS)
    def health() -> Response:
        return PlainTextResponse("ok\n")

    @app.api_route("/favicon.ico", methods=READ_METHODS)
    def favicon() -> Response:
        return Response(status_code=HTTPStatus.NO_CONTENT)

    for error, handler in _handlers(context.pages).items():
        app.add_exception_handler(error, handler)
    return SecurityMiddleware(app, settings, context.pages)


def _handlers(
    pages: Pages,
) -> dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]:
    """Pages for errors; none of them shows the error itself."""

    async def not_found(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
        if status != HTTPStatus.METHOD_NOT_ALLOWED:
            return pages.message("not_found", status)
        headers = {"Allow": _allowed(request)}
        if request.method == "OPTIONS":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        page = pages.message("not_found", status)
        page.headers.update(headers)
        return page

    async def bad_request(_: Request, __: Exception) -> Response:
        return pages.message("bad_request")

    async def our_fault(request: Request, error: Exception) -> Response:
        # The path holds the link's token: never in the log.
        detail = error.detail if isinstance(error, SyncError) else None
        log.error("connect.error", method=request.method, reason=str(error), detail=detail)
        return pages.message("our_fault", HTTPStatus.SERVICE_UNAVAILABLE)

    async def bug(_: Request, __: Exception) -> Response:
        return pages.message("our_fault", HTTPStatus.INTERNAL_SERVER_ERROR)

    return {
        HTTPException: not_found,
        RequestValidationError: bad_request,
        SyncError: our_fault,
        Exception: bug,  # the server logs its traceback
    }


def _allowed(request: Request) -> str:
    """The methods of an address, over all its routes; files are mounted, without a list of them."""
    methods = {"OPTIONS"}
    scope = {**request.scope, "root_path": ""}  # a mount leaves its own path there
    for route in request.app.routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods |= set(getattr(route, "methods", None) or READ_METHODS)
    return ", ".join(sorted(methods))


async def _sweep(context: ConnectContext) -> None:
    """Delete tokens whose question was never answered, even while no manager visits."""
    while True:
        try:
            await asyncio.to_thread(_sweep_once, context)
        except Exception as error:  # noqa: BLE001 - the next round must come; a text may hold a row
            reason = str(error) if isinstance(error, SyncError) else type(error).__name__
            log.warning("connect.sweep_failed", reason=reason)
        await asyncio.sleep(_SWEEP_SECONDS)


def _sweep_once(context: ConnectContext) -> None:
    with context.database() as database:
        ended = database.sweep()
    if ended:
        log.info("connect.swept", attempts=ended)
