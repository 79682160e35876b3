"""Commands for stores: list, add, import, pause and resume them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timezone
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import typer

from include.tiktok_sync.cli import consents as cli_consents
from include.tiktok_sync.cli import leaving as cli_leaving
from include.tiktok_sync.cli.common import (
    EXIT_CODES,
    EXIT_CONFIGURATION,
    EXIT_FAILED,
    AsOption,
    CodesArgument,
    JsonOption,
    actor_of,
    errors_for_people,
    fail,
    for_each_store,
    print_json,
    print_table,
    store_database,
)
from include.tiktok_sync.errors import ConfigurationError, DataError
from include.tiktok_sync.jobs import has_insights
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.stores.codes import clean_code
from include.tiktok_sync.stores.importing import csv_text
from include.tiktok_sync.stores.importing.load import ImportReport, import_stores
from include.tiktok_sync.stores.lifecycle import Lifecycle, StoreState
from include.tiktok_sync.stores.overview import StoreLine, overview
from include.tiktok_sync.tiktok.fingerprint import fingerprint_of
from include.tiktok_sync.tokens.sealed_rows import key_use, unreadable_message
from include.tiktok_sync.tokens.vault import TokenVault

NewOption = Annotated[
    bool,
    typer.Option(
        "--new",
        help="Accept new codes that differ from others only in case, leading zeros or"
        " blanks, or look like a date or number made by Excel.",
    ),
]

app = typer.Typer(
    no_args_is_help=True,
    help="Add stores, list them, pause them, remove them.",
)


@app.command("list", epilog=EXIT_CODES)
def list_(
    *,
    state: Annotated[
        StoreState | None, typer.Option(help="Only stores in this state; see docs/lifecycle.md.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List every store with its state, the end of its consent and its last success.

    Where the Accounts API is used, also the state of the grant for it.
    """
    with errors_for_people(), store_database(Settings.from_env()) as conn:
        stores = overview(conn, state)
    both = has_insights() or any(store.business_status for store in stores)
    if as_json:
        print_json([_fields(store, both=both) for store in stores])
        return
    print_table(
        {
            "store": {"no_wrap": True},
            "name": {},
            "region": {},
            "state": {"no_wrap": True},
            "consent ends": {"no_wrap": True},
            **({"accounts api": {"no_wrap": True}} if both else {}),
            "last success": {"no_wrap": True},
            "why": {},
        },
        [
            (
                store.store_code,
                store.store_name,
                store.region,
                store.state,
                store.consent_ends_at and store.consent_ends_at.astimezone(timezone.utc).date(),
                *([store.business_status] if both else []),
                store.last_success_at,
                _why(store),
            )
            for store in stores
        ],
    )


def _fields(store: StoreLine, *, both: bool) -> dict[str, Any]:
    fields = asdict(store)
    return {name: fields[name] for name in fields if both or not name.startswith("business_")}


def _why(store: StoreLine) -> str:
    second = store.business_reason if store.state != "removed" else None
    said = [store.reason, f"Accounts API: {second}" if second else None]
    return " ".join(text for text in said if text)


