"""Which calendar day does a figure belong to, and was it observed in time?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import TypeAlias

from include.tiktok_sync.errors import ConfigurationError

Date: TypeAlias = date
"""The type; :class:`SnapshotDay` has a field of that name."""

EARLIEST = date(2016, 9, 1)
"""TikTok's first version came out in this month (as Douyin): nobody has figures of a day before."""


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(timezone.utc)


def next_month(day: date) -> date:
    """The first day of the next month."""
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

    @classmethod
    def asked_for(cls, day: Date, timezone: tzinfo, now: datetime) -> SnapshotDay:
        """The day that a caller names, checked against ``now``.

        Figures of a future day would remain their store's newest: every gain would be counted from
        them, and come out as unknown.

        Raises:
            ConfigurationError: The day has not come yet, or was before TikTok.
        """
        today = cls.of(now, timezone).date
        if day > today:
            message = (
                f"{day} has not come yet: today is {today} in SYNC_TIMEZONE ({timezone}). Give"
                " that day or an earlier one, as --date or as the run's logical date; without"
                " either, a sync stands for today."
            )
            raise ConfigurationError(message)
        if day < EARLIEST:
            message = (
                f"{day} was before TikTok, which began in {EARLIEST:%B %Y}. Correct --date, or the"
                " run's logical date."
            )
            raise ConfigurationError(message)
        return cls(day, timezone)

    def is_late(self, observed_at: datetime) -> bool:
        """Whether an observation came after the day.

        TikTok keeps no history, so such a figure only stands in for one that was missed and never
        replaces one observed in time.
        """
        return observed_at.astimezone(self.timezone).date() > self.date
