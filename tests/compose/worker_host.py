"""A worker's machine of its own: a network namespace with one wire, which can be cut.

The services of the stack listen on loopback. Relays on this end of the wire pass connections on to
them, so that the worker's namespace reaches them by the address of this end, as another machine
would.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from typing_extensions import Self

from include.local.ports import HOST

RELAY = Path(__file__).with_name("relay.py")

_NUMBER = 213
HERE, THERE = f"10.{_NUMBER}.0.1", f"10.{_NUMBER}.0.2"


class WorkerHost:
    """A context manager; needs root.

    Args:
        ports: Loopback ports that the namespace may reach.
    """

    name = "tiktok-worker"

    def __init__(self, ports: Iterable[int]) -> None:
        self._ports = list(ports)
        self._relay: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._ip("netns", "add", self.name)
        self._ip("link", "add", "tiktok-here", "type", "veth", "peer", "name", "tiktok-there")
        self._ip("link", "set", "tiktok-there", "netns", self.name)
        self._ip("addr", "add", f"{HERE}/24", "dev", "tiktok-here")
        self._ip("link", "set", "tiktok-here", "up")
        inside = ("-n", self.name)
        self._ip(*inside, "addr", "add", f"{THERE}/24", "dev", "tiktok-there")
        self._ip(*inside, "link", "set", "tiktok-there", "up")
        self._ip(*inside, "link", "set", "lo", "up")
        self._relay = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, str(RELAY), HERE, *map(str, self._ports)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._relay.stdout is not None
        assert self._relay.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        if self._relay:
            self._relay.kill()
            self._relay.communicate()
        self._ip("link", "del", "tiktok-here")
        self._ip("netns", "del", self.name)

    def prefix(self) -> list[str]:
        """Before a command that is to run there."""
        return ["ip", "netns", "exec", self.name]

    def address(self, text: str) -> str:
        """A text with the addresses that are right over there."""
        for port in self._ports:
            text = text.replace(f"{HOST}:{port}", f"{HERE}:{port}")
        return text

    def cut(self) -> None:
        """Cut the wire, as when a cable is pulled: open connections hang, new ones are refused."""
        self._ip("link", "set", "tiktok-here", "down")

    def mend(self) -> None:
        """Join it again; TCP sends again what was sent meanwhile."""
        self._ip("link", "set", "tiktok-here", "up")

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)  # noqa: S603, S607 - fixed words, the system's ip
