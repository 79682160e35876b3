"""Commands for consents: which end soon, and which privacy notice was shown before each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from include.tiktok_sync.cli.common import (
    EXIT_CODES,
    JsonOption,
    errors_for_people,
    print_json,
    print_table,
    store_database,
)
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.consents import (
    STAGES,
    NoticeState,
    PrivacyNotice,
    consents_ending,
    notices_shown,
    privacy_notices,
)

_RIGHT = {"justify": "right"}


def register(app: typer.Typer) -> None:
    """Add the commands to ``stores``."""
    app.command("calendar", epilog=EXIT_CODES)(calendar)
    app.command("notices", epilog=EXIT_CODES)(notices)


def calendar(
    *,
    days: Annotated[int, typer.Option(min=0, help="How far to look ahead.")] = STAGES[0],
    notice: Annotated[
        NoticeState | None,
        typer.Option(
            help="Instead list every consent, whenever it ends, given after the current privacy"
            " notice was shown, after an older one, or after none by the connect app."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the consents that end soon, the earliest first: 30, 14 and 3 days before, or ended.

    Only the store's manager can renew a consent; no refresh prolongs it.
    """
    with errors_for_people(), store_database(Settings.from_env()) as conn:
        if notice is not None:
            _list_shown(conn, notice, as_json=as_json)
            return
        consents = consents_ending(conn, days)
    if as_json:
        print_json([{**asdict(consent), "stage": consent.stage} for consent in consents])
        return
    if not consents:
        typer.echo(f"No consent ends within {days} days.")
        return
    _print(
        {
            "ends": {},
            "days left": _RIGHT,
            "store": {},
            "name": {},
            "region": {},
            "api": {},
            "state": {},
            "privacy notice": {},
        },
        [
            (
                consent.ends_at,
                "ended" if consent.stage == 0 else int(consent.days_left),
                consent.store_code,
                consent.store_name,
                consent.region,
                consent.api,
                consent.state,
                consent.notice,
            )
            for consent in consents
        ],
    )


def _list_shown(conn: Connection, notice: NoticeState, *, as_json: bool) -> None:
    shown = notices_shown(conn, notice)
    if as_json:
        print_json([asdict(one) for one in shown])
        return
    if not shown:
        typer.echo(f"There is no such consent (privacy notice: {notice}).")
        return
    columns = ("store", "name", "region", "api", "state", "given", "privacy notice")
    _print(
        {name: {} for name in columns},
        [
            (
                one.store_code,
                one.store_name,
                one.region,
                one.api,
                one.state,
                one.given_at,
                one.notice_version,
            )
            for one in shown
        ],
    )


def _print(columns: Mapping[str, Any], rows: Sequence[Sequence[Any]]) -> None:
    """A table of consents, with their API if one of them is to the second."""
    place = list(columns).index("api")
    if all(row[place] == "display" for row in rows):
        columns = {name: style for name, style in columns.items() if name != "api"}
        rows = [(*row[:place], *row[place + 1 :]) for row in rows]
    print_table(columns, rows)


def notices(
    version: Annotated[
        str | None, typer.Argument(help="Print the text of this version, as it was shown.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List the privacy notices that store managers were shown, the current one first.

    Which stores: stores calendar --notice older (or current, none).
    """
    with errors_for_people(), store_database(Settings.from_env()) as conn:
        found = privacy_notices(conn)
        if version is not None:
            typer.echo(_text_of(found, version), nl=False)
            return
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        typer.echo("No privacy notice was shown yet.")
        return
    print_table(
        {"version": {}, "first shown": {}, "current": {}, "consents": _RIGHT},
        [
            (one.version, one.first_shown_at, "yes" if one.is_current else "no", one.grants)
            for one in found
        ],
    )


def _text_of(notices_known: Sequence[PrivacyNotice], version: str) -> str:
    for one in notices_known:
        if one.version == version:
            return one.text
    message = f"There is no privacy notice {version}. List the versions with: stores notices"
    raise ConfigurationError(message)
