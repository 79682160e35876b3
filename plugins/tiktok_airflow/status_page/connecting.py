"""Connect links made from the page: for one store, shown once, and for all that wait, as CSV.

A link is in an answer's body and nowhere else: no address, cookie, log line or redirect of ours.
"""

from __future__ import annotations

import os
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, Form, HTTPException, Response
from fastapi import status as http

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import Api, has_insights
from include.tiktok_sync.links.connect_links import DEFAULT_DAYS, MAX_DAYS, ConnectLink, LinkMaker
from include.tiktok_sync.links.open_links import MOST_AT_ONCE, last_link, make_links, waiting_stores
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.status import store as status_store
from include.tiktok_sync.store_db.database import Connection
from tiktok_airflow.status_page.access import ManagerDep, Viewer
from tiktok_airflow.status_page.buttons.forms import checked_form
from tiktok_airflow.status_page.database import StoreDbDep
from tiktok_airflow.status_page.rendering.downloads import csv_download
from tiktok_airflow.status_page.rendering.formats import moment
from tiktok_airflow.status_page.rendering.look import LookDep

_WHAT: dict[Api, str] = {
    "display": "its figures every night",
    "business": (
        "the statistics that TikTok keeps of it: the last 60 days, and how its videos are watched"
        " (TikTok asks for this separately, even if the account is connected already)"
    ),
}
"""What a link is for, in the message to the manager."""

_COLUMNS = ("store_code", "store_name", "link", "valid_until")


def add_routes(app: FastAPI) -> None:
    """What the two buttons do; both answer with the links themselves."""
    ours = [Depends(checked_form)]
    app.post("/connect-link", dependencies=ours)(connect_link)
    app.post("/connect-links.csv", dependencies=ours)(connect_links)


def for_one(conn: Connection, user: Viewer, code: str) -> dict[str, Any]:
    """What a store's page shows of links."""
    second = last_link(conn, code, "business") if has_insights() else None
    return {
        **_for_form(user),
        "last_link": last_link(conn, code),
        "last_second_link": second,
    }


def for_all(conn: Connection, user: Viewer) -> dict[str, Any]:
    """What the list of stores shows of links, to whom may make them."""
    waiting = waiting_stores(conn) if user.may_manage else []
    linked = sum(store.has_link for store in waiting)
    shown = {**_for_form(user), "has_insights": has_insights()}
    return {**shown, "waiting": len(waiting), "linked": linked, "most": MOST_AT_ONCE}


def connect_link(
    user: ManagerDep,
    look: LookDep,
    conn: StoreDbDep,
    store_code: Annotated[str, Form(max_length=250)],
    days: Annotated[str, Form()] = str(DEFAULT_DAYS),
    account: Annotated[str, Form()] = "",
    api: Annotated[Api, Form()] = "display",
) -> Response:
    """The button "make a connect link"; the page that answers is the only one to show it."""
    store = status_store.store(conn, store_code)
    if store is None:
        raise HTTPException(http.HTTP_404_NOT_FOUND, f"There is no store {store_code}.")
    typed = {"days": days.strip(), "account": account.strip(), "api": api}
    shown = {**_for_form(user), "store": store, **typed}
    try:
        maker = LinkMaker.from_env(os.environ, user.actor)
        link = maker.make(
            conn,
            store_code,
            api=api,
            days=_whole(days),
            expected_account=account.strip() or None,
        )
    except ConfigurationError as error:
        return look.page(
            "link", user, http.HTTP_409_CONFLICT, **shown, link=None, refused=str(error)
        )
    letter = _letter(link, Settings.from_env(), api)
    return look.page("link", user, **shown, link=link, refused="", **letter)


def connect_links(
    user: ManagerDep,
    look: LookDep,
    conn: StoreDbDep,
    days: Annotated[str, Form()] = str(DEFAULT_DAYS),
    again: Annotated[bool, Form()] = False,  # noqa: FBT002 - a tick box
) -> Response:
    """The button "links for all of them": a table for a spreadsheet or a mail merge."""
    try:
        maker = LinkMaker.from_env(os.environ, user.actor)
        links = make_links(conn, maker, days=_whole(days), again=again)
    except ConfigurationError as error:
        return look.failure(http.HTTP_409_CONFLICT, "No link was made", str(error))
    if not links:
        message = "No store needs one: each is connected, or has a link that still works."
        return look.failure(http.HTTP_409_CONFLICT, "No link was made", message)
    settings = Settings.from_env()
    rows = ((link.store_code, link.store_name, link.url, _until(link, settings)) for link in links)
    return csv_download("connect-links.csv", _COLUMNS, rows)


def _for_form(user: Viewer) -> dict[str, Any]:
    """What a form for links needs, and what is missing for it."""
    problem = ""
    if user.may_manage:
        try:
            LinkMaker.from_env(os.environ, user.actor)
        except ConfigurationError as error:
            problem = str(error)
    return {"link_problem": problem, "default_days": DEFAULT_DAYS, "max_days": MAX_DAYS}


def _whole(days: str) -> int:
    try:
        return int(days)
    except ValueError:
        message = f"A link works for 1 to {MAX_DAYS} days, a whole number, not {days[:20]!r}."
        raise ConfigurationError(message) from None


def _until(link: ConnectLink, settings: Settings) -> str:
    return moment(link.expires_at, settings.timezone)


def _letter(link: ConnectLink, settings: Settings, api: Api) -> dict[str, Any]:
    """A message to the manager, also as the address that opens a mail program."""
    what = _WHAT[api]
    subject = f"Please connect the TikTok account of {link.store_name}"
    message = (
        "Hello,\n\n"
        f"please connect the TikTok account of {link.store_name} ({link.store_code}), so that we"
        f" can read {what}. Open this link, log in to TikTok as the store, and"
        f" allow everything that is asked for:\n\n{link.url}\n\n"
        f"The link is for this store alone and works until {_until(link, settings)}. Please do not"
        " pass it on. We never see the password of TikTok.\n"
    )
    body = message.replace("\n", "\r\n")  # as RFC 6068 has it
    mail = f"mailto:?subject={quote(subject, safe='')}&body={quote(body, safe='')}"
    return {"until": _until(link, settings), "message": message, "mail": mail}