@app.command("add", epilog=EXIT_CODES)
def add(
    code: Annotated[str, typer.Argument(help="Your own code for the store; it never changes.")],
    *,
    name: Annotated[str, typer.Option(help="Its name, for people.")],
    region: Annotated[str | None, typer.Option(help="Its region, free text.")] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="Its time zone, such as Europe/Berlin. Without it: SYNC_TIMEZONE."),
    ] = None,
    new: NewOption = False,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """Add one store, to be connected later. For several: stores import.

    Blanks and invisible characters around the code are removed.
    """
    with errors_for_people(), store_database(Settings.from_env()) as conn:
        try:
            state = Lifecycle(conn, actor_of(as_name)).add(
                code, name, region, timezone=timezone, new_too=new
            )
        except DataError as error:
            fail(error, EXIT_CONFIGURATION, "error")
    added = clean_code(code)
    if as_json:
        print_json({"store_code": added, "state": state})
    else:
        typer.echo(f"{added}: added; it needs its manager's consent: send a link (stores link).")


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="CSV file, or - for standard input.")],
    *,
    new: NewOption = False,
    replace_tokens: Annotated[
        bool,
        typer.Option(
            "--replace-tokens", help="Take tokens even if they are older than the stored ones."
        ),
    ] = False,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """Load stores and their tokens from a CSV; name every bad row, load the good ones.

    Header: store_code,store_name,region and, for stores that come with their tokens,
    open_id,access_token,access_expires_at,refresh_token,refresh_expires_at,scope. Stores whose
    token cells are all empty are connected later. A column timezone (Europe/Berlin) may follow;
    without it stores keep theirs, and new ones have SYNC_TIMEZONE. Commas, semicolons or tabs, in
    UTF-8 or as Excel's "Unicode text".

    If a row's tokens are older than the stored ones, only name and region are taken.

    Exit status: 0 every row was loaded, 1 some were not, 2 none could be.
    """
    with errors_for_people():
        settings = Settings.from_env()
        vault = TokenVault(settings.token_keys)
        settings.required("store_db_url")
        source = _read_csv(file)
        with store_database(settings) as conn:
            try:
                report = import_stores(
                    source,
                    conn,
                    vault,
                    actor=actor_of(as_name),
                    replace_tokens=replace_tokens,
                    new_codes=new,
                    app_fingerprint=(
                        fingerprint_of(settings.client_key) if settings.client_key else None
                    ),
                    business_fingerprint=(
                        fingerprint_of(settings.business_app_id)
                        if settings.business_app_id
                        else None
                    ),
                )
            except DataError as error:
                fail(error, EXIT_CONFIGURATION, "error")
            use = key_use(conn, vault)
    if use.unreadable:  # no reason to refuse: importing again is the way out of a lost key
        typer.echo(f"warning: {unreadable_message(use, vault)}", err=True)
    _print_report(report, as_json=as_json)
    if report.problems:
        raise typer.Exit(EXIT_FAILED if report.new or report.updated else EXIT_CONFIGURATION)


@app.command("pause", epilog=EXIT_CODES)
def pause(
    codes: CodesArgument,
    *,
    reason: Annotated[str | None, typer.Option(help="The reason, shown in the list.")] = None,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """Leave stores out of the nightly syncs; their grant and history stay."""
    with errors_for_people(), store_database(Settings.from_env()) as conn:
        lifecycle = Lifecycle(conn, actor_of(as_name))
        for_each_store(
            conn, codes, lambda code: f"now {lifecycle.pause(code, reason)}", as_json=as_json
        )


@app.command("resume", epilog=EXIT_CODES)
def resume(
    codes: CodesArgument,
    *,
    without_grant: Annotated[
        bool,
        typer.Option(
            "--without-grant",
            help="Forget the ended grant, so that another account can be connected.",
        ),
    ] = False,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """Take paused stores, or stores that had left, back into the nightly syncs."""
    with errors_for_people(), store_database(Settings.from_env()) as conn:
        lifecycle = Lifecycle(conn, actor_of(as_name))

        def work(code: str) -> str:
            return f"now {lifecycle.resume(code, without_grant=without_grant)}"

        for_each_store(conn, codes, work, as_json=as_json)


def _print_report(report: ImportReport, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(report))
        return
    kept = len(report.tokens_kept)
    for problem in report.problems:
        typer.echo(f"line {problem.line}: not loaded: {problem.reason}", err=True)
    waiting, refused = len(report.without_grant), len(report.business_refused)
    typer.echo(
        f"{len(report.loaded)} stores loaded"
        + (f", {waiting} of them without a grant: to be connected" if waiting else "")
        + (f", {kept} more by name and region only" if kept else "")
        + (f", {rows} rows not loaded" if (rows := len(report.problems) - kept - refused) else "")
        + (f", {both} with a grant for the Accounts API" if (both := len(report.business)) else "")
        + f" ({len(report.new)} new, {len(report.updated)} updated)"
    )


def _read_csv(file: str) -> StringIO:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}."
        raise ConfigurationError(message) from error
    try:
        return StringIO(csv_text.decode(raw), newline="")
    except DataError as error:
        message = f"{file}: {error.message}"
        raise ConfigurationError(message) from None


cli_consents.register(app)
cli_leaving.register(app)  # last, as in the help
