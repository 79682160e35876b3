from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox_server import SandboxServer, running_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A fresh sandbox of 20 stores, without latency and limit."""
    with running_sandbox(rate_limit_per_minute=0) as server:
        yield server


@pytest.fixture(scope="session")
def shared() -> Iterator[SandboxServer]:
    """The same for tests that change nothing in it."""
    with running_sandbox(rate_limit_per_minute=0) as server:
        yield server
