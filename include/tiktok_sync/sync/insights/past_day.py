"""A past day of an account: TikTok has its true figures for 60 days, so a backfill reads them.

One call covers all 60 days. However many days a backfill has, a store is therefore read once: the
first run writes every day that is missing or not final, the others find theirs there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from include.tiktok_sync.business.client import INSIGHTS, LOOK_BACK_DAYS, BusinessClient
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.backfill import found_or_claimed, released_at_the_end
from include.tiktok_sync.sync.insights.account import (
    DaysRead,
    read_account,
    refuse_problems,
    utc_today,
)
from include.tiktok_sync.sync.insights.repository import InsightsRepository
from include.tiktok_sync.sync.past_day import REUSE_WITHIN, record_reading
from include.tiktok_sync.sync.store_job import StoreOutcome

State = Literal["there", "read", "absent"]
"""The day had its figures; it was read now; TikTok has none of it."""


@dataclass(frozen=True)
class _Found:
    state: State
    read: DaysRead | None = None


def check_reach(day: date) -> None:
    """Refuse a day of which TikTok has no figures any more, before anything is called.

    Raises:
        ConfigurationError: It is more than 60 days ago; the message names the first day.
    """
    first = utc_today() - timedelta(days=LOOK_BACK_DAYS)
    if day < first:
        message = (
            f"{day} is more than {LOOK_BACK_DAYS} days ago. TikTok's Accounts API goes back to"
            f" {first}: begin the backfill on that day or later. Nothing was called."
        )
        raise ConfigurationError(message)


def fill_past_day(
    run: StoreRun, client: BusinessClient, insights: InsightsRepository
) -> StoreOutcome:
    """Make sure that the account's figures of a past day are there; posts are not read.

    Raises:
        ConfigurationError: The day is too long ago.
        RetriableError: Another run has been reading the store for a minute.
        SyncError: See :mod:`include.tiktok_sync.business.meanings`.
    """
    check_reach(run.day.date)
    found = _find_or_read(run, client, insights)
    read, day = found.read, run.day.date.isoformat()
    message = {
        "there": f"{day}: figures there; no call made",
        "read": f"{day}: read, with {max(read.rows - 1, 0) if read else 0} other days",
        "absent": f"{day}: TikTok has no figures of this day; insights_absent says why",
    }[found.state]
    return StoreOutcome(
        message,
        {
            "backfill": found.state,
            "rows": read.rows if read else 0,
            **(read.details() if read else {}),
        },
    )


def _find_or_read(run: StoreRun, client: BusinessClient, insights: InsightsRepository) -> _Found:
    if insights.base.dry_run:
        return _read(run, client, insights)
    state: State | None = found_or_claimed(insights.conn, run, lambda: _state(run, insights))
    if state is not None:
        return _Found(state)
    with released_at_the_end(insights.conn, run):
        # Another run may have read the store between the look and the claim.
        state = _state(run, insights)
        return _Found(state) if state is not None else _read(run, client, insights)


def _state(run: StoreRun, insights: InsightsRepository) -> State | None:
    """What is known of the day; ``None`` = the store must be read."""
    # In this order: a run that reads the store meanwhile writes its days first.
    was_read = insights.was_read_for_backfill(run, utc_today())
    known = insights.known_day(run.store_code, run.day.date)
    if known is None:
        return "absent" if was_read else None
    if known.is_done or known.fetched_at > utc_now() - REUSE_WITHIN:
        return "there"
    # A final day with gaps, which today's reading did not fill.
    return "there" if known.is_final and was_read else None


def _read(run: StoreRun, client: BusinessClient, insights: InsightsRepository) -> _Found:
    today = utc_today()
    read = read_account(run, client, insights)
    refuse_problems(read.found.problems, len(read.found.days))
    for refused in read.found.skipped:
        if refused.group == INSIGHTS:
            # Of the days nothing was said: not even that there are none.
            raise refused.error
    if not insights.base.dry_run:
        record_reading(insights.conn, run, today)
    came = any(day.metric_date == run.day.date for day in read.found.days)
    return _Found("read" if came else "absent", read)
