"""What several tests of grants begin with."""

from __future__ import annotations

import pytest

from tests.database.bench import Bench


@pytest.fixture
def expired(bench: Bench) -> Bench:
    """All 20 stores, whose access tokens have ended and whose app is not known."""
    bench.import_stores()
    bench.conn.execute("UPDATE store_tokens SET access_expires_at = now()")
    return bench
