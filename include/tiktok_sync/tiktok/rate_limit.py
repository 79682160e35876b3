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

A database clock that was ahead and is put right leaves places that lie hours away. Each place
therefore says how long its call had to wait when it was granted: the call goes no later than that
from now on, as it was granted before now. So a place is never further away than a window and the
queue that was there before it, and no place is ever given back too early. A clock that was behind
leaves places that look over: in the minute in which it is put right, twice the limit may pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import MAX_RETRY_AFTER_S
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok.rate_limit_sql import (
    PAUSE,
    REST_OF_PAUSE,
    REST_OF_SHORTER_PAUSE,
    TAKE_ANOTHER_IF_PAUSED,
    TAKE_OPEN_PLACE,
    TAKE_PLACE,
    TAKE_PLACE_AT_EITHER,
)
from include.tiktok_sync.tiktok.time_left import TimeLeft

log = structlog.get_logger(__name__)

WINDOW = timedelta(seconds=60)
"""TikTok's window."""

MARGIN = timedelta(seconds=1)
"""Added to the window: a call reaches TikTok a little after its grant, the next one sooner."""

JITTER = timedelta(seconds=1)
"""Those whom a pause held back set off spread over this time after its end."""

MAX_PAUSE = timedelta(seconds=MAX_RETRY_AFTER_S)

LONG_WAIT_S = 60.0
"""A wait that is longer is logged."""


class RateLimiter(Protocol):
    """What the client needs of a limiter."""

    def acquire(self, endpoint: str) -> float:
        """Wait for a place; returns the seconds waited."""

    def acquire_either(self, preferred: str, other: str, *, reserve: int) -> tuple[str, float]:
        """Wait for one place, at whichever endpoint lets the call go first.

        Args:
            preferred: Chosen while it has more than ``reserve`` open places.
            other: Chosen when both let the call go at the same time.
            reserve: Places of ``preferred`` to be left for others.

        Returns:
            The endpoint whose place was taken, and the seconds waited.
        """

    def acquire_open(self, endpoint: str) -> bool:
        """Take a place if there is one that need not be waited for; returns whether."""

    def pause(self, endpoint: str, seconds: float) -> None:
        """TikTok answered 429: nobody calls this endpoint for so long."""


