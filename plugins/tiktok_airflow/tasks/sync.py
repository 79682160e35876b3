"""The tasks of the sync Dags: Airflow's context on one side, the package on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.tiktok_sync.alerts.rules import MISSING_CHECKS, EndedRun, alerts_of
from include.tiktok_sync.app import BusinessApp, TikTokApp
from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.errors import ConfigurationError, SkippableError, SyncError
from include.tiktok_sync.jobs import INSIGHTS_JOB, RunKey, StoreRun, api_of
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection, database_errors
from include.tiktok_sync.store_db.schema import check_schema
from include.tiktok_sync.sync.data_checks.check import warnings_of
from include.tiktok_sync.sync.insights.past_day import check_reach
from include.tiktok_sync.sync.insights.repository import InsightsRepository
from include.tiktok_sync.sync.repository import DryRunRepository, StoreRepository
from include.tiktok_sync.sync.stopped_tasks import StopRecorder
from include.tiktok_sync.sync.store_batch import cut, run_batch
from include.tiktok_sync.sync.store_job import StoreClient, StoreReport
from include.tiktok_sync.sync.store_run import Report, no_report
from include.tiktok_sync.sync.summary import RunSummary, summarize
from include.tiktok_sync.sync.sync_log import SyncLog
from include.tiktok_sync.tiktok.time_left import TimeLeft
from include.tiktok_sync.tokens.grant_app import check_app_of_grants, other_app_message
from include.tiktok_sync.tokens.grant_table import GrantTable, grants_of
from include.tiktok_sync.tokens.refusals import review_refusals
from include.tiktok_sync.tokens.sealed_rows import check_keys, unreadable_message
from include.tiktok_sync.tokens.vault import TokenVault
from tiktok_airflow.alerting import raise_and_notify
from tiktok_airflow.deadline import sla
from tiktok_airflow.hooks.business_hook import BusinessHook
from tiktok_airflow.hooks.store_db_hook import StoreDbHook
from tiktok_airflow.hooks.tiktok_hook import TikTokHook
from tiktok_airflow.metrics import record_run_metrics, record_store_metrics
from tiktok_airflow.tasks.context import (
    CHECKS_GROUP,
    ERROR_KEY,
    LIST_TASK,
    OUTCOME_KEY,
    day_to_sync,
    listed_stores,
    run_key,
)

log = structlog.get_logger(__name__)

MIN_SUCCESS_RATE_VARIABLE = "tiktok_min_success_rate"


def list_stores(context: Mapping[str, Any], per_task: int | None) -> list[list[str]]:
    """Codes of the stores to sync, after a check of everything that would fail for all of them.

    Args:
        context: Airflow's.
        per_task: Stores that share a task; ``None`` = as set by ``STORES_PER_TASK``.

    Returns:
        A list for each task.

    Raises:
        ConfigurationError: Schema, keys or app credentials are wrong, another app gave all of the
            grants, ``stores`` names a code that does not exist, or the run's day has not come yet
            or is too long ago for the Accounts API.
        RetriableError: The database or TikTok cannot be reached.
    """
    try:
        settings = Settings.from_env()
        day, job_name = day_to_sync(context, settings), context["dag_run"].dag_id
        if job_name == INSIGHTS_JOB:
            check_reach(day.date)
        with StoreDbHook.for_task(context).session() as conn, database_errors():
            check_schema(conn)
            grants = grants_of(job_name)
            _check_keys(conn, TokenVault(settings.token_keys), grants)
            repository = StoreRepository(conn)
            wanted = list(dict.fromkeys(context["params"]["stores"] or []))
            unknown = repository.unknown_store_codes(wanted)
            if unknown:
                message = (
                    f"There is no store {', '.join(unknown)}. Correct `stores` and trigger again."
                )
                raise ConfigurationError(message)
            removed = repository.removed_store_codes(wanted)
            if removed:
                message = (
                    f"Store {', '.join(removed)} has left (stores disconnect). Leave it out of"
                    " `stores`, or take it back in: stores resume."
                )
                raise ConfigurationError(message)
            codes = wanted or repository.active_store_codes(job_name)
            if codes:
                app = _app_of(job_name)
                _check_app(conn, app.fingerprint, codes, grants)
                app.check()
                _prepare_day(repository, job_name, day)
    except SyncError as error:
        context["ti"].xcom_push(ERROR_KEY, str(error))
        raise error.with_traceback(None) from None  # the message says it all
    batches = cut(codes, per_task or settings.stores_per_task)
    log.info("Stores listed", stores=len(codes), tasks=len(batches))
    return batches


def sync_stores(
    job_name: str,
    store_codes: Sequence[str],
    context: Mapping[str, Any],
    report: Report = no_report,
    *,
    store_timeout: timedelta | None = None,
    on_stop_recorder: Callable[[StopRecorder], None] = lambda _: None,
) -> None:
    """One task's stores, one after the other, on one database connection and one HTTP transport.

    Args:
        job_name: The Dag's id.
        store_codes: The stores.
        context: Airflow's.
        report: Called with the result of each store.
        store_timeout: Each store's share of the task's ``execution_timeout``: it ends by itself
            before; ``None`` = no limit.
        on_stop_recorder: Called with what records the stores should the task be stopped; not for a
            dry run.

    Raises:
        AirflowSkipException: Nothing to be done for any of them; the reason is in ``sync_logs``.
        SyncError: Some of them failed; the retry policy decides what follows.
    """
    settings = Settings.from_env()
    app = _app_of(job_name)
    params, day = context["params"], day_to_sync(context, settings)

    def store_done(found: StoreReport) -> None:
        stop_recorder.end(found.result.store_code)
        record_store_metrics(job_name, found)
        report(found)

    run_name = RunKey(job_name, context["run_id"], day.date).name

    def open_client(store_code: str) -> StoreClient:
        time_left = TimeLeft.of_task(store_timeout)
        stop_recorder.begin(store_code, time_left)
        return app.client(
            store_code, http=http, conn=conn, settings=settings, run=run_name, time_left=time_left
        )

    with StoreDbHook.for_task(context).session() as conn, app.transport() as http:
        repository = DryRunRepository(conn) if params["dry_run"] else StoreRepository(conn)
        total = len(set(params["stores"] or [])) or None
        runs = [StoreRun(job_name, context["run_id"], code, day, total) for code in store_codes]
        stop_recorder = StopRecorder(conn, runs)
        if not repository.dry_run:
            on_stop_recorder(stop_recorder)
        try:
            run_batch(
                runs,
                open_client=open_client,
                repository=repository,
                report=store_done,
            )
        except SkippableError as error:
            raise AirflowSkipException(str(error)) from error


def record_summary(context: Mapping[str, Any]) -> None:
    """Write the run's row of ``sync_logs`` and raise its alerts.

    If too many stores failed, the task fails, and the run with it.

    Raises:
        AirflowFailException: The stores could not be listed, or too many of them failed.
        AirflowSkipException: There was nothing to sync or it was a dry run, so no new data is
            announced.
    """
    settings = Settings.from_env()
    ti, dag_run = context["ti"], context["dag_run"]
    codes = listed_stores(context)
    if context["params"]["dry_run"]:
        message = "Dry run: nothing was written; each store's log says what would have been."
        raise AirflowSkipException(message)
    run = run_key(context)
    warnings: Sequence[Mapping[str, Any]] = ()
    with StoreDbHook.for_task(context).session() as conn, database_errors():
        sync_log = SyncLog(conn)
        if codes is None:
            reason = ti.xcom_pull(task_ids=LIST_TASK, key=ERROR_KEY) or "see the log of that task."
            summary = RunSummary("failed", f"The stores could not be listed: {reason}", {})
        else:
            warnings = _warnings(context)
            implausible = review_refusals(conn, run, grants_of(run.job_name))
            summary = summarize(
                sync_log,
                run,
                codes,
                min_success_rate=_min_success_rate(settings),
                warnings=warnings,
                implausible=implausible,
            )
        duration_ms = _milliseconds_since(dag_run.start_date)
        sync_log.record(
            run,
            None,
            summary.status,
            summary.message,
            duration_ms=duration_ms,
            details=summary.details,
        )
        is_backfill = dag_run.run_type == "backfill"
        ended = EndedRun(
            run,
            codes or [],
            summary,
            timedelta(milliseconds=duration_ms),
            # For a run whose deadline was not noticed: the callback waits for a slot, or failed.
            sla=sla() if run.job_name in MISSING_CHECKS and not is_backfill else None,
            is_backfill=is_backfill,
            consent_warning_days=settings.consent_warning_days,
            warnings=warnings,
        )
        raise_and_notify(
            conn,
            alerts_of(conn, ended),
            job_name=run.job_name,
            run_id=run.run_id,
            day=run.snapshot_date,
        )
    record_run_metrics(run.job_name, summary.status, duration_ms)
    log.info("Run summary", status=summary.status, outcome=summary.message)
    if summary.status == "failed":
        raise AirflowFailException(summary.message)
    if summary.status == "skipped":
        raise AirflowSkipException(summary.message)


def _app_of(job_name: str) -> TikTokApp | BusinessApp:
    return BusinessHook().app() if api_of(job_name) == "business" else TikTokHook().app()


def _prepare_day(repository: StoreRepository, job_name: str, day: SnapshotDay) -> None:
    if job_name == INSIGHTS_JOB:
        InsightsRepository(repository).ensure_partitions(day.date)
    else:
        repository.prepare_day(day)


def _check_keys(conn: Connection, vault: TokenVault, grants: GrantTable) -> None:
    use = check_keys(conn, vault, grants.api)
    if use.unreadable:
        log.warning("Tokens that no key opens", hint=unreadable_message(use, vault))


def _check_app(conn: Connection, app: str, codes: Sequence[str], grants: GrantTable) -> None:
    use = check_app_of_grants(conn, app, codes, table=grants)
    if use.of_others:
        log.warning("Grants of another TikTok app", hint=other_app_message(use, table=grants))


def _warnings(context: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    prefix = f"{CHECKS_GROUP}."
    tasks = sorted(name for name in context["task"].upstream_task_ids if name.startswith(prefix))
    # A check that could not run has left nothing and is not in the list.
    outcomes = context["ti"].xcom_pull(task_ids=tasks, key=OUTCOME_KEY) if tasks else []
    return warnings_of(
        [name.removeprefix(prefix) for name in tasks], [left for left in outcomes if left]
    )


def _min_success_rate(settings: Settings) -> float:
    from airflow.sdk import Variable  # noqa: PLC0415 - one look-up a run, in this task only

    text = Variable.get(MIN_SUCCESS_RATE_VARIABLE, default=None)
    if text is None:
        return settings.min_success_rate
    return Settings.from_env({"MIN_SUCCESS_RATE": str(text)}).min_success_rate


def _milliseconds_since(start: datetime | None) -> int:
    return round((utc_now() - start).total_seconds() * 1000) if start else 0
