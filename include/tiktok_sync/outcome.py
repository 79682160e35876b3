"""What came of one store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StoreOutcome:
    """Success of one store in one run.

    Attributes:
        message: One line for the person.
        details: Counts for ``sync_logs.details``.
    """

    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
