"""How long does an answer take: the configured seconds, or a long tail around the same mean."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from typing import TYPE_CHECKING

from include.sandbox.world.content import seeded

if TYPE_CHECKING:
    from include.sandbox.settings import SandboxSettings


async def pause(seconds: float) -> None:
    """Wait this long, and never less: uvloop's timers count milliseconds and may be one early."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:  # noqa: ASYNC110 - a time is waited for, no event
        await asyncio.sleep(left)


class Latencies:
    """Seconds of each answer.

    With a spread they are drawn from a lognormal distribution whose mean is the configured
    latency. A draw is a function of seed, endpoint, store and number of the store's call to that
    endpoint since these latencies were made: one seed gives one schedule, however the stores
    interleave, and a client that starts again after a change of settings meets the same one again.

    Args:
        settings: Seed, latencies and their spread.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self._seed = settings.seed
        self._means = settings.latencies
        self._sigma = settings.latency_spread
        self._calls: Counter[tuple[str, str]] = Counter()

    def draw(self, endpoint: str, store_code: str | None) -> float:
        """Seconds for the next answer of an endpoint.

        Args:
            endpoint: One of `ENDPOINTS`.
            store_code: Whose call, None if that was not recognised.
        """
        mean = self._means[endpoint]
        if not mean or not self._sigma:
            return mean
        key = (endpoint, store_code or "")
        self._calls[key] += 1
        # The mean of exp(N(mu, sigma)) is exp(mu + sigma² / 2).
        mu = math.log(mean) - self._sigma**2 / 2
        rng = seeded(self._seed, "latency", *key, self._calls[key])
        return rng.lognormvariate(mu, self._sigma)
