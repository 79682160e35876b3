"""A loopback HTTP server that says what a test wrote down, and the client's two neighbours."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hypothesis import HealthCheck, settings

from include.tiktok_sync.tokens.source import TokenSource

examples = settings(
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
"""For `hypothesis`: no files, and no time limit of its own on a busy machine."""


def ok(data: Mapping[str, Any]) -> Reply:
    """A success of a data endpoint."""
    error = {"code": "ok", "message": "", "log_id": "LOG0"}
    return Reply(200, {"data": data, "error": error})


def refusal(status: int, code: str, **headers: str) -> Reply:
    """An error of a data endpoint."""
    error = {"code": code, "message": "why", "log_id": "LOG9"}
    return Reply(status, {"data": {}, "error": error}, headers)


@dataclass(frozen=True)
class Reply:
    """What to answer: `body` is sent as JSON, or as it is when it is bytes.

    With `drop_s`, it comes byte by byte, each that number of seconds after the one before; with
    `header_drop_s`, the header does.
    """

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    claimed_length: int | None = None
    delay: float = 0.0
    drop_s: float = 0.0
    header_drop_s: float = 0.0


@dataclass(frozen=True)
class Seen:
    """What arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client_port: int


class ScriptedServer:
    """Gives the replies one after the other, then the last one forever; keeps what arrived.

    Attributes:
        replies: To any call.
        replies_of: Part of the path -> replies to calls of that path, instead.
        meeting: Calls wait for each other there before they are answered.
    """

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.replies_of: dict[str, list[Reply]] = {}
        self.meeting: threading.Barrier | None = None
        self.seen: list[Seen] = []
        self.released = threading.Event()
        self.drops = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            _headers_buffer: list[bytes]

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                port = self.client_address[1]
                outer.seen.append(Seen(self.command, self.path, dict(self.headers), body, port))
                if outer.meeting:
                    outer.meeting.wait(60)
                named = (outer.replies_of[name] for name in outer.replies_of if name in self.path)
                replies = next(named, outer.replies)
                reply = replies.pop(0) if len(replies) > 1 else replies[0]
                outer.released.wait(reply.delay)
                raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body)
                data = raw if isinstance(raw, bytes) else raw.encode()
                self.send_response_only(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                size = len(data) if reply.claimed_length is None else reply.claimed_length
                self.send_header("Content-Length", str(size))
                self.drop_s = reply.header_drop_s
                self.end_headers()
                self.write(data, reply.drop_s)
                self.close_connection = size != len(data)

            def flush_headers(self) -> None:
                self.write(b"".join(self._headers_buffer), self.drop_s)
                self._headers_buffer = []

            def write(self, data: bytes, drop_s: float) -> None:
                for drop in (bytes([byte]) for byte in data) if drop_s else (data,):
                    outer.released.wait(drop_s)
                    self.wfile.write(drop)
                    outer.drops += 1

            do_GET = do_POST = do_PATCH = do_CONNECT = answer  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that hangs up early is part of some tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class Limiter:
    """A limiter that never makes anyone wait and keeps what it was given."""

    def __init__(self) -> None:
        self.acquired: list[str] = []
        self.pauses: list[tuple[str, float]] = []
        self.choices: list[str] = []

    def acquire_either(self, preferred: str, other: str, *, reserve: int) -> tuple[str, float]:
        assert reserve >= 0
        endpoint = self.choices.pop(0)
        assert endpoint in {preferred, other}
        return endpoint, 0.25

    def acquire_open(self, endpoint: str) -> bool:
        if not self.choices or self.choices[0] != endpoint:
            return False
        self.choices.pop(0)
        return True

    def acquire(self, endpoint: str) -> float:
        self.acquired.append(endpoint)
        return 0.5

    def pause(self, endpoint: str, seconds: float) -> None:
        self.pauses.append((endpoint, seconds))


class Tokens(TokenSource):
    """Tokens act.1, act.2 … without a database behind them."""

    def __init__(self) -> None:
        self.refreshes = 0

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset({"user.info.basic", "video.list"})

    def access_token(self) -> str:
        return f"act.{self.refreshes + 1}"

    def replace_rejected(self, rejected: str) -> str:
        self.refreshes += rejected == self.access_token()
        return self.access_token()
