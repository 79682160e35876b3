"""Whatever day the tests have, their Postgres has it too."""

from __future__ import annotations

from datetime import timedelta

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.store_db.database import Connection


def test_the_database_has_the_clock_of_the_tests(conn: Connection) -> None:
    found = conn.execute("SELECT clock_timestamp()").fetchone()
    assert found is not None
    assert abs(found[0] - utc_now()) < timedelta(minutes=1)
