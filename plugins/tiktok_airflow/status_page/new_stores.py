"""Stores put in from the page: one by a form, many by a CSV without tokens."""

from __future__ import annotations

from io import StringIO
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, FastAPI, File, Form, Response, UploadFile
from fastapi import status as http

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.stores.codes import clean_code, looks_like_token
from include.tiktok_sync.stores.importing.csv_text import decode
from include.tiktok_sync.stores.importing.load import GRANT_COLUMNS, ImportReport, import_stores
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tiktok_airflow.status_page.access import ManagerDep, Viewer
from tiktok_airflow.status_page.buttons.forms import FormDep, back, checked_form
from tiktok_airflow.status_page.database import StoreDbDep
from tiktok_airflow.status_page.rendering.look import Look, LookDep

LONGEST = {"code": 250, "name": 500, "region": 250, "timezone": 60}
"""Characters of each field; as long a code as the page's own addresses take."""

_EMPTY = dict.fromkeys(LONGEST, "")


def add_routes(app: FastAPI) -> None:
    """The page and what its two forms do."""
    app.get("/new-stores")(new_stores)
    app.post("/add-store")(add_store)
    app.post("/import-stores", dependencies=[Depends(checked_form)])(import_csv)


def new_stores(user: ManagerDep, look: LookDep) -> Response:
    """Both forms, empty."""
    return _page(look, user)


def add_store(  # noqa: PLR0913, PLR0917 - a parameter per field of the form
    user: ManagerDep,
    look: LookDep,
    form: FormDep,
    conn: StoreDbDep,
    code: Annotated[str, Form()] = "",
    name: Annotated[str, Form()] = "",
    region: Annotated[str, Form()] = "",
    timezone: Annotated[str, Form()] = "",
    new: Annotated[bool, Form()] = False,  # noqa: FBT002 - a tick box
) -> Response:
    """The button "add the store"; what was typed stays in the form when it is refused."""
    typed = {
        "code": clean_code(code),
        "name": name.strip(),
        "region": region.strip(),
        "timezone": timezone.strip(),
    }
    try:
        _check(typed)
        Lifecycle(conn, user.actor).add(
            typed["code"],
            typed["name"],
            typed["region"] or None,
            timezone=typed["timezone"],
            new_too=new,
        )
    except DataError as error:
        return _page(look, user, http.HTTP_409_CONFLICT, typed=typed, refused=str(error))
    done = f"{typed['code']} is in. It needs its manager's consent: make a link and send it."
    return back(form, f"/store?code={quote(typed['code'], safe='')}", done)


def import_csv(
    user: ManagerDep,
    look: LookDep,
    conn: StoreDbDep,
    csv_file: Annotated[UploadFile | None, File()] = None,
    csv_text: Annotated[str, Form()] = "",
    new: Annotated[bool, Form()] = False,  # noqa: FBT002 - a tick box
) -> Response:
    """The button "load the stores": a file, or what was pasted."""
    # A browser sends a field without a file as one without a name.
    chosen = csv_file if csv_file is not None and csv_file.filename else None
    if chosen and csv_text.strip():
        problem = "There is a file and a pasted text. Take one of them away."
        return _page(look, user, http.HTTP_409_CONFLICT, pasted=_kept(csv_text), unread=problem)
    try:
        text = decode(chosen.file.read()) if chosen else csv_text
        if not text.strip("\ufeff \t\r\n"):
            return _page(look, user, http.HTTP_409_CONFLICT, unread="Choose a file, or paste one.")
        source = StringIO(text, newline="")
        report = import_stores(source, conn, None, actor=user.actor, new_codes=new)
    except DataError as error:
        return _page(look, user, http.HTTP_409_CONFLICT, pasted=_kept(csv_text), unread=str(error))
    return _page(look, user, report=report, pasted=_kept(csv_text) if report.problems else "")


def _check(typed: dict[str, str]) -> None:
    for field, most in LONGEST.items():
        if len(typed[field]) > most:
            message = f"The {field} is {len(typed[field])} characters long; it can be {most}."
            raise DataError(message)
        if "\x00" in typed[field]:
            message = f"The {field} holds a NUL character."
            raise DataError(message)


def _kept(pasted: str) -> str:
    """What is left in the form: nothing of a text that may hold tokens."""
    header = pasted.strip().partition("\n")[0].lower().replace(" ", "_")
    secret = looks_like_token(pasted) or any(column in header for column in GRANT_COLUMNS)
    return "" if secret else pasted


def _page(
    look: Look,
    user: Viewer,
    status: int = http.HTTP_200_OK,
    *,
    typed: dict[str, str] | None = None,
    refused: str = "",
    pasted: str = "",
    unread: str = "",
    report: ImportReport | None = None,
) -> Response:
    return look.page(
        "new_stores",
        user,
        status,
        typed=typed or _EMPTY,
        refused=refused,
        longest=LONGEST,
        pasted=pasted,
        unread=unread,
        report=report,
    )
