"""Reads an account's days: all 60 at first, then each one again until it no longer changes.

A day comes a day or two late, may be wrong at first, and is final when it is 7 days old
(business-api.tiktok.com, "Get profile data of a TikTok account", 1762228399168514). Days are UTC's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from typing import Any

from include.tiktok_sync.business.client import LOOK_BACK_DAYS, BusinessClient
from include.tiktok_sync.business.models import AccountInsights, SkippedFields
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import DataError
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.insights.repository import InsightsRepository

DAYS_ASKED_AGAIN = 7
"""A day is asked for again until it is so old."""

PROBLEMS_NAMED = 5


@dataclass(frozen=True)
class DaysRead:
    """What one call said about an account's days.

    Attributes:
        found: The answer.
        asked_from: The first day that was asked for; the last one is yesterday.
        rows: Rows of ``account_daily`` written.
    """

    found: AccountInsights
    asked_from: date
    rows: int

    def details(self) -> dict[str, Any]:
        """For ``sync_logs.details``."""
        return {
            "days_asked_from": self.asked_from.isoformat(),
            "days": len(self.found.days),
            "days_written": self.rows,
            **skipped_details(self.found.skipped),
        }


def utc_today() -> date:
    """The day by which TikTok counts."""
    return utc_now().astimezone(timezone.utc).date()


def first_day_to_ask(last_final: date | None, today: date) -> date:
    """From which day on a store is read tonight.

    Args:
        last_final: The newest day that no longer changes; ``None`` = none is known.
        today: Of UTC.
    """
    oldest = today - timedelta(days=LOOK_BACK_DAYS)
    if last_final is None:
        return oldest
    again = today - timedelta(days=DAYS_ASKED_AGAIN)
    return max(oldest, min(again, last_final + timedelta(days=1)))


def read_account(run: StoreRun, client: BusinessClient, insights: InsightsRepository) -> DaysRead:
    """Read the profile and the days that may still change, and write both.

    Raises:
        MissingScopeError: Nothing of an account is granted.
        SyncError: See :mod:`include.tiktok_sync.business.meanings`.
    """
    today = utc_today()
    first = first_day_to_ask(insights.last_final_day(run.store_code), today)
    return read_days(run, client, insights, first, today)


def read_days(
    run: StoreRun, client: BusinessClient, insights: InsightsRepository, first: date, today: date
) -> DaysRead:
    """Read the days from ``first`` to yesterday in one call; only those not final are written."""
    found = client.account(first, today - timedelta(days=1))
    rows = insights.save_days(run.store_code, found.days, found.observed_at)
    if not run.day.is_late(found.observed_at):
        insights.save_audience(run, found)
    return DaysRead(found, first, rows)


def skipped_details(skipped: Sequence[SkippedFields]) -> Mapping[str, Any]:
    """Fields that TikTok refused, and why."""
    if not skipped:
        return {}
    return {"fields_skipped": {one.group: str(one.error) for one in skipped}}


def refuse_problems(problems: Sequence[str], read: int) -> None:
    """Fail for what could not be read, now that the rest is written.

    Args:
        problems: One line for each.
        read: How many days and posts were readable.

    Raises:
        DataError: There are some.
    """
    if problems:
        message = (
            f"{len(problems)} of {read + len(problems)} days and posts could not be read, the"
            f" others are written. First: {problems[0]}"
        )
        raise DataError(message, detail="; ".join(problems[:PROBLEMS_NAMED]))
