"""The web app: which address shows what, and which button does what."""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Form, HTTPException, Query, Response
from fastapi import status as http
from fastapi.concurrency import run_in_threadpool
from fastapi.staticfiles import StaticFiles

from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.jobs import nightly_jobs
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.status import runs as status_runs
from include.tiktok_sync.status import store as status_store
from include.tiktok_sync.status import stores as status_stores
from include.tiktok_sync.stores.lifecycle import StoreState
from tiktok_airflow.status_page import connecting, new_stores, pages, reports, runs
from tiktok_airflow.status_page.access import ViewerDep
from tiktok_airflow.status_page.buttons.bounded import BoundedBody
from tiktok_airflow.status_page.buttons.forms import FormDep, back
from tiktok_airflow.status_page.database import StoreDbDep
from tiktok_airflow.status_page.failures import add_handlers
from tiktok_airflow.status_page.rendering.downloads import csv_download
from tiktok_airflow.status_page.rendering.look import STATIC, LookDep, add_headers
from tiktok_airflow.status_page.runs import ActiveRunsDep, PausedDagsDep, RestDep
from tiktok_airflow.status_page.warm_up import warmed_up

DagId = Annotated[str, Query(max_length=250)]
RunId = Annotated[str, Query(max_length=250)]

_CSV_COLUMNS = [field.name for field in fields(status_runs.StoreRunRow)]


def build_app() -> FastAPI:
    """The app that the plugin mounts; every address but the style sheet asks for the login."""
    app = FastAPI(
        title="TikTok sync", docs_url=None, redoc_url=None, openapi_url=None, lifespan=warmed_up
    )
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.get("/")(overview)
    app.get("/live")(live)
    app.get("/run")(run_report)
    app.get("/run.csv")(run_csv)
    app.get("/stores")(store_list)
    app.get("/store")(store)
    app.post("/sync-store")(sync_store)
    app.post("/retry-failed")(retry_failed)
    new_stores.add_routes(app)
    connecting.add_routes(app)
    reports.add_routes(app)
    app.add_middleware(BoundedBody)  # inside the headers, which its refusal gets too
    add_headers(app)
    add_handlers(app)
    return app


def overview(
    user: ViewerDep,
    look: LookDep,
    conn: StoreDbDep,
    active: ActiveRunsDep,
    paused: PausedDagsDep,
) -> Response:
    """The status page."""
    shown = pages.overview(conn, active, Settings.from_env(), utc_now())
    return look.page("overview", user, **shown, paused=paused)


def live(user: ViewerDep, look: LookDep, conn: StoreDbDep, active: ActiveRunsDep) -> Response:
    """The part of it that the browser reads again every few seconds."""
    stores = status_stores.active_stores(conn)
    return look.page("live", user, **pages.live(conn, active, Settings.from_env(), stores))


def run_report(
    user: ViewerDep,
    look: LookDep,
    conn: StoreDbDep,
    active: ActiveRunsDep,
    dag_id: DagId,
    run_id: RunId,
    status: Annotated[Literal["", "success", "failed", "skipped"], Query()] = "",
) -> Response:
    """The stores of a run; it is a tab of every run in Airflow, also of Dags that are not ours."""
    if dag_id not in nightly_jobs():
        return look.page("foreign", user, dag_id=dag_id)
    return look.page("run", user, **pages.run_report(conn, dag_id, run_id, active, status))


def run_csv(user: ViewerDep, conn: StoreDbDep, dag_id: DagId, run_id: RunId) -> Response:
    """All stores of a run as a table for a spreadsheet."""
    del user  # asked for, so that nobody else gets it
    rows = map(astuple, status_runs.all_stores(conn, dag_id, run_id))
    return csv_download(pages.file_name(dag_id, run_id), _CSV_COLUMNS, rows)


def store_list(
    user: ViewerDep,
    look: LookDep,
    conn: StoreDbDep,
    q: Annotated[str, Query(max_length=100)] = "",
    page: Annotated[int, Query(ge=1, le=1000)] = 1,
    state: Annotated[StoreState | Literal[""], Query()] = "",
) -> Response:
    """All stores, to find one, and links for those that need consent."""
    found = pages.store_list(conn, q.strip(), page, state)
    return look.page("stores", user, **found, **connecting.for_all(conn, user))


def store(
    user: ViewerDep,
    look: LookDep,
    conn: StoreDbDep,
    active: ActiveRunsDep,
    paused: PausedDagsDep,
    code: Annotated[str, Query(max_length=250)],
) -> Response:
    """One store over time."""
    today = SnapshotDay.of(utc_now(), Settings.from_env().timezone).date
    found = pages.store(conn, code, active, today)
    if found is None:
        raise _no_store(code)
    links = connecting.for_one(conn, user, code)
    return look.page("store", user, **found, **links, paused=paused)


async def sync_store(
    user: ViewerDep,
    form: FormDep,
    conn: StoreDbDep,
    airflow: RestDep,
    store_code: Annotated[str, Form(max_length=250)],
) -> Response:
    """The button "sync this store now"."""
    form.require(allowed=user.may_sync, what="trigger runs")
    if await run_in_threadpool(status_store.store, conn, store_code) is None:
        raise _no_store(store_code)
    insights = await run_in_threadpool(pages.second_grant, conn, store_code)
    done = await runs.sync_store(airflow, store_code, insights=insights is not None)
    return back(form, f"/store?code={quote(store_code, safe='')}", done)


async def retry_failed(
    user: ViewerDep,
    form: FormDep,
    airflow: RestDep,
    dag_id: Annotated[str, Form(max_length=250)],
    run_id: Annotated[str, Form(max_length=250)],
) -> Response:
    """The button "retry failed stores"."""
    form.require(allowed=user.may_retry, what="clear tasks")
    if dag_id not in nightly_jobs():
        raise HTTPException(http.HTTP_404_NOT_FOUND, f"{dag_id} is no sync of TikTok.")
    done = await runs.retry_failed(airflow, dag_id, run_id)
    return back(form, "/run?" + urlencode({"dag_id": dag_id, "run_id": run_id}), done)


def _no_store(code: str) -> HTTPException:
    return HTTPException(http.HTTP_404_NOT_FOUND, f"There is no store {code}.")
