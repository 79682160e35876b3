"""Numbers and dates as the reader's country writes them; what is unknown is a dash, never 0."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates, numbers
from pydantic import AfterValidator

from include.tiktok_sync.settings import EnvironmentSettings, variable

UNKNOWN = "–"  # noqa: RUF001 - a dash, as printed


def _locale(name: str) -> str:
    try:
        return str(Locale.parse(name.strip().replace("-", "_")))
    except (UnknownLocaleError, ValueError) as error:
        raise ValueError from error


class ReportSettings(EnvironmentSettings):
    """How reports are written.

    Attributes:
        locale: Of numbers and dates (``REPORT_LOCALE``); the words are English.
    """

    locale: Annotated[
        str,
        AfterValidator(_locale),
        variable("REPORT_LOCALE", "a language, or one with a country, such as en, de or pt-BR"),
    ] = "en"


class Formats:
    """Of one locale.

    Args:
        locale: As in :class:`ReportSettings`.
    """

    def __init__(self, locale: str = "en") -> None:
        self._locale = Locale.parse(locale)

    def count(self, value: float | None) -> str:
        """A whole number with its thousands separated."""
        if value is None:
            return UNKNOWN
        return numbers.format_decimal(round(value), locale=self._locale)

    def short(self, value: float | None) -> str:
        """Rounded for a chart, such as 1.2M; whole if it is too small for an abbreviation."""
        if value is None:
            return UNKNOWN
        # Of 999,950 Babel makes "1000K": it chooses the unit first and rounds then.
        unit = 1000 ** ((len(str(abs(int(value)))) - 1) // 3)
        rounded = round(value / unit, 1) * unit
        text = numbers.format_compact_decimal(
            rounded if abs(rounded) == 1000 * unit else value,
            locale=self._locale,
            fraction_digits=1,
        )
        # Without an abbreviation (German has none for thousands) Babel sets no separator either.
        return text if any(map(str.isalpha, text)) else self.count(value)

    def gain(self, value: float | None) -> str:
        """A whole number with its sign."""
        if value is None:
            return UNKNOWN
        return self._sign(round(value)) + self.count(abs(value))

    def percent(self, value: float | None, digits: int = 1) -> str:
        """A share: 0.05 is five percent."""
        if value is None:
            return UNKNOWN
        pattern = self._locale.percent_formats[None].pattern.split(";")[0]
        pattern = pattern.replace("0", "0." + "#" * digits if digits else "0", 1)
        return numbers.format_percent(
            value, pattern, locale=self._locale, decimal_quantization=True
        )

    def change(self, value: float | None, than: float | None) -> str | None:
        """How far a value is above or below another one, in percent; ``None`` = not comparable."""
        if value is None or not than or than < 0:
            return None
        share = round((value - than) / than, 2)
        return self._sign(share) + self.percent(abs(share), 0)

    def day(self, day: date) -> str:
        """Weekday and date, without the year."""
        return dates.format_skeleton("MMMEd", day, locale=self._locale)

    def day_and_month(self, day: date) -> str:
        """Day and month."""
        return dates.format_skeleton("MMMd", day, locale=self._locale)

    def short_date(self, day: date) -> str:
        """Day and month in numbers, for a chart."""
        return dates.format_skeleton("Md", day, locale=self._locale)

    def moment(self, moment: datetime, zone: str) -> str:
        """Weekday, date and time in a time zone."""
        local = moment.astimezone(ZoneInfo(zone))
        time = dates.format_time(local, "short", locale=self._locale)
        return f"{self.day(local.date())}, {time}"

    def span(self, first: date, last: date) -> str:
        """Both ends of some days, with the year."""
        return dates.format_interval(first, last, "yMMMd", locale=self._locale)

    def weekdays(self) -> Sequence[str]:
        """Short names, Monday first."""
        names = dates.get_day_names("abbreviated", locale=self._locale)
        return [names[number] for number in range(7)]

    def _sign(self, value: float) -> str:
        return "" if not value else "+" if value > 0 else "−"  # noqa: RUF001 - the sign, as printed
