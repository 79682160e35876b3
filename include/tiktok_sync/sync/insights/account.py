"""Reads an account's days: every night all 60 that TikTok has, which is one call.

A day comes a day or two late, may be wrong at first, and is final when it is 7 days old
(business-api.tiktok.com, "Get profile data of a TikTok account", 1762228399168514). Days are UTC's.
Older ones are asked for too: one may come late, or could not be read on its last night.
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

PROBLEMS_NAMED = 5

NAME_KNOWN_FOR = timedelta(hours=36)
"""The profile is synced every night; an account may have renamed itself since an older row."""


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


def read_account(run: StoreRun, client: BusinessClient, insights: InsightsRepository) -> DaysRead:
    """Read the profile and the days in one call, and write both; final days keep their figures.

    Raises:
        DataError: It is not the account of the store's first consent; nothing is written.
        MissingScopeError: Nothing of an account is granted.
        SyncError: See :mod:`include.tiktok_sync.business.meanings`.
    """
    today = utc_today()
    first = today - timedelta(days=LOOK_BACK_DAYS)
    found = client.account(first, today - timedelta(days=1))
    _refuse_other_account(run, found, insights)
    rows = insights.save_days(run.store_code, found.days, found.observed_at)
    if not run.day.is_late(found.observed_at):
        insights.save_audience(run, found)
    return DaysRead(found, first, rows)


def _refuse_other_account(
    run: StoreRun, found: AccountInsights, insights: InsightsRepository
) -> None:
    # Two grants that were imported were never compared (decision 26).
    if not found.username:
        return
    first = insights.first_username(run.store_code, found.observed_at - NAME_KNOWN_FOR)
    if not first or first.lower() == found.username.lower():
        return
    message = (
        f"{run.store_code} has the account {first!r} by its first consent and {found.username!r} by"
        " its second, so nothing was written. Import the right grant, or have the manager connect"
        f" again (stores link {run.store_code} --business; if the first is wrong, without"
        " --business, and then the second step too). If the account has renamed itself, the next"
        " sync of its profile settles it."
    )
    raise DataError(message, log_id=found.log_id)


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
