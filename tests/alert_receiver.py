"""A channel on this machine: what Apprise's ``json://`` sends, as a test can look at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "s3cr3t-of-the-channel"
"""The password within the channel's URL; must appear nowhere."""


@dataclass
class Receiver:
    """The channel.

    Attributes:
        port: Where it listens.
        messages: What arrived, as Apprise's JSON; also what was refused.
        status: What it answers.
        refusals: How many messages to come are answered with an error whatever ``status`` is.
        most: Characters of a text beyond which a message is refused; 0 = any number.
    """

    port: int
    messages: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    refusals: int = 0
    most: int = 0

    @property
    def url(self) -> str:
        """Its Apprise URL."""
        return f"json://ops:{SECRET}@127.0.0.1:{self.port}/hook"

    def connection(self, *more: str) -> str:
        """An Airflow connection with this channel and others, as JSON."""
        config = [{"path": url} for url in (self.url, *more)]
        return json.dumps({"conn_type": "apprise", "extra": {"config": config}})


@contextmanager
def alert_receiver() -> Iterator[Receiver]:
    """A channel that listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            message = json.loads(body)
            receiver.messages.append(message)
            refused = receiver.refusals > 0
            receiver.refusals -= refused
            longest = max(len(text) for text in message.values() if isinstance(text, str))
            if receiver.most and longest > receiver.most:
                self.send_response(400)
            else:
                self.send_response(500 if refused else receiver.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_address[1])
        # Else it looks only every half second whether it should stop.
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield receiver
        finally:
            server.shutdown()
