"""What the tasks of the first Dags do, with everything imported at the top, as one would.

The work on a store is the product's own; only how Airflow gets to it differs.
"""

from __future__ import annotations

from functools import partial

from airflow.sdk import get_current_context

from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.jobs import RunKey, StoreRun
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_run import run_store
from include.tiktok_sync.sync.summary import summarize
from include.tiktok_sync.sync.sync_log import SyncLog
from tiktok_airflow.hooks.store_db_hook import StoreDbHook
from tiktok_airflow.hooks.tiktok_hook import TikTokHook


def list_active_stores() -> list[str]:
    """Codes of the active stores; makes the day's partitions."""
    with StoreDbHook().session() as conn:
        repository = StoreRepository(conn)
        repository.ensure_partitions(_day().date)
        return repository.active_store_codes()


def sync_one_store(job_name: str, store_code: str) -> None:
    """One store, on a database connection and an HTTP session of its own."""
    settings = Settings.from_env()
    app = TikTokHook().app()
    with StoreDbHook().session() as conn, app.transport() as http:
        run_store(
            StoreRun(job_name, get_current_context()["dag_run"].run_id, store_code, _day()),
            open_client=partial(app.client, store_code, http=http, conn=conn, settings=settings),
            repository=StoreRepository(conn),
        )


def record_run(job_name: str) -> None:
    """The run's row of ``sync_logs``."""
    run = RunKey(job_name, get_current_context()["dag_run"].run_id, _day().date)
    with StoreDbHook().session() as conn:
        sync_log = SyncLog(conn)
        codes = StoreRepository(conn).active_store_codes()
        summary = summarize(sync_log, run, codes, min_success_rate=0.9)
        sync_log.record(
            run, None, summary.status, summary.message, duration_ms=0, details=summary.details
        )


def _day() -> SnapshotDay:
    dag_run = get_current_context()["dag_run"]
    moment = dag_run.logical_date or dag_run.run_after
    return SnapshotDay.of(moment, Settings.from_env().timezone)
