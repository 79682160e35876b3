"""Values for people: times with their zone, durations, counts; unknown is a dash, never 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from include.tiktok_sync.jobs import (
    INSIGHTS_JOB,
    REFRESH_BUSINESS_JOB,
    REFRESH_JOB,
    USER_JOB,
    VIDEO_JOB,
)
from include.tiktok_sync.status.bands import Criterion

UNKNOWN = "–"  # noqa: RUF001 - a dash, as printed

JOB_NAMES: Mapping[str, str] = {
    USER_JOB: "Profiles",
    VIDEO_JOB: "Videos",
    REFRESH_JOB: "Token refresh",
    REFRESH_BUSINESS_JOB: "Token refresh, Accounts API",
    INSIGHTS_JOB: "Insights",
}

STATUS_NAMES: Mapping[str, str] = {
    "needs_consent": "Needs consent",
    "missing_scope": "Scope missing",
    "not_connected": "Not connected",
    "active": "Connected",
    "removed": "Has left",
    "sla_missed": "Deadline missed",
    "run_failed": "Run failed",
    "data_missing": "Data missing",
}

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def moment(value: datetime | None, zone: ZoneInfo) -> str:
    """Date, time and zone."""
    return UNKNOWN if value is None else f"{value.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def ago(value: datetime | None, now: datetime) -> str:
    """How long ago."""
    return UNKNOWN if value is None else f"{_span(now - value)} ago"


def until(value: datetime | None, now: datetime) -> str:
    """How long until then."""
    if value is None:
        return UNKNOWN
    return f"in {_span(value - now)}" if value > now else "ended"


def duration(milliseconds: float | None) -> str:
    """Minutes and seconds, or seconds."""
    if milliseconds is None:
        return UNKNOWN
    seconds = milliseconds / 1000
    if not seconds:
        return "0 s"
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    return f"{math.floor(seconds / _MINUTE)}:{math.floor(seconds % _MINUTE):02d} min"


def count(value: float | None) -> str:
    """With thousands separated."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def figure(value: float | None, criterion: Criterion) -> str:
    """A value of the table of targets, with its unit."""
    if value is None:
        return UNKNOWN
    return duration(value * 60_000) if criterion.unit == "minutes" else f"{value:.1f} %"


def _span(span: timedelta) -> str:
    seconds = max(0.0, span.total_seconds())
    for size, name, below in (
        (1, "s", 2 * _MINUTE),
        (_MINUTE, "min", 2 * _HOUR),
        (_HOUR, "h", 2 * _DAY),
    ):
        if seconds < below:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds / _DAY:.0f} days"


FILTERS: Mapping[str, Callable[..., str]] = {
    "ago": ago,
    "count": count,
    "duration": duration,
    "figure": figure,
    "job": lambda value: JOB_NAMES.get(value, value),
    "moment": moment,
    "until": until,
    "words": lambda value: STATUS_NAMES.get(value, str(value).replace("_", " ").capitalize()),
}
"""Jinja's filters."""
