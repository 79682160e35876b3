"""How is one value of an answer read, and cleaned so that the database accepts it?

Absent and ``null`` are ``None``. A number may come as text; a value that cannot be what its field
says raises, so that it never becomes a 0 or an absence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, TypeVar

from include.tiktok_sync.errors import DataError

UTC = timezone.utc

T = TypeVar("T")

_MAX_COUNT = 2**63 - 1  # Postgres' bigint


def clean_text(text: str) -> str:
    """A text from TikTok, cleaned so that the database accepts it."""
    # Postgres text and jsonb refuse NUL; JSON can also smuggle in half a surrogate pair.
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def read_id(source: Mapping[str, Any], name: str, what: str) -> str:
    """An id as text: 19 digits exceed what a float can hold.

    Raises:
        DataError: There is none; the message names ``what`` and the keys that came.
    """
    value = source.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        message = f"{what} came without an id (keys: {', '.join(sorted(source))})."
        raise DataError(message)
    return clean_text(value)


def read_items(
    items: list[Any], read: Callable[[Mapping[str, Any]], T], name: str
) -> tuple[tuple[T, ...], tuple[str, ...]]:
    """The readable elements of a list called ``name``, and one line for each unreadable one."""
    readable: list[T] = []
    problems: list[str] = []
    for item in items:
        try:
            if not isinstance(item, dict):
                message = f"An element of `{name}` is a {type(item).__name__}, not an object."
                raise DataError(message)  # noqa: TRY301 - one place names every unreadable element
            readable.append(read(item))
        except DataError as error:
            problems.append(error.message)
    return tuple(readable), tuple(problems)


def read_list(source: Mapping[str, Any], name: str) -> list[Any] | None:
    """A list, cleaned; raises :class:`DataError` for anything else.

    ``None`` = absent, or empty: how TikTok leaves a list out is not documented.
    """
    value = source.get(name)
    if value is None:
        return None
    if not isinstance(value, list):
        raise _wrong(name, value, "a list")
    return [clean_json(item) for item in value] or None


def _wrong(name: str, value: object, wanted: str) -> DataError:
    # Anything but a number could name the account, or a video, in a log and in the run's summary.
    shown = f" {value!r:.60}" if isinstance(value, int | float) else ""
    return DataError(f"`{name}` should be {wanted} and is {type(value).__name__}{shown}.")


def read_text(source: Mapping[str, Any], name: str) -> str | None:
    """A text; raises :class:`DataError` for anything else."""
    value = source.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        # Without the value: see _wrong.
        message = f"`{name}` should be text and is {type(value).__name__}."
        raise DataError(message)
    return clean_text(value)


def read_flag(source: Mapping[str, Any], name: str) -> bool | None:
    """True or false; raises :class:`DataError` for anything else."""
    value = source.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise _wrong(name, value, "true or false")


def read_count(source: Mapping[str, Any], name: str) -> int | None:
    """A whole number that a bigint holds; raises :class:`DataError` for anything else."""
    value = source.get(name)
    if value is None:
        return None
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str):
        with suppress(ValueError):
            number = int(value)
    if number is None or abs(number) > _MAX_COUNT:
        raise _wrong(name, value, "a whole number that fits 64 bits")
    return number


def read_number(source: Mapping[str, Any], name: str) -> float | None:
    """A finite number; raises :class:`DataError` for anything else."""
    value = source.get(name)
    if value is None:
        return None
    number = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise _wrong(name, value, "a number")
    return number


def read_time(source: Mapping[str, Any], name: str) -> datetime | None:
    """A time from Unix seconds; raises :class:`DataError` for anything else."""
    seconds = read_count(source, name)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise _wrong(name, seconds, "Unix seconds") from error


def rest_of(source: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not known, as they came."""
    return {clean_text(key): clean_json(value) for key, value in source.items() if key not in known}


def clean_json(value: Any) -> Any:
    """A JSON value that jsonb accepts."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 is JSON and no jsonb
        return None
    if isinstance(value, list):
        return [clean_json(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(str(key)): clean_json(item) for key, item in value.items()}
    return value
