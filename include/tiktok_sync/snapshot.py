"""Which calendar day does a figure belong to, and was it observed in time?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(timezone.utc)


def next_month(day: date) -> date:
    """The first day of the month that follows, however short it is."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True)
class SnapshotDay:
    """The day that a run's figures stand for, in the sync's time zone."""

    date: date
    timezone: tzinfo

    @classmethod
    def of(cls, moment: datetime, timezone: tzinfo) -> SnapshotDay:
        """The day on which ``moment`` falls."""
        return cls(moment.astimezone(timezone).date(), timezone)

    def is_late(self, observed_at: datetime) -> bool:
        """Whether an observation came after the day.

        TikTok keeps no history, so such a figure only stands in for one that was missed and never
        replaces one observed in time.
        """
        return observed_at.astimezone(self.timezone).date() > self.date
