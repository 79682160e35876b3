"""A server that takes every call and never answers: a token endpoint that hangs."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from include.local.ports import HOST


class SilentServer:
    """Accepts connections and keeps them open without a word.

    Attributes:
        url: Its base URL.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0), backlog=128)
        self.url = f"http://{HOST}:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def calls(self) -> int:
        """How many connections are waiting for an answer, or did."""
        return len(self._open)

    def close(self) -> None:
        """Hang up on everybody, and take no more calls."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                self._open.append(self._listener.accept()[0])


@contextlib.contextmanager
def silent_server() -> Iterator[SilentServer]:
    """One for the length of a ``with`` block, unless it is closed before."""
    server = SilentServer()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            server.close()