class PostgresRateLimiter:
    """The shared limiter. All times are the database server's; no host's clock is read.

    Args:
        conn: Autocommit connection; no transaction stays open while waiting.
        per_minute: Calls a minute for each endpoint; 0 = no limit, and no call is counted then,
            but a pause still holds for everyone.
        time_left: Of the try that asks; a wait that goes beyond it fails at once.
        sleep: For tests.
        window: After which a place may be used again, if it is no minute.
        max_pause: The longest pause.
    """

    def __init__(
        self,
        conn: Connection,
        per_minute: int,
        *,
        time_left: TimeLeft | None = None,
        sleep: Callable[[float], None] = time.sleep,
        window: timedelta | None = None,
        max_pause: timedelta = MAX_PAUSE,
    ) -> None:
        self._conn = conn
        self._window = WINDOW + MARGIN if window is None else window
        self._max_pause = max_pause
        self._per_minute = per_minute
        self._time_left = time_left or TimeLeft()
        self._sleep = sleep

    def acquire(self, endpoint: str) -> float:
        """Take the next place of the endpoint's ring and wait until it opens.

        One round trip for a call that may go at once. One that had to wait looks again before it
        goes: a pause may have begun meanwhile, and then it takes a new place behind it; the old
        one stays unused.

        A wait of more than a minute is logged once, with its reason.

        Returns:
            Seconds waited.

        Raises:
            OutOfTimeError: The place opens too late for this try; it stays unused.
        """
        waited_s = 0.0
        _, wait_s = self._ask(TAKE_PLACE if self._per_minute else REST_OF_PAUSE, endpoint=endpoint)
        while wait_s > 0:
            self._wait(endpoint, wait_s, is_said=waited_s > LONG_WAIT_S)
            waited_s += wait_s
            _, wait_s = self._ask(
                TAKE_ANOTHER_IF_PAUSED if self._per_minute else REST_OF_PAUSE, endpoint=endpoint
            )
        return waited_s

    def acquire_either(self, preferred: str, other: str, *, reserve: int) -> tuple[str, float]:
        """Take the next place of one of two endpoints' rings and wait until it opens.

        Which one is decided, and the place taken, in one round trip: ``preferred`` while it has
        more than ``reserve`` open places, else the one whose next place opens first, else
        ``other``. A pause that begins during the wait leaves the place unused, and the choice is
        made again.

        Returns:
            The endpoint whose place was taken, and the seconds waited.

        Raises:
            OutOfTimeError: The place opens too late for this try; it stays unused.
        """
        waited_s = 0.0
        choose = TAKE_PLACE_AT_EITHER if self._per_minute else REST_OF_SHORTER_PAUSE
        while True:
            endpoint, wait_s = self._ask(
                choose, preferred=preferred, other=other, reserve=min(reserve, self._per_minute)
            )
            if wait_s <= 0:
                return endpoint, waited_s
            self._wait(endpoint, wait_s, is_said=waited_s > LONG_WAIT_S)
            waited_s += wait_s
            if self._ask(REST_OF_PAUSE, endpoint=endpoint)[1] <= 0:
                return endpoint, waited_s

    def acquire_open(self, endpoint: str) -> bool:
        """Take a place of the endpoint's ring if the call may go at once.

        Returns:
            Whether one was taken; of an endpoint that nobody has called yet, none is.
        """
        if not self._per_minute:
            return self.rest_of_pause(endpoint) <= 0
        row = self._row(TAKE_OPEN_PLACE, endpoint=endpoint)
        return row is not None and row[1] <= 0

    def pause(self, endpoint: str, seconds: float) -> None:
        """Close the endpoint for everyone for ``seconds``, and count the refusal.

        A longer pause that is under way stays as it is; none is longer than ``max_pause``.
        """
        pause = min(timedelta(seconds=seconds), self._max_pause)
        values = {"endpoint": endpoint, "pause": pause, "max_pause": self._max_pause}
        self._conn.execute(PAUSE, values)

    def rest_of_pause(self, endpoint: str) -> float:
        """Seconds until the endpoint's pause ends; 0 = there is none."""
        row = self._conn.execute(
            REST_OF_PAUSE.encode(),
            {"endpoint": endpoint, "jitter": timedelta(0), "max_pause": self._max_pause},
        ).fetchone()
        return row[1] if row else 0.0

    def _wait(self, endpoint: str, wait_s: float, *, is_said: bool) -> None:
        self._time_left.spend(wait_s, f"waiting for its turn under the rate limit of {endpoint}")
        if wait_s > LONG_WAIT_S and not is_said:
            self._say_why(endpoint, wait_s)
        self._sleep(wait_s)

    def _ask(self, statement: str, **values: str | int) -> tuple[str, float]:
        """An endpoint and the seconds until its call may go; 0 or less = now."""
        return self._row(statement, **values) or (str(values.get("endpoint")), 0.0)

    def _row(self, statement: str, **values: str | int) -> tuple[str, float] | None:
        return self._conn.execute(
            statement.encode(),
            {
                **values,
                "limit": self._per_minute,
                "window": self._window,
                "jitter": JITTER,
                "max_pause": self._max_pause,
            },
        ).fetchone()

    def _say_why(self, endpoint: str, wait_s: float) -> None:
        reason = (
            "TikTok answered 429 (too many calls), so this endpoint is paused for everyone"
            if self.rest_of_pause(endpoint)
            else f"{self._per_minute} calls a minute are allowed, and others are before this one"
        )
        log.warning(
            "Waiting for the rate limit",
            endpoint=endpoint,
            seconds=round(wait_s),
            until_about=f"{utc_now() + timedelta(seconds=wait_s):%H:%M:%S} UTC",
            reason=reason,
        )
