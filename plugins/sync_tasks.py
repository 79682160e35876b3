"""What the tasks of the sync Dags do: Airflow's context on one side, the package on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from hooks.store_db_hook import StoreDbHook
from hooks.tiktok_hook import TikTokHook
from include.tiktok_sync.database import database_errors
from include.tiktok_sync.errors import ConfigurationError, SkippableError, SyncError
from include.tiktok_sync.repository import DryRunRepository, StoreRepository
from include.tiktok_sync.run import StoreRun
from include.tiktok_sync.schema import check_schema
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.snapshot import SnapshotDay, utc_now
from include.tiktok_sync.store_run import run_store
from include.tiktok_sync.summary import RunSummary, summarize
from include.tiktok_sync.sync_log import RunKey, SyncLog
from include.tiktok_sync.vault import TokenVault

log = structlog.get_logger(__name__)

LIST_TASK = "list_stores"
ERROR_KEY = "error"
"""XCom under which ``list_stores`` leaves the reason of its failure for the summary."""

MIN_SUCCESS_RATE_VARIABLE = "tiktok_min_success_rate"


def list_stores(context: Mapping[str, Any]) -> list[str]:
    """Codes of the stores to sync, after everything that would fail for all of them is checked.

    Raises:
        ConfigurationError: Schema, keys or app credentials are wrong, or ``stores`` names a code
            that does not exist.
        RetriableError: The database or TikTok cannot be reached.
    """
    try:
        with StoreDbHook.for_task(context).session() as conn, database_errors():
            check_schema(conn)
            settings = Settings.from_env()
            TokenVault(settings.token_keys)
            repository = StoreRepository(conn)
            wanted = list(dict.fromkeys(context["params"]["stores"] or []))
            unknown = repository.unknown_store_codes(wanted)
            if unknown:
                message = (
                    f"There is no store {', '.join(unknown)}. Correct `stores` and trigger again."
                )
                raise ConfigurationError(message)
            codes = wanted or repository.active_store_codes()
            if codes:
                TikTokHook().app().check()
                repository.ensure_partitions(_day(context, settings).date)
    except SyncError as error:
        context["ti"].xcom_push(ERROR_KEY, str(error))
        raise
    log.info("Stores listed", stores=len(codes))
    return codes


def sync_store(job_name: str, store_code: str, context: Mapping[str, Any]) -> None:
    """One store of a run, on one database connection and one HTTP session.

    Raises:
        AirflowSkipException: Nothing to be done for this store; the reason is in ``sync_logs``.
        SyncError: The store failed; the retry policy decides what follows.
    """
    settings = Settings.from_env()
    app = TikTokHook().app()
    with StoreDbHook.for_task(context).session() as conn, app.transport() as http:
        params = context["params"]
        repository = DryRunRepository(conn) if params["dry_run"] else StoreRepository(conn)
        run = StoreRun(
            job_name,
            context["run_id"],
            store_code,
            _day(context, settings),
            stores_in_run=len(set(params["stores"])) or repository.count_active_stores(),
        )
        try:
            run_store(
                run,
                open_client=lambda: app.client(store_code, http=http, conn=conn, settings=settings),
                repository=repository,
            )
        except SkippableError as error:
            raise AirflowSkipException(str(error)) from error


def record_summary(context: Mapping[str, Any]) -> None:
    """Write the run's row of ``sync_logs``; the run fails with it when too many stores failed.

    Raises:
        AirflowFailException: The stores could not be listed, or too many of them failed.
        AirflowSkipException: There was nothing to sync or it was a dry run, so no new data is
            announced.
    """
    settings = Settings.from_env()
    ti, dag_run = context["ti"], context["dag_run"]
    codes: Sequence[str] | None = ti.xcom_pull(task_ids=LIST_TASK)
    if context["params"]["dry_run"]:
        message = "Dry run: nothing was written; each store's log says what would have been."
        raise AirflowSkipException(message)
    run = RunKey(dag_run.dag_id, dag_run.run_id, _day(context, settings).date)
    with StoreDbHook.for_task(context).session() as conn, database_errors():
        sync_log = SyncLog(conn)
        if codes is None:
            reason = ti.xcom_pull(task_ids=LIST_TASK, key=ERROR_KEY) or "see the log of that task."
            summary = RunSummary("failed", f"The stores could not be listed: {reason}", {})
        else:
            summary = summarize(sync_log, run, codes, min_success_rate=_min_success_rate(settings))
        sync_log.record(
            run,
            None,
            summary.status,
            summary.message,
            duration_ms=_milliseconds_since(dag_run.start_date),
            details=summary.details,
        )
    log.info("Run summary", status=summary.status, outcome=summary.message)
    if summary.status == "failed":
        raise AirflowFailException(summary.message)
    if summary.status == "skipped":
        raise AirflowSkipException(summary.message)


def _day(context: Mapping[str, Any], settings: Settings) -> SnapshotDay:
    # A manual run may have no logical date; it stands for the day on which it was asked for.
    dag_run = context["dag_run"]
    return SnapshotDay.of(dag_run.logical_date or dag_run.run_after, settings.timezone)


def _min_success_rate(settings: Settings) -> float:
    from airflow.sdk import Variable  # noqa: PLC0415 - one look-up a run, in this task only

    text = Variable.get(MIN_SUCCESS_RATE_VARIABLE, default=None)
    if text is None:
        return settings.min_success_rate
    return Settings.from_env({"MIN_SUCCESS_RATE": str(text)}).min_success_rate


def _milliseconds_since(start: datetime | None) -> int:
    return round((utc_now() - start).total_seconds() * 1000) if start else 0
