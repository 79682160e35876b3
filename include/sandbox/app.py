"""Which application is served: all routes on one FastAPI app."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fastapi import FastAPI

from include.sandbox.admin import admin_routes
from include.sandbox.api import display_routes
from include.sandbox.authorize import authorize_routes
from include.sandbox.oauth import oauth_routes
from include.sandbox.runtime import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from include.sandbox.settings import SandboxSettings


def build_app(settings: SandboxSettings) -> FastAPI:
    """The sandbox as an ASGI application; `app.state.sandbox` is its `Sandbox`.

    The state file opens here and closes at the application's shutdown. Paths without their trailing
    slash are 404, as on TikTok's Business API; TikTok does not say for this one.

    Args:
        settings: How to behave.

    Raises:
        SettingsError: The state file cannot be used.
    """
    sandbox = Sandbox(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            sandbox.close()

    app = FastAPI(
        title="TikTok sandbox",
        routes=[
            *display_routes(sandbox),
            *oauth_routes(sandbox),
            *authorize_routes(sandbox),
            *admin_routes(sandbox),
        ],
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.sandbox = sandbox
    return app
