"""A day that is over can no longer be read from TikTok: which figures stand in for it?

TikTok shows only the present. However many days were missed, a store is therefore read once, as of
today, and that reading is copied to each of them (:mod:`include.tiktok_sync.sync.past_day`).
The runs of a backfill may run at the same time: one reads the store, the others wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import structlog

from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.errors import RetriableError
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.past_day import (
    Fill,
    Filling,
    claim,
    fill_user,
    fill_videos,
    record_reading,
    release,
    videos_of_day,
)
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_job import StoreOutcome

log = structlog.get_logger(__name__)

WAIT_FOR_ANOTHER_RUN = timedelta(minutes=1)
"""Most stores are read within seconds; after this the task frees its slot for others."""

_LOOK_EVERY_S = 1.0

Found = TypeVar("Found")


def fill_past_user_day(
    run: StoreRun, read: Callable[[StoreRun], StoreOutcome], repository: StoreRepository
) -> StoreOutcome:
    """Fill the profile's figures of a past day if it has none.

    Args:
        run: The store and the past day.
        read: Reads the store and writes the figures of the day it is given: today.
        repository: The database.

    Raises:
        RetriableError: Another run has been reading the store for a minute.
        SyncError: As ``read`` raises it.
    """
    filling, seen = _fill(run, fill_user, read, repository)
    return StoreOutcome(_result_message(run, filling, ""), {**seen, **_details(filling)})


def fill_past_video_day(
    run: StoreRun, read: Callable[[StoreRun], StoreOutcome], repository: StoreRepository
) -> StoreOutcome:
    """Fill the counters of a past day for the videos that existed then, if it has none.

    Args:
        run: See :func:`fill_past_user_day`.
        read: See :func:`fill_past_user_day`.
        repository: See :func:`fill_past_user_day`.

    Raises:
        SyncError: See :func:`fill_past_user_day`.
    """
    filling, seen = _fill(run, fill_videos, read, repository)
    day = videos_of_day(repository.conn, run)
    message = _result_message(run, filling, f"{day.videos} videos: ")
    if filling.state == "carried" and day.later:
        message += f"; {day.later} posted later have no row"
    if day.gone:
        message += f"; {day.gone} gone from TikTok cannot be filled"
    details = {**seen, **_details(filling), "videos": day.videos, "gone_before_backfill": day.gone}
    return StoreOutcome(message, details)


def _fill(
    run: StoreRun,
    fill: Fill,
    read: Callable[[StoreRun], StoreOutcome],
    repository: StoreRepository,
) -> tuple[Filling, Mapping[str, Any]]:
    today = SnapshotDay.of(utc_now(), run.day.timezone)
    filling = found_or_claimed(repository.conn, run, lambda: fill(repository.conn, run, today.date))
    if filling is not None:
        return filling, {}
    with released_at_the_end(repository.conn, run):
        # Another run may have read the store between the check and the claim.
        filling = fill(repository.conn, run, today.date)
        if filling is not None:
            return filling, {}
        repository.ensure_partitions(today.date)
        outcome = read(replace(run, day=today))
        record_reading(repository.conn, run, today.date)
        filling = fill(repository.conn, run, today.date)
    if filling is None:
        message = "The day changed while the store was being read for a backfill."
        raise RetriableError(message)
    log.info("Store read for a backfill", store_code=run.store_code, outcome=outcome.message)
    return filling, outcome.details


def found_or_claimed(
    conn: Connection, run: StoreRun, look: Callable[[], Found | None]
) -> Found | None:
    """Wait until the figures are there or this run may read the store.

    Returns:
        What ``look`` found; ``None`` = the store is claimed.

    Raises:
        RetriableError: Another run has been reading the store for a minute.
    """
    give_up_at = time.monotonic() + WAIT_FOR_ANOTHER_RUN.total_seconds()
    while (found := look()) is None and not claim(conn, run):
        if time.monotonic() >= give_up_at:
            message = "Another run of a backfill is reading the store; waiting for its figures."
            raise RetriableError(message, retry_after_s=30)
        time.sleep(_LOOK_EVERY_S)
    return found


@contextmanager
def released_at_the_end(conn: Connection, run: StoreRun) -> Iterator[None]:
    """Let others read the store afterwards, however it ends."""
    try:
        yield
    finally:
        # If the connection is gone the claim expires by itself; the first failure is the one to
        # be seen.
        with suppress(psycopg.OperationalError):
            release(conn, run)


def _result_message(run: StoreRun, filling: Filling, of_what: str) -> str:
    day = run.day.date.isoformat()
    if filling.state == "present":
        return f"{day}: {of_what}observed in time; left as it is"
    since = ", without any figure to carry"
    if filling.observed_at is not None:
        since = f" from an observation at {filling.observed_at:%Y-%m-%d %H:%M %Z}"
    if filling.state == "late":
        return f"{day}: {of_what}filled late before{since}; left as it is"
    return f"{day}: {of_what}filled late{since}"


def _details(filling: Filling) -> dict[str, Any]:
    return {
        "backfill": filling.state,
        "rows": filling.rows,
        "late": filling.state != "present",
        "observed_at": filling.observed_at.isoformat() if filling.observed_at else None,
    }
