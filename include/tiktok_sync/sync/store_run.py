"""One store in one run: do the job and record its result, also a failure, in ``sync_logs``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import psycopg
import structlog

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import SkippableError, SyncError
from include.tiktok_sync.jobs import (
    INSIGHTS_JOB,
    REFRESH_BUSINESS_JOB,
    REFRESH_JOB,
    USER_JOB,
    VIDEO_JOB,
    StoreRun,
)
from include.tiktok_sync.store_db.connections import connection_use
from include.tiktok_sync.store_db.database import database_errors
from include.tiktok_sync.sync.backfill import fill_past_user_day, fill_past_video_day
from include.tiktok_sync.sync.insights.job import sync_insights
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_job import StoreClient, StoreJob, StoreOutcome, StoreReport
from include.tiktok_sync.sync.sync_log import StoreResult, StoreStatus, SyncLog
from include.tiktok_sync.sync.token_refresh import refresh_token
from include.tiktok_sync.sync.user_sync import sync_user
from include.tiktok_sync.sync.videos.sync import sync_videos

log = structlog.get_logger(__name__)

JOBS: Mapping[str, StoreJob] = {
    USER_JOB: sync_user,
    VIDEO_JOB: sync_videos,
    REFRESH_JOB: refresh_token,
    REFRESH_BUSINESS_JOB: refresh_token,
    INSIGHTS_JOB: sync_insights,
}
"""Dag id -> the work of one store."""

PAST_DAYS = {USER_JOB: fill_past_user_day, VIDEO_JOB: fill_past_video_day}
"""Dag id -> the work for a day that is over, which can no longer be observed."""


Report = Callable[[StoreReport], None]
"""Called with the result of each store, once recorded and before its failure is raised."""


def no_report(report: StoreReport) -> None:
    """Where nobody listens."""
    del report


def run_store(
    run: StoreRun,
    *,
    open_client: Callable[[], StoreClient],
    repository: StoreRepository,
    report: Report = no_report,
) -> StoreOutcome:
    """Sync the store and record the result; a failure is recorded before it is raised again.

    Args:
        run: What to do.
        open_client: Makes the store's client; its failure is the store's failure.
        repository: The database; a dry run records nothing and logs instead.
        report: Called with its result.

    Raises:
        SyncError: As the job raised it; recorded as ``skipped`` (:class:`SkippableError`) or
            ``failed``.
    """
    started = time.monotonic()
    client: StoreClient | None = None

    def record(status: StoreStatus, message: str, details: Mapping[str, Any]) -> None:
        cost = asdict(client.counts) | {"refreshes": client.tokens.refreshes} if client else {}
        duration_ms = round((time.monotonic() - started) * 1000)
        result = StoreResult(run.store_code, status, message, duration_ms, {**details, **cost})
        _record(run, repository, result, details)
        report(StoreReport(result, client.calls if client else {}, repository.dry_run))

    try:
        with database_errors():
            client = open_client()
            outcome = _do(run, client, repository)
    except SyncError as error:
        status: StoreStatus = "skipped" if isinstance(error, SkippableError) else "failed"
        record(
            status, str(error), {"kind": error.kind, "detail": error.detail, "log_id": error.log_id}
        )
        raise
    except Exception as error:
        message = f"Unexpected {type(error).__name__}; see the task's log."
        record("failed", message, {"kind": "unexpected"})
        raise
    record("success", outcome.message, outcome.details)
    return outcome


def _do(run: StoreRun, client: StoreClient, repository: StoreRepository) -> StoreOutcome:
    job = partial(JOBS[run.job_name], client=client, repository=repository)
    fill = PAST_DAYS.get(run.job_name)
    # A dry run says what TikTok shows, whichever day it is for.
    if fill and run.day.is_late(utc_now()) and not repository.dry_run:
        return fill(run, job, repository)
    return job(run)


def _record(
    run: StoreRun, repository: StoreRepository, result: StoreResult, found: Mapping[str, Any]
) -> None:
    event = "Store synced" if result.status == "success" else f"Store {result.status}"
    if repository.dry_run:
        log.info(
            "Dry run, nothing written",
            result=event,
            store_code=result.store_code,
            outcome=result.message,
            **found,
        )
        return
    log.info(
        event,
        store_code=result.store_code,
        outcome=result.message,
        duration_ms=result.duration_ms,
    )
    sync_log = SyncLog(repository.conn)
    try:
        recorded_at = sync_log.record(
            run.key,
            result.store_code,
            result.status,
            result.message,
            duration_ms=result.duration_ms,
            details=result.details,
        )
        progress = sync_log.progress(run.key, recorded_at)
        connections = connection_use(repository.conn) if progress.first_of_minute else None
    except psycopg.Error:
        if result.status == "success":
            raise
        # The failure being recorded is the one that must be raised.
        log.exception("The store's row in sync_logs could not be written")
        return
    total = progress.active if run.stores_in_run is None else run.stores_in_run
    # A store that has been paused meanwhile still counts as done.
    total = max(total, progress.done)
    _log_progress(progress.done, total)
    if connections is not None:
        log.info(connections.line())


def _log_progress(processed: int, total: int) -> None:
    # The earlier system's line, which its users' tools look for: the text is one JSON object. It is
    # not logged as fields, because Airflow's task supervisor fails on a field named "msg".
    percent = round(100 * processed / total) if total else 100
    line = {"processed": processed, "total": total, "percent": percent, "msg": "Sync progress"}
    log.info(json.dumps(line, separators=(",", ":")))
