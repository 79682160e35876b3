"""May I call the Accounts API now? Three limits for all processes and hosts, kept in Postgres.

TikTok allows an app 10 calls a second and 600 a minute over all endpoints together, and 40 a minute
to each account and endpoint ("Accounts API rate limits", 1738084416214017). Whether the minute
slides is not documented, and going over it closes the API for five minutes, so a tenth of each
limit stays unused. Each limit is a ring of places (:mod:`include.tiktok_sync.tiktok.rate_limit`);
a call takes one of each, that of its account first: while that makes it wait, the others are free
for other stores.

The limit of a second is a ring of one place, so calls are spaced evenly: 9 at once would need the
same second here and at TikTok. A call that wakes up too late for its turn takes another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from include.tiktok_sync.errors import MAX_WAIT_S
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok.rate_limit import MARGIN, WINDOW, PostgresRateLimiter
from include.tiktok_sync.tiktok.time_left import TimeLeft

PER_SECOND, PER_MINUTE, PER_ACCOUNT = 9, 540, 36
"""Calls that are made: a tenth below TikTok's limits."""

LONGEST_PAUSE = timedelta(seconds=MAX_WAIT_S)

APP = "business"
"""The app's row in ``rate_limits``; those of a second and of accounts begin with it and a blank."""

LATE_S = 0.05
"""A call may go so much later than its turn: half of the time between two turns."""

LATE_TURNS = 3
"""Turns that are given up for that; on a host that is so busy, nothing is on time."""


class BusinessLimiter(Protocol):
    """What the client needs of a limiter."""

    def acquire(self, endpoint: str) -> float:
        """Wait for a place; returns the seconds waited."""

    def pause(self, seconds: float) -> None:
        """TikTok says "too many calls": nobody calls for so long."""


class AppPause(Protocol):
    """What the token endpoints need of a limiter: whether their calls count is not documented."""

    def pause(self, seconds: float) -> None:
        """As that of :class:`BusinessLimiter`."""

    def rest_of_pause(self) -> float:
        """Seconds until the app may call again; 0 = it may."""


class PostgresBusinessLimiter:
    """The shared limits. All times are the database server's.

    Args:
        conn: Autocommit connection; no transaction stays open while waiting.
        account: The store whose account is called.
        is_lifted: No limit; a pause still holds for everyone.
        time_left: Of the try that asks; a wait that goes beyond it fails at once.
        sleep: For tests.
        clock: For tests: seconds that never jump.
    """

    def __init__(
        self,
        conn: Connection,
        account: str,
        *,
        is_lifted: bool = False,
        time_left: TimeLeft | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        def ring(places: int, window: timedelta) -> PostgresRateLimiter:
            return PostgresRateLimiter(
                conn,
                0 if is_lifted else places,
                time_left=time_left,
                sleep=sleep,
                window=window,
                max_pause=LONGEST_PAUSE,
            )

        self._account = account
        self._clock = clock
        self._of_account = ring(PER_ACCOUNT, WINDOW + MARGIN)
        self._of_minute = ring(PER_MINUTE, WINDOW)
        self._of_second = ring(1, timedelta(seconds=1) / PER_SECOND)

    def acquire(self, endpoint: str) -> float:
        """Wait for a place under each of the limits.

        Returns:
            Seconds waited.

        Raises:
            OutOfTimeError: It opens too late for this try.
        """
        waited_s = self._of_account.acquire(f"{APP} {endpoint} {self._account}")
        waited_s += self._of_minute.acquire(APP)
        for _ in range(LATE_TURNS):
            asked_at = self._clock()
            turn_s = self._of_second.acquire(f"{APP} second")
            waited_s += turn_s
            if self._clock() - asked_at - turn_s <= LATE_S:
                break
        return waited_s

    def pause(self, seconds: float) -> None:
        """Close the API for everyone for ``seconds``, at most ``LONGEST_PAUSE``, and count it."""
        self._of_minute.pause(APP, seconds)

    def rest_of_pause(self) -> float:
        """Seconds until the app's pause ends; 0 = there is none."""
        return self._of_minute.rest_of_pause(APP)
