"""Is a text the name of a time zone that a store can have?"""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.tiktok_sync.errors import DataError

_SHOWN = re.compile(r"[A-Za-z0-9/_+-]{1,40}")


def checked_timezone(text: str | None) -> str | None:
    """The name of the zone; ``None`` where there is no text: the store then has ``SYNC_TIMEZONE``.

    Raises:
        DataError: There is no such zone. What does not look like a name is not quoted.
    """
    name = (text or "").strip()
    if not name:
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        shown = f": {name}" if _SHOWN.fullmatch(name) else ""
        message = (
            f"timezone is no known time zone{shown}. Write it as Europe/Berlin, or leave it empty"
            " for SYNC_TIMEZONE"
        )
        raise DataError(message) from None
    return name
