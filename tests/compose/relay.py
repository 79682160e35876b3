"""``relay.py ADDRESS PORT…``: passes connections to ADDRESS on to the same ports of loopback.

A program of its own: what hangs in it when a wire is cut ends with it.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

LOOPBACK = "127.0.0.1"


async def relay(address: str, ports: list[int]) -> None:
    """Serve until the process is ended."""
    servers = [await asyncio.start_server(partial(pass_on, port), address, port) for port in ports]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def pass_on(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, both ways."""
    try:
        there, back = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, back), pump(there, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything that comes, until one of the two ends is gone."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # the other end is gone, and so is this one
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(relay(sys.argv[1], [int(port) for port in sys.argv[2:]]))
