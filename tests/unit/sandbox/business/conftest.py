from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from tests.sandbox_server import running_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox_server import SandboxServer

#: The world depends on the day; on this one it has some of everything.
DAY = dt.date(2027, 6, 15)
LIFTED = {"per_second": 0, "per_minute": 0, "per_account_minute": 0}


@pytest.fixture
def business() -> Iterator[SandboxServer]:
    """A fresh sandbox of 20 stores that serves the second API, without limits."""
    with running_sandbox(rate_limit_per_minute=0, date=DAY, business=LIFTED) as server:
        yield server


@pytest.fixture(scope="package")
def unchanged() -> Iterator[SandboxServer]:
    """The same with 60 stores, for tests that change nothing in it."""
    with running_sandbox(rate_limit_per_minute=0, date=DAY, stores=60, business=LIFTED) as server:
        for code in server.sandbox.codes()[3::4]:  # whose tokens have expired
            grant = {"access_expires_in": 3_600}
            server.admin("POST", f"/stores/{code}/grant?api=business", json=grant)
        yield server
