"""Everything a unit test of the core needs: no database, and no network but the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from include.tiktok_sync.tiktok.client import TikTokClient
from include.tiktok_sync.tiktok.http import HttpTransport, Timeouts
from tests.unit.tiktok_sync.scripted import Limiter, ScriptedServer, Tokens


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A scripted server; give it `replies` first."""
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, which pass at once."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def http(server: ScriptedServer) -> Iterator[HttpTransport]:
    """A transport to the scripted server."""
    transport = HttpTransport(server.url, Timeouts(connect_s=5, read_s=10))
    yield transport
    transport.close()


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def limiter() -> Limiter:
    return Limiter()


@pytest.fixture
def client(
    http: HttpTransport,
    tokens: Tokens,
    limiter: Limiter,
    waits: list[float],  # noqa: ARG001 - its pauses pass at once
) -> TikTokClient:
    """A client of the scripted server that does not really wait."""
    return TikTokClient(http, tokens=tokens, limiter=limiter)
