"""No request is longer than our forms need: what is sent is counted before it is kept."""

from __future__ import annotations

from fastapi import HTTPException, status
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 1024 * 1024
"""Of a request: a CSV of some 20,000 stores."""


class BoundedBody:
    """ASGI middleware that ends the reading of a body above :data:`MOST_BYTES`.

    Forms are read before the login is looked at, so that a stranger's is bounded too.

    Args:
        app: The app inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BYTES:
                raise HTTPException(
                    status.HTTP_413_CONTENT_TOO_LARGE,
                    f"A form holds at most {MOST_BYTES // 1024**2} MiB, file included, so nothing"
                    " was done. Split the file, or load it on the command line: stores import.",
                )
            return message

        await self._app(scope, counted, send)
