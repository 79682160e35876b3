"""May I call the Business API now? Three limits for all processes and hosts, kept in Postgres."""

from __future__ import annotations

from typing import Protocol


class BusinessLimiter(Protocol):
    """What the client needs of a limiter."""

    def acquire(self, endpoint: str) -> float:
        """Wait for a place; returns the seconds waited."""

    def pause(self, seconds: float) -> None:
        """TikTok says "too many calls": nobody calls for so long."""
