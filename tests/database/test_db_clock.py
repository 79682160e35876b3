"""Whatever day the tests have, their Postgres has it too."""

from __future__ import annotations

from datetime import timedelta

from include.tiktok_sync.database import Connection
from include.tiktok_sync.snapshot import utc_now


def test_the_database_has_the_clock_of_the_tests(conn: Connection) -> None:
    found = conn.execute("SELECT clock_timestamp()").fetchone()
    assert found is not None
    assert abs(found[0] - utc_now()) < timedelta(minutes=1)
