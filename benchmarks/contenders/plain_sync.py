"""The sync without Airflow: batches with a barrier, as the earlier system did it, or one by one.

``python -m benchmarks.contenders.plain_sync batches user,video`` does every active store on the
database and TikTok that the environment names, with the product's own code for a store, and
prints the result as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any
from uuid import uuid4

import structlog
import typer

from benchmarks.workload import JOBS, Job
from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.errors import SyncError
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import connect
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_run import run_store

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class PlainSync:
    """Every store of some jobs in one process.

    Args:
        settings: Database, app and keys.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.required("store_db_url")
        self._app = TikTokApp(
            settings.api_url, settings.required("client_key"), settings.required("client_secret")
        )
        self.run_id = f"bench__{uuid4()}"
        self._day = SnapshotDay.of(utc_now(), settings.timezone)
        with connect(self._url, application_name="bench") as conn:
            repository = StoreRepository(conn)
            repository.ensure_partitions(self._day.date)
            self.codes = repository.active_store_codes()

    def do(self, job: Job, code: str) -> None:
        """One store, as a task does it; a failure is in ``sync_logs``."""
        run = StoreRun(job.dag_id, self.run_id, code, self._day, len(self.codes))
        with (
            connect(self._url, application_name="bench") as conn,
            self._app.transport() as http,
        ):
            try:
                run_store(
                    run,
                    open_client=partial(
                        self._app.client, code, http=http, conn=conn, settings=self._settings
                    ),
                    repository=StoreRepository(conn),
                )
            except SyncError:
                return

    async def batches(self, job: Job) -> tuple[float, float]:
        """All stores; the next batch begins when the one before is done.

        Returns:
            Begin and end, in seconds since 1970.
        """
        begun = time.time()
        for at in range(0, len(self.codes), job.slots):
            batch = self.codes[at : at + job.slots]
            await asyncio.gather(*(asyncio.to_thread(self.do, job, code) for code in batch))
        return begun, time.time()

    def one_by_one(self, job: Job, sample: int) -> tuple[float, float]:
        """The first stores, one after the other; returns as `batches`."""
        begun = time.time()
        for code in self.codes[:sample]:
            self.do(job, code)
        return begun, time.time()


async def _side_by_side(sync: PlainSync, jobs: Sequence[Job]) -> dict[str, tuple[float, float]]:
    # asyncio's own pool has a few threads per core, which wait for TikTok most of the time.
    asyncio.get_running_loop().set_default_executor(
        ThreadPoolExecutor(sum(job.slots for job in jobs))
    )
    spans = await asyncio.gather(*(sync.batches(job) for job in jobs))
    return {job.name: span for job, span in zip(jobs, spans, strict=True)}


@app.command()
def main(
    way: Annotated[str, typer.Argument(help="batches, or loop")],
    jobs: Annotated[str, typer.Argument(help="user, video, or user,video")],
    *,
    sample: Annotated[int, typer.Option(help="Stores that the loop does.")] = 10,
) -> None:
    """Sync the active stores; log lines go to standard error."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    chosen = [JOBS[name] for name in jobs.split(",")]
    sync = PlainSync(Settings.from_env())
    begun = time.process_time()
    if way == "loop":
        spans = {job.name: sync.one_by_one(job, sample) for job in chosen}
    else:
        spans = asyncio.run(_side_by_side(sync, chosen))
    result: dict[str, Any] = {
        "run_id": sync.run_id,
        "spans": spans,
        "cpu_s": time.process_time() - begun,
    }
    typer.echo(json.dumps(result))


if __name__ == "__main__":
    app()
