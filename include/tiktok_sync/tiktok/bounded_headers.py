"""Within what time must the header lines of an answer come? Within that of one read, all of them.

A socket's time-out holds for each read, so a server that sends a byte now and then would be waited
for without end. The body has its own bound (:mod:`include.tiktok_sync.tiktok.http`).
"""

from __future__ import annotations

import time
from http.client import HTTPResponse
from io import BufferedReader
from socket import socket
from typing import Any, ClassVar

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection


class _Lines:
    """What ``http.client`` reads status and header lines from: each read must end by ``until``."""

    def __init__(self, file: BufferedReader, until: float) -> None:
        self.file = file
        self._until = until

    def readline(self, limit: int) -> bytes:
        """A line, or what there is of it at the end of the stream or after ``limit`` bytes.

        Raises:
            TimeoutError: The time is over.
        """
        line = b""
        while len(line) < limit and not line.endswith(b"\n"):
            found = self.file.peek(1)  # one read of the socket at most
            if time.monotonic() > self._until:
                raise TimeoutError
            if not found:
                break
            line += self.file.read(min(found.find(b"\n") + 1 or len(found), limit - len(line)))
        return line

    def flush(self) -> None:
        """Nothing: it is only read from; ``http.client`` calls this before it closes."""

    def close(self) -> None:
        """Close the stream."""
        self.file.close()


class _Response(HTTPResponse):
    # Of the type that it is once the header has been read, when others use it.
    fp: Any

    def __init__(self, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout_s = sock.gettimeout()
        if timeout_s is not None:
            self.fp = _Lines(self.fp, time.monotonic() + timeout_s)

    def begin(self) -> None:
        """Read the header."""
        super().begin()
        if isinstance(self.fp, _Lines):
            self.fp = self.fp.file


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class BoundedHeadersAdapter(HTTPAdapter):
    """For a ``requests.Session``: a header that does not end in time is a ``ReadTimeout``."""

    _POOLS: ClassVar[dict[str, Any]] = {"http": _Pool, "https": _SecurePool}

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Connections to the host itself."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        """Connections by way of a proxy."""
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._POOLS
        return manager
