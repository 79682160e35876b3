"""What can go wrong with a measurement."""

from __future__ import annotations


class BenchError(Exception):
    """A measurement cannot be made or is not valid; the message says why."""
