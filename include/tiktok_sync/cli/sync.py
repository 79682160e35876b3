"""The command that syncs one store."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import uuid4

import typer

from include.tiktok_sync.app import app_of
from include.tiktok_sync.cli.common import EXIT_CODES, errors_for_people, store_database
from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import (
    INSIGHTS_JOB,
    REFRESH_BUSINESS_JOB,
    REFRESH_JOB,
    USER_JOB,
    VIDEO_JOB,
    StoreRun,
)
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.sync.insights.repository import InsightsRepository
from include.tiktok_sync.sync.repository import DryRunRepository, StoreRepository
from include.tiktok_sync.sync.store_run import run_store
from include.tiktok_sync.tokens.grant_app import check_app_of_grants
from include.tiktok_sync.tokens.grant_table import BUSINESS, grants_of

JOBS = {
    "user": USER_JOB,
    "video": VIDEO_JOB,
    "refresh": REFRESH_JOB,
    "refresh-business": REFRESH_BUSINESS_JOB,
    "insights": INSIGHTS_JOB,
}
_NAMES = f"{', '.join(list(JOBS)[:-1])} or {list(JOBS)[-1]}"

app = typer.Typer()


@app.command("sync-store", epilog=EXIT_CODES)
def sync_store(
    store_code: Annotated[str, typer.Argument(help="Code of one store, as in the table stores.")],
    *,
    job: Annotated[str, typer.Option(help=f"What to do: {_NAMES}.")] = "user",
    date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Snapshot day, not in the future; default: today."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Call TikTok, write nothing, show what would be written."),
    ] = False,
) -> None:
    """Sync one store now and record it in sync_logs."""
    with errors_for_people():
        if job not in JOBS:
            message = f"--job must be {_NAMES}, not {job!r}."
            raise ConfigurationError(message)
        settings = Settings.from_env()
        grants = grants_of(JOBS[job])
        tiktok = app_of(settings, grants.api)
        day = (
            SnapshotDay.asked_for(date.date(), settings.timezone, utc_now())
            if date
            else SnapshotDay.of(utc_now(), settings.timezone)
        )
        with store_database(settings) as conn, tiktok.transport() as http:
            repository = DryRunRepository(conn) if dry_run else StoreRepository(conn)
            if repository.unknown_store_codes([store_code]):
                message = f"There is no store {store_code} in the table stores."
                raise ConfigurationError(message)
            if repository.removed_store_codes([store_code]):
                message = (
                    f"Store {store_code} has left (stores disconnect). To take it back in: stores"
                    f" resume {store_code}"
                )
                raise ConfigurationError(message)
            check_app_of_grants(conn, tiktok.fingerprint, [store_code], table=grants)
            if grants is BUSINESS:
                InsightsRepository(repository).ensure_partitions(day.date)
            else:
                repository.prepare_day(day)
            run = StoreRun(JOBS[job], f"cli__{uuid4()}", store_code, day, stores_in_run=1)
            outcome = run_store(
                run,
                open_client=lambda: tiktok.client(
                    store_code, http=http, conn=conn, settings=settings
                ),
                repository=repository,
            )
    typer.echo(f"{store_code}: {outcome.message}" + (" (dry run)" if dry_run else ""))
