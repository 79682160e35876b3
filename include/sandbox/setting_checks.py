"""May a setting have this value? Each check refuses with the setting's name and the reason."""

from __future__ import annotations

import datetime as dt
import ipaddress
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class SettingsError(ValueError):
    """A setting has a value that it cannot have.

    Attributes:
        field: Name of the setting, or of the variable it was read from.
        reason: What is wrong with it, without the value (it may be a secret).
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def check(ok: bool, field: str, reason: str) -> None:  # noqa: FBT001 (an assertion: reads best so)
    """Refuse the setting unless ``ok``."""
    if not ok:
        raise SettingsError(field, reason)


def check_integer(field: str, value: object, low: int, high: int) -> None:
    """A whole number within a range; ``true`` is none."""
    ok = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    check(ok, field, f"must be a whole number from {low} to {high}")


def check_seconds(field: str, value: object, high: float) -> None:
    """Seconds from 0 to ``high``."""
    check_number(field, value, high, "seconds")


def check_number(field: str, value: object, high: float, what: str) -> None:
    """A finite number from 0 to ``high``; ``what`` names its unit."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    ok = is_number and math.isfinite(value) and 0 <= value <= high  # type: ignore[arg-type,operator]  # is_number proves it
    check(ok, field, f"must be {what} from 0 to {high:g}")


def check_choice(field: str, value: object, choices: Iterable[str]) -> None:
    """One of a few words."""
    check(value in tuple(choices), field, f"must be {' or '.join(choices)}")


def check_texts(field: str, value: object) -> tuple[str, ...]:
    """The texts in a list of them."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise SettingsError(field, "must be a list of texts")
    return tuple(value)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_day(field: str, text: object) -> dt.date:
    """A day written as ``YYYY-MM-DD``."""
    try:
        return dt.datetime.strptime(str(text), "%Y-%m-%d").replace(tzinfo=dt.timezone.utc).date()
    except ValueError:
        raise SettingsError(field, "must be a day, YYYY-MM-DD") from None
