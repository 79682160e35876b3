"""The weekly reports on the status page: a list, each report, its charts as pictures."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Query, Response
from fastapi import status as http
from fastapi.responses import HTMLResponse

from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.reports import archive
from include.tiktok_sync.reports.week import Week
from include.tiktok_sync.settings import Settings
from tiktok_airflow.status_page.access import ViewerDep
from tiktok_airflow.status_page.database import StoreDbDep
from tiktok_airflow.status_page.rendering.look import LookDep

Region = Annotated[str, Query(max_length=250)]

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def add_routes(app: FastAPI) -> None:
    """Put them into the app."""
    app.get("/reports")(report_list)
    app.get("/report")(report)
    app.get("/report.png")(picture)


def _week(week: Annotated[str, Query(max_length=10)]) -> Week:
    """The week of an address.

    Raises:
        HTTPException: 404 where none of this name can have a report.
    """
    try:
        return Week.asked_for(week, SnapshotDay.of(utc_now(), Settings.from_env().timezone).date)
    except ConfigurationError as error:
        raise HTTPException(http.HTTP_404_NOT_FOUND, str(error)) from None


WeekDep = Annotated[Week, Depends(_week)]


def report_list(user: ViewerDep, look: LookDep, conn: StoreDbDep) -> Response:
    """The reports that are kept."""
    return look.page("reports", user, reports=archive.kept_reports(conn))


def report(user: ViewerDep, conn: StoreDbDep, week: WeekDep, region: Region = "") -> Response:
    """A report as it was made, with its own style and nothing else: no script, nothing loaded."""
    del user  # asked for, so that nobody else gets it
    html = archive.kept_page(conn, week, region)
    if html is None:
        raise _none_kept(week, region)
    return HTMLResponse(html, headers={"Content-Security-Policy": _policy(html)})


def picture(
    user: ViewerDep,
    conn: StoreDbDep,
    week: WeekDep,
    name: Annotated[str, Query(max_length=50)],
    region: Region = "",
) -> Response:
    """One of its charts, to be put on a slide."""
    del user  # asked for, so that nobody else gets it
    png = archive.kept_picture(conn, week, region, name)
    if png is None:
        raise _none_kept(week, region)
    file = re.sub(r"[^A-Za-z0-9_-]+", "-", f"tiktok-{week.name}-{name}") + ".png"
    return Response(
        png,
        media_type="image/png",
        headers={"Content-Disposition": f'attachment; filename="{file}"'},
    )


def _policy(html: str) -> str:
    found = _STYLE.search(html)
    digest = hashlib.sha256((found[1] if found else "").encode()).digest()
    style = f"'sha256-{base64.b64encode(digest).decode()}'"
    return (
        f"default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
    )


def _none_kept(week: Week, region: str) -> HTTPException:
    of_region = f" of {region}" if region else ""
    return HTTPException(
        http.HTTP_404_NOT_FOUND,
        f"No report{of_region} is kept for {week.name}. Trigger the Dag report_weekly with this"
        " week to make it.",
    )
