"""How long may one store take in this try, and what is it waiting for right now?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta

from include.tiktok_sync.errors import OutOfTimeError
from include.tiktok_sync.tiktok.http import Timeouts
from include.tiktok_sync.tiktok.oauth import longest_refresh

LONGEST_REFRESH = longest_refresh(Timeouts())
"""Kept free at the end of a task: a token refresh begun at the last moment must not be cut off, as
TikTok may have replaced the token already."""


class TimeLeft:
    """The time of one store's try, shared by everything that waits on its behalf.

    A wait that would not end in time fails at once and leaves the worker to others.

    Args:
        limit: For all of it, from now on; ``None`` = no limit.
        clock: Seconds that never jump, for tests.

    Attributes:
        doing: What the store's try is doing, to complete "while …".
    """

    def __init__(
        self, limit: timedelta | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._end = math.inf if limit is None else clock() + limit.total_seconds()
        self.doing = "waiting for a valid token"  # the first step of every job

    @classmethod
    def of_task(cls, timeout: timedelta | None) -> TimeLeft:
        """The time of a store whose task is ended after ``timeout``."""
        return cls(None if timeout is None else timeout - min(LONGEST_REFRESH, timeout / 4))

    def seconds(self) -> float:
        """Seconds left; infinite without a limit, negative once they are over."""
        return self._end - self._clock()

    def spend(self, seconds: float, doing: str) -> None:
        """Note what comes next and how long it takes at least.

        Args:
            seconds: How long it takes at least; 0 = not known.
            doing: Completes "while …".

        Raises:
            OutOfTimeError: It would not end in time.
        """
        self.doing = doing
        if self.seconds() <= seconds:
            raise self.is_over(seconds)

    def is_over(self, seconds: float = 0) -> OutOfTimeError:
        """The error of a try whose time is over; ``seconds`` would still have been needed."""
        limit = math.inf if self._limit is None else self._limit.total_seconds() / 60
        needed = f" ({seconds:.0f} s more were needed)" if seconds >= 1 else ""
        message = (
            f"The store was not done within the {limit:.3g} minutes that one try may take; time ran"
            f" out while {self.doing}{needed}. What was written stays; the next try continues. If"
            ' every try ends like this, see "Slow sync" in docs/operations.md.'
        )
        return OutOfTimeError(message, retry_after_s=seconds)
