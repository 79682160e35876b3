"""The status page without Airflow's login: the real app on a real database, a chosen user."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from include.local.ports import HOST
from include.tiktok_sync.store_db.database import Connection, connect
from tests.threaded_server import ThreadedServer
from tiktok_airflow.status_page.access import Viewer, viewer
from tiktok_airflow.status_page.airflow_rest import AirflowRest
from tiktok_airflow.status_page.app import build_app
from tiktok_airflow.status_page.database import errors_of_a_page, store_db
from tiktok_airflow.status_page.rendering.look import PREFIX
from tiktok_airflow.status_page.runs import ActiveRun, active_runs, paused_dags, rest

ADMIN = Viewer("admin", "admin", may_sync=True, may_retry=True, may_manage=True)
READER = Viewer("reader", "reader", may_sync=False, may_retry=False, may_manage=False)


def status_site(
    db_url: str,
    *,
    user: Callable[[], Viewer] = lambda: ADMIN,
    runs: Callable[[], Sequence[ActiveRun]] = lambda: (),
    paused: Sequence[str] = (),
    airflow: AirflowRest | None = None,
) -> FastAPI:
    """Mounted as Airflow mounts it.

    Args:
        db_url: The store database.
        user: Who looks.
        runs: What Airflow says is active.
        paused: Dags that it says are switched off.
        airflow: What the buttons ask; ``None`` = Airflow itself.
    """
    app = build_app()

    def database() -> Iterator[Connection]:
        with connect(db_url, application_name="test") as conn, errors_of_a_page():
            yield conn

    app.dependency_overrides = {
        viewer: user,
        active_runs: lambda: list(runs()),
        paused_dags: lambda: list(paused),
        store_db: database,
    }
    if airflow is not None:
        app.dependency_overrides[rest] = lambda: airflow
    site = FastAPI()
    site.mount(PREFIX, app)
    return site


@contextmanager
def served(site: FastAPI) -> Iterator[str]:
    """Serve it on a free loopback port; gives the URL of the page."""
    with socket.create_server((HOST, 0)) as listener:
        config = uvicorn.Config(
            site, log_level="warning", lifespan="off", timeout_graceful_shutdown=30
        )
        server = ThreadedServer(config, listener)
        server.start()
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}{PREFIX}/"
        finally:
            server.stop()
