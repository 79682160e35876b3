"""How good was a night? The bounds of target, acceptable and poor, for 300 stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Band = Literal["target", "acceptable", "poor"]


@dataclass(frozen=True)
class Criterion:
    """One line of the table.

    Attributes:
        name: For people.
        unit: Of the bounds: ``minutes`` or ``%``.
        target: Better than this is the target.
        poor: Worse than this is poor; between the two is acceptable.
    """

    name: str
    unit: Literal["minutes", "%"]
    target: float
    poor: float

    def band(self, value: float) -> Band:
        """Where a value, in the criterion's unit, falls."""
        sign = 1 if self.poor > self.target else -1
        if sign * value < sign * self.target:
            return "target"
        return "poor" if sign * value > sign * self.poor else "acceptable"


USER_SYNC = Criterion("Profiles", "minutes", 3, 5)
VIDEO_SYNC = Criterion("Videos", "minutes", 8, 12)
TOTAL = Criterion("Both together", "minutes", 11, 17)
SUCCESS_RATE = Criterion("Success rate", "%", 95, 90)
CONNECTIONS = Criterion("Database connections", "%", 70, 85)
