"""Which week does a report cover? An ISO week, from Monday to Sunday in the sync's time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from include.tiktok_sync.errors import ConfigurationError

WEEKS_BACK = 53
"""Complete weeks that the view ``store_week`` has."""

_NAME = re.compile(r"(\d{4})-W(\d{2})", re.ASCII)


@dataclass(frozen=True)
class Week:
    """A week, by its Monday."""

    start: date

    @classmethod
    def before(cls, today: date) -> Week:
        """The last week that ended before a day."""
        return cls(today - timedelta(days=today.weekday() + 7))

    @classmethod
    def asked_for(cls, name: str, today: date) -> Week:
        """The week that a caller names, or the last one that ended.

        Args:
            name: Such as ``2026-W47`` (ISO 8601); empty = the last one.
            today: In the sync's time zone.

        Raises:
            ConfigurationError: There is no such week, it has not ended, or it is too long ago.
        """
        last = cls.before(today)
        if not name:
            return last
        week = cls._named(name)
        if week is None:
            message = f"There is no week {name}. Give an ISO week such as {last.name}."
            raise ConfigurationError(message)
        if week.start > last.start:
            message = f"The week {name} has not ended yet. The last one that has is {last.name}."
            raise ConfigurationError(message)
        first = last.earlier(WEEKS_BACK - 1)
        if week.start < first.start:
            message = f"The week {name} is too long ago: reports can be made from {first.name} on."
            raise ConfigurationError(message)
        return week

    @classmethod
    def _named(cls, name: str) -> Week | None:
        found = _NAME.fullmatch(name)
        try:
            return cls(date.fromisocalendar(int(found[1]), int(found[2]), 1)) if found else None
        except ValueError:
            return None

    @property
    def name(self) -> str:
        """As in ISO 8601, such as ``2026-W47``."""
        return f"{self.start:%G-W%V}"

    @property
    def end(self) -> date:
        """The Sunday."""
        return self.start + timedelta(days=6)

    def earlier(self, weeks: int) -> Week:
        """The week that lies this number of weeks before."""
        return Week(self.start - timedelta(weeks=weeks))
