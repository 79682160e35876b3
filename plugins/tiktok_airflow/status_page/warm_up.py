"""What would the first page of a process wait for? It is done when the API server starts.

A page of a process that has answered nothing yet took another 0.25 s of processor time: the first
query of Airflow's own models sets all of them up (0.15 s), the templates are compiled (0.1 s),
and the store database is reached for the first time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import SyncError
from include.tiktok_sync.settings import Settings
from tiktok_airflow.status_page import pages
from tiktok_airflow.status_page.airflow_rest import ask_for_health
from tiktok_airflow.status_page.database import store_db
from tiktok_airflow.status_page.rendering.look import load_templates

log = structlog.get_logger(__name__)


@asynccontextmanager
async def warmed_up(app: FastAPI) -> AsyncIterator[None]:
    """The app's lifespan, which Airflow enters at its own start: warms up in parallel.

    Nothing waits for it, and nothing of it keeps the API server from starting.
    """
    del app
    warming = asyncio.create_task(warm_up())
    yield
    warming.cancel()
    with suppress(asyncio.CancelledError):
        await warming


async def warm_up() -> dict[str, str]:
    """Do once what every page does.

    A step that fails is left to the first page, which says why: at the very first start, for
    example, Airflow does not know the store database yet.

    Returns:
        The steps that failed, each with its reason; never a secret.
    """
    steps: dict[str, Callable[[], Awaitable[None]]] = {
        "Airflow": ask_for_health,
        "templates": lambda: run_in_threadpool(load_templates),
        "store database": lambda: run_in_threadpool(_read_overview),
    }
    failed: dict[str, str] = {}
    for name, step in steps.items():
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - must not end the API server; it may hold a URL
            failed[name] = str(error) if isinstance(error, SyncError) else type(error).__name__
    log.info("Status page warmed up", left_out=failed)
    return failed


def _read_overview() -> None:
    with contextmanager(store_db)() as conn:
        pages.overview(conn, [], Settings.from_env(), utc_now())
