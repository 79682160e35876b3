"""Which paths does the second API have? A path without its last slash is no path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse
from starlette.routing import Route

from include.sandbox.business import oauth, reads
from include.sandbox.endpoints.pipeline import api_route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from include.sandbox.business.limits import BusinessLimits
    from include.sandbox.endpoints.pipeline import FaultPlan, Handler
    from include.sandbox.state import SandboxState


def business_routes(
    sandbox: SandboxState, faults: FaultPlan, limits: BusinessLimits
) -> list[Route]:
    """All its endpoints; none if the app is off."""
    if sandbox.settings.business is None:
        return []
    table: tuple[tuple[str, str, str, Handler], ...] = (
        ("business_get", "GET", reads.GET_PATH, reads.get),
        ("business_get", "POST", reads.GET_PATH, reads.nothing),
        ("business_video_list", "GET", reads.VIDEO_LIST_PATH, reads.video_list),
        ("business_video_list", "POST", reads.VIDEO_LIST_PATH, reads.nothing),
        ("business_benchmark", "GET", reads.BENCHMARK_PATH, reads.benchmark),
        ("business_token", "POST", oauth.TOKEN_PATH, oauth.token),
        ("business_refresh", "POST", oauth.REFRESH_PATH, oauth.refresh),
        ("business_revoke", "POST", oauth.REVOKE_PATH, oauth.revoke),
        ("business_token_info", "POST", oauth.TOKEN_INFO_PATH, oauth.token_info),
    )
    return [
        *(
            api_route(sandbox, name, method, path, handler, faults=faults, gate=limits.gate)
            for name, method, path, handler in table
        ),
        Route("/open_api/{rest:path}", _no_path, methods=["GET", "POST"]),
    ]


async def _no_path(_: Request) -> Response:
    return PlainTextResponse("404 page not found", 404)
