"""What can go wrong with a measurement."""

from __future__ import annotations

from include.local.errors import LocalStackError


class BenchError(LocalStackError):
    """A measurement cannot be made or is not valid; the message says why."""
