"""Which application is served: all routes on one FastAPI app."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fastapi import FastAPI

from include.sandbox.admin.routes import admin_routes
from include.sandbox.business.limits import BusinessLimits
from include.sandbox.business.routes import business_routes
from include.sandbox.endpoints.authorize import authorize_routes
from include.sandbox.endpoints.display import display_routes
from include.sandbox.endpoints.oauth import oauth_routes
from include.sandbox.faults.switch import FaultSwitch
from include.sandbox.state import SandboxState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from include.sandbox.settings import SandboxSettings


def build_app(settings: SandboxSettings) -> FastAPI:
    """The sandbox as an ASGI application; `app.state` has its `sandbox`, `faults` and `limits`.

    The state file opens here and closes at the application's shutdown. Paths without their trailing
    slash are 404, as on TikTok's Accounts API; TikTok does not say for this one.

    Args:
        settings: How to behave.

    Raises:
        SettingsError: The state file cannot be used.
    """
    sandbox = SandboxState(settings)
    faults = FaultSwitch(sandbox)
    limits = BusinessLimits(sandbox)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            sandbox.close()

    app = FastAPI(
        title="TikTok sandbox",
        routes=[
            *display_routes(sandbox, faults),
            *oauth_routes(sandbox, faults),
            *business_routes(sandbox, faults, limits),
            *authorize_routes(sandbox),
            *admin_routes(sandbox, faults, limits),
        ],
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.sandbox, app.state.faults, app.state.limits = sandbox, faults, limits
    return app
