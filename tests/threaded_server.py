"""A uvicorn server in a thread of the tests' own process, which stops without a wait.

uvicorn looks every 0.1 s whether it should stop, and then sleeps for 0.1 s before it looks whether
its connections are closed. Hundreds of tests have a server of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time

import uvicorn

_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.002


class ThreadedServer(uvicorn.Server):
    """A server for one test.

    Args:
        config: Of the server; an app's own is its ``uvicorn.Server.config``.
        listener: A socket that listens; closed by :meth:`stop`.
    """

    _loop: asyncio.AbstractEventLoop
    _told: asyncio.Event

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self.run, args=([listener],), daemon=True)

    def start(self) -> None:
        """Serve; returns once calls are answered.

        Raises:
            RuntimeError: It does not start.
        """
        self._thread.start()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._ready.wait(0.1):
            if time.monotonic() > deadline or not self._thread.is_alive():
                message = "the server did not start"
                raise RuntimeError(message)

    def stop(self) -> None:
        """Stop serving; calls in flight have the config's ``timeout_graceful_shutdown`` to end.

        Raises:
            RuntimeError: It does not stop.
        """
        self.should_exit = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join(_PATIENCE_SECONDS)
        self._listener.close()
        if self._thread.is_alive():
            message = "the server did not stop"
            raise RuntimeError(message)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does; then it can be stopped."""
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)
        self._ready.set()

    async def main_loop(self) -> None:
        """Wait for :meth:`stop`; renew the header Date each second."""
        while not await self.on_tick(0):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, without its fixed sleep: idle connections close at once."""
        for listening in self.servers:
            listening.close()
        for each in sockets or []:
            each.close()
        state = self.server_state
        for _ in range(5):
            await asyncio.sleep(0)  # what was accepted a moment ago becomes a connection
        end = time.monotonic() + (self.config.timeout_graceful_shutdown or _PATIENCE_SECONDS)
        # uvicorn sets no event.
        while (state.connections or state.tasks) and time.monotonic() < end:
            for connection in list(state.connections):
                connection.shutdown()
            await asyncio.sleep(_LOOK_SECONDS)
        for task in state.tasks:
            task.cancel()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # aborted ones close
        await self.lifespan.shutdown()
