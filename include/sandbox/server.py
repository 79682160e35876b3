"""How is the sandbox served: its listening socket and its uvicorn server."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import uvicorn

from include.sandbox.wire.connection import OpenConnection

if TYPE_CHECKING:
    from fastapi import FastAPI

    from include.sandbox.settings import SandboxSettings

_BACKLOG = 2_048


def listen(settings: SandboxSettings) -> socket.socket:
    """A bound loopback socket, so that a taken port shows before anything starts.

    Raises:
        OSError: The address is in use or not available.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with contextlib.ExitStack() as undo:
        listener = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        # Two sandboxes may both bind a free port with SO_REUSEADDR; only one may listen.
        listener.listen(_BACKLOG)
        undo.pop_all()
    return listener


def url_of(listener: socket.socket) -> str:
    """Base URL of a bound socket, without a trailing slash."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(app: FastAPI) -> uvicorn.Server:
    """A quiet server that stops within about a second, calls in flight or not."""
    config = uvicorn.Config(
        app,
        http=OpenConnection,
        access_log=False,
        log_level="warning",
        backlog=_BACKLOG,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    return uvicorn.Server(config)
