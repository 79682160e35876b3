"""Ports: chosen free, and named when they are not."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from include.local import ports
from include.local.errors import ConfigError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(taken: int) -> None:
    assert not ports.is_free(taken)


def test_a_port_without_one_is(taken: int) -> None:
    assert ports.is_free(ports.choose_port({taken}))


def test_the_holder_is_named_without_its_command_line(taken: int) -> None:
    assert f"(pid {os.getpid()})" in (ports.holder(taken) or "")


def test_nobody_holds_a_free_port(taken: int) -> None:
    assert ports.holder(ports.choose_port({taken})) is None


def test_no_free_port_is_an_error_with_a_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _: False)

    with pytest.raises(ConfigError, match=r"No free port .* in \.env"):
        ports.choose_port(())
