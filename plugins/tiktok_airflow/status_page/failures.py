"""What a person sees when a page cannot be shown: the cause and the next step."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from include.tiktok_sync.errors import SyncError
from tiktok_airflow.status_page.airflow_rest import AirflowRefusedError
from tiktok_airflow.status_page.buttons.csrf import CsrfError
from tiktok_airflow.status_page.rendering.look import Look

_HEADLINES = {
    status.HTTP_401_UNAUTHORIZED: "Log in first",
    status.HTTP_403_FORBIDDEN: "Not allowed",
    status.HTTP_404_NOT_FOUND: "Not found",
    status.HTTP_405_METHOD_NOT_ALLOWED: "Nothing was done",
    status.HTTP_413_CONTENT_TOO_LARGE: "Too much at once",
}
_SERVER_ERRORS = 500


def add_handlers(app: FastAPI) -> None:
    """Answer the app's errors with pages."""

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        message = str(error.detail)
        if error.status_code == status.HTTP_401_UNAUTHORIZED:
            message = "This page is for users of Airflow. Log in to Airflow, then load it again."
        if error.status_code == status.HTTP_405_METHOD_NOT_ALLOWED:
            message = "What a button showed is shown once. Go back to its page and press it again."
        return await _failure(request, error.status_code, message)

    @app.exception_handler(CsrfError)
    async def forged(request: Request, error: CsrfError) -> Response:
        return await _failure(request, status.HTTP_403_FORBIDDEN, str(error))

    @app.exception_handler(AirflowRefusedError)
    async def refused(request: Request, error: AirflowRefusedError) -> Response:
        shown = error.status if error.status < _SERVER_ERRORS else status.HTTP_502_BAD_GATEWAY
        return await _failure(request, shown, f"{error}")

    @app.exception_handler(SyncError)
    async def broken(request: Request, error: SyncError) -> Response:
        return await _failure(request, status.HTTP_503_SERVICE_UNAVAILABLE, str(error))


async def _failure(request: Request, code: int, message: str) -> Response:
    headline = _HEADLINES.get(code, "The status cannot be shown")
    return await run_in_threadpool(Look(request).failure, code, headline, message)
