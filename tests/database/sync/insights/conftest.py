"""The third sync on a fresh database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.tiktok_sync.store_db.database import Connection
from tests.database.sync.insights.worlds import NO_LIMITS, InsightsBench, insights_bench
from tests.sandbox_server import running_sandbox


@pytest.fixture
def world(db_url: str, conn: Connection) -> Iterator[InsightsBench]:
    """20 stores without a limit, none imported."""
    with (
        running_sandbox(rate_limit_per_minute=0, business=NO_LIMITS) as server,
        insights_bench(db_url, conn, server) as bench,
    ):
        yield bench
