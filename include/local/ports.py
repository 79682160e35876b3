"""Which ports are free, and who holds one that is not?"""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Collection

import psutil

from include.local.errors import ConfigError

HOST = "127.0.0.1"
PORT_RANGE = range(20_000, 32_000)
"""Below Linux's ephemeral ports (32768 and up), so that no outgoing connection takes one."""

_ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: closed connections in TIME_WAIT do not count, listeners do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def choose_port(taken: Collection[int]) -> int:
    """A random free port that is not among ``taken``.

    Raises:
        ConfigError: None was found.
    """
    for _ in range(_ATTEMPTS):
        port = secrets.choice(PORT_RANGE)
        if port not in taken and is_free(port):
            return port
    message = (
        f"No free port found between {PORT_RANGE.start} and {PORT_RANGE.stop - 1} on {HOST}. "
        "Set the *_PORT variables in .env yourself."
    )
    raise ConfigError(message)


def holder(port: int) -> str | None:
    """Name and pid of the process that listens on a port, if this user may see it.

    Never its command line, which may hold secrets of another program.
    """
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        return None
    return None
