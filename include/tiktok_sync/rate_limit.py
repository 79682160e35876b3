"""May I call now? One limit per endpoint for all processes, hosts and Dags, kept in Postgres.

TikTok counts calls of an endpoint in a sliding minute (developers.tiktok.com, "Rate limits").
A ring of the last N grants is that window exactly: call number k takes place k modulo N and may
go when that place's last call is a minute old. The grants of one place lie a minute apart and
there are N places, so no 60 s span holds more than N calls, in whatever order they are granted;
a burst up to the limit passes at once. A worker that dies with a grant costs one unused place and
blocks nobody.

The same holds while the limit changes, and while workers with the old and the new one overlap:
the places in use are those below the larger one, so no span holds more than that many, and once a
window has passed without the larger one, no more than the smaller.
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

JITTER = timedelta(seconds=1)
"""Those whom a pause held back set off spread over this time after its end."""

# The waiting is part of the grant (jitter too), so that the ring knows when the call really goes.
_GRANT = """
INSERT INTO rate_limit_grants AS g (endpoint, place, granted_at)
SELECT %(endpoint)s, turn.grants %% %(limit)s,
       CASE WHEN turn.paused_until > clock_timestamp()
            THEN turn.paused_until + random() * %(jitter)s
            ELSE clock_timestamp() END
FROM turn
ON CONFLICT (endpoint, place) DO UPDATE
    SET granted_at = greatest(excluded.granted_at, g.granted_at + %(window)s)
RETURNING extract(epoch FROM granted_at - clock_timestamp())::float8
"""

_TAKE_PLACE = f"""
WITH turn AS (
    INSERT INTO rate_limits AS r (endpoint, grants) VALUES (%(endpoint)s, 1)
    ON CONFLICT (endpoint) DO UPDATE SET grants = r.grants + 1
    RETURNING grants, paused_until
)
{_GRANT}
"""  # noqa: S608 - two constants of this file

# Nothing to update, so neither a lock nor a write, unless there is a pause.
_TAKE_ANOTHER_IF_PAUSED = f"""
WITH turn AS (
    UPDATE rate_limits SET grants = grants + 1
    WHERE endpoint = %(endpoint)s AND paused_until > clock_timestamp()
    RETURNING grants, paused_until
)
{_GRANT}
"""  # noqa: S608 - two constants of this file

_REST_OF_PAUSE = """
SELECT extract(epoch FROM paused_until - clock_timestamp() + random() * %(jitter)s)::float8
FROM rate_limits
WHERE endpoint = %(endpoint)s AND paused_until > clock_timestamp()
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
    """The shared limiter. All times are the database server's; no host's clock is read.

    Args:
        conn: Autocommit connection; no transaction stays open while waiting.
        per_minute: Calls a minute for each endpoint; 0 = no limit, and no call is counted then,
            but a pause still holds for everyone.
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

        One round trip for a call that may go at once. One that had to wait looks again before it
        goes: a pause may have begun meanwhile, and then it takes a new place behind it; the old
        one stays unused.

        Returns:
            Seconds waited.
        """
        waited_s = 0.0
        wait_s = self._ask(_TAKE_PLACE if self._per_minute else _REST_OF_PAUSE, endpoint)
        while wait_s > 0:
            self._sleep(wait_s)
            waited_s += wait_s
            wait_s = self._ask(
                _TAKE_ANOTHER_IF_PAUSED if self._per_minute else _REST_OF_PAUSE, endpoint
            )
        return waited_s

    def pause(self, endpoint: str, seconds: float) -> None:
        """Close the endpoint for everyone for ``seconds``, and count the refusal.

        A longer pause that is under way stays as it is.
        """
        self._conn.execute(_PAUSE, {"endpoint": endpoint, "pause": timedelta(seconds=seconds)})

    def _ask(self, statement: str, endpoint: str) -> float:
        """Seconds until the call may go; 0 or less = now."""
        row = self._conn.execute(
            statement.encode(),
            {
                "endpoint": endpoint,
                "limit": self._per_minute,
                "window": WINDOW + MARGIN,
                "jitter": JITTER,
            },
        ).fetchone()
        return row[0] if row else 0.0
