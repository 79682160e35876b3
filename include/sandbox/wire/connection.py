"""How does an answer fail to arrive: cut off, silent in the middle, or never begun."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import struct
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from include.sandbox.wire.envelopes import UNREADABLE, SandboxAnswer

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_NO_LINGER = struct.pack("ii", 1, 0)


class OpenConnection(HttpToolsProtocol):
    """uvicorn's protocol, which lets an answer reach its connection: `request.state.transport`.

    ASGI has no message for "hang up"; raising in the middle of an answer would, but fills the log
    with tracebacks.
    """

    def on_message_begin(self) -> None:
        """Begins a request."""
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport


@dataclasses.dataclass(slots=True)
class BrokenAnswer(SandboxAnswer):
    """An answer whose connection breaks.

    Attributes:
        whole: What would have been sent; None resets the connection before anything is.
        silence: Seconds to say nothing after the first half of the body, before hanging up. A
            client that gives up ends it.
    """

    whole: SandboxAnswer | None = None
    silence: float = 0.0

    def response(self) -> Response:
        """The answer as it breaks."""
        if self.whole is None:
            return _Broken(None, 0.0)
        self.whole.headers.update(self.headers)
        return _Broken(self.whole.response(), self.silence)


def no_answer() -> BrokenAnswer:
    """A connection reset before a byte was sent."""
    return BrokenAnswer(0, "no_answer", {})


def half_answer(whole: SandboxAnswer, silence: float = 0.0) -> BrokenAnswer:
    """Headers and half of a body, then the end of the connection.

    Args:
        whole: What would have been sent.
        silence: Seconds between the half and the end.
    """
    return BrokenAnswer(whole.status, UNREADABLE, {}, whole=whole, silence=silence)


class _Broken(Response):
    def __init__(self, whole: Response | None, silence: float) -> None:
        super().__init__()
        self._whole = whole
        self._silence = silence

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope["state"]["transport"]
        # Only the end of the server cancels a call, maybe twice; it must not wait for a silence.
        with contextlib.suppress(asyncio.CancelledError):
            await self._break(transport, receive, send)
        with contextlib.suppress(asyncio.CancelledError):
            # uvicorn takes an unfinished answer for a defect, unless it knows that nobody listens.
            await _hung_up(receive)

    async def _break(self, transport: asyncio.Transport, receive: Receive, send: Send) -> None:
        if self._whole is None:
            _reset(transport)
            return
        await self._send_half(self._whole, send)
        try:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(_hung_up(receive), self._silence)
        finally:
            transport.close()  # flushes; what was sent does arrive

    @staticmethod
    async def _send_half(whole: Response, send: Send) -> None:
        half = bytes(whole.body)[: len(whole.body) // 2]
        start: dict[str, Any] = {
            "type": "http.response.start",
            "status": whole.status_code,
            "headers": whole.raw_headers,
        }
        await send(start)
        await send({"type": "http.response.body", "body": half, "more_body": True})


def _reset(transport: asyncio.Transport) -> None:
    # Without lingering, closing sends RST: the client's "connection reset by peer".
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
