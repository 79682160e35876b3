"""May I call now? One limit per endpoint for all processes, hosts and Dags, kept in Postgres.

TikTok counts calls of an endpoint in a sliding minute (developers.tiktok.com, "Rate limits").
A ring of the last N grants is that window exactly: call number k may go when call k-N is a
minute old. A burst up to the limit passes at once, no 60 s span holds more than N grants, and a
worker that dies with a grant costs one unused place and blocks nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from include.tiktok_sync.database import Connection

WINDOW = timedelta(seconds=60)
"""TikTok's window."""

MARGIN = timedelta(seconds=1)
"""Added to the window: a call reaches TikTok a little after its grant, the next one sooner."""

_TAKE_PLACE = """
WITH turn AS (
    INSERT INTO rate_limits AS r (endpoint, grants) VALUES (%(endpoint)s, 1)
    ON CONFLICT (endpoint) DO UPDATE SET grants = r.grants + 1
    RETURNING grants, paused_until
)
INSERT INTO rate_limit_grants AS g (endpoint, place, granted_at)
SELECT %(endpoint)s, turn.grants %% %(limit)s, greatest(clock_timestamp(), turn.paused_until)
FROM turn
ON CONFLICT (endpoint, place) DO UPDATE
    SET granted_at = greatest(excluded.granted_at, g.granted_at + %(window)s)
RETURNING extract(epoch FROM granted_at - clock_timestamp())::float8
"""

_PAUSE = """
INSERT INTO rate_limits AS r (endpoint, grants, paused_until, refusals)
VALUES (%(endpoint)s, 0, clock_timestamp() + %(pause)s, 1)
ON CONFLICT (endpoint) DO UPDATE
    SET paused_until = greatest(r.paused_until, excluded.paused_until),
        refusals = r.refusals + 1
"""


class RateLimiter(Protocol):
    """What the client needs of a limiter."""

    def acquire(self, endpoint: str) -> float:
        """Wait for a place; returns the seconds waited."""

    def pause(self, endpoint: str, seconds: float) -> None:
        """TikTok answered 429: nobody calls this endpoint for so long."""


class PostgresRateLimiter:
    """The shared limiter.

    Args:
        conn: Autocommit connection; no transaction stays open while waiting.
        per_minute: Calls a minute for each endpoint; 0 = no limit, pauses are not shared then.
        sleep: For tests.
    """

    def __init__(
        self, conn: Connection, per_minute: int, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._conn = conn
        self._per_minute = per_minute
        self._sleep = sleep

    def acquire(self, endpoint: str) -> float:
        """Take the next place of the endpoint's ring and wait until it opens.

        Returns:
            Seconds waited.
        """
        if not self._per_minute:
            return 0.0
        row = self._conn.execute(
            _TAKE_PLACE,
            {"endpoint": endpoint, "limit": self._per_minute, "window": WINDOW + MARGIN},
        ).fetchone()
        wait_s = max(0.0, row[0]) if row else 0.0
        if wait_s:
            self._sleep(wait_s)
        return wait_s

    def pause(self, endpoint: str, seconds: float) -> None:
        """Close the endpoint for everyone for ``seconds``, and count the refusal."""
        self._conn.execute(_PAUSE, {"endpoint": endpoint, "pause": timedelta(seconds=seconds)})
        if not self._per_minute:
            self._sleep(seconds)
