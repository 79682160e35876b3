"""Commands for a store that leaves: export, disconnect, erase."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.cli.common import (
    EXIT_CODES,
    EXIT_CONFIGURATION,
    AsOption,
    CodeArgument,
    CodesArgument,
    JsonOption,
    actor_of,
    errors_for_people,
    for_each_store,
    print_json,
    print_table,
    require_known,
    store_database,
)
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db import audit, store_tables
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores import leaving
from include.tiktok_sync.stores.export import Format, export_as_stream, export_to_folder
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.tokens.sealed_rows import check_keys
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore
from include.tiktok_sync.tokens.vault import TokenVault


def register(app: typer.Typer) -> None:
    """Add the commands to ``stores``."""
    app.command("export", epilog=EXIT_CODES)(export)
    app.command("disconnect", epilog=EXIT_CODES)(disconnect)
    app.command("erase", epilog=EXIT_CODES)(erase)


def export(
    code: CodeArgument,
    *,
    kind: Annotated[Format, typer.Option("--format", help="jsonl is JSON lines.")] = "csv",
    to: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="New folder with a file for each table (default: CODE-export); or, with jsonl,"
            " one file ending in .jsonl, or - for standard output.",
        ),
    ] = None,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """Write everything known about a store to files, without its tokens."""
    target = to or f"{code}-export"
    with errors_for_people():
        to_one_file = target == "-" or target.endswith(".jsonl")
        if to_one_file and kind != "jsonl":
            message = f"CSV needs a folder, one file for each table; {target} is one file."
            raise ConfigurationError(message)
        with store_database(Settings.from_env()) as conn:
            require_known(conn, [code])
            if to_one_file:
                rows = _export_to_file(conn, code, target)
            else:
                rows = export_to_folder(conn, code, Path(target), kind)
            audit.record(conn, "export", [code], actor=actor_of(as_name), details={"rows": rows})
    _print_rows(rows, as_json=as_json, err=target == "-")
    if not as_json:
        typer.echo(f"{code}: {sum(rows.values())} rows written to {target}", err=target == "-")


def disconnect(
    codes: CodesArgument,
    *,
    at_tiktok: Annotated[
        bool,
        typer.Option(
            "--revoke/--no-revoke",
            help="Also revoke the grant at TikTok. Otherwise the app stays among those that the"
            " manager sees in TikTok's settings; use it only if TikTok can no longer be asked.",
        ),
    ] = True,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """Remove stores that leave: no sync includes them, and our access is revoked at TikTok.

    Their history stays until stores erase. If a store's grant could not be revoked, the result says
    so; run the command again for it.
    """
    with errors_for_people():
        settings = Settings.from_env()
        tiktok = TikTokApp.from_settings(settings) if at_tiktok else None
        vault = TokenVault(settings.token_keys) if at_tiktok else None
        with store_database(settings) as conn:
            lifecycle = Lifecycle(conn, actor_of(as_name))
            if tiktok is None or vault is None:
                for_each_store(
                    conn,
                    codes,
                    lambda code: leaving.disconnect(code, lifecycle, source=None, oauth=None),
                    as_json=as_json,
                )
                return
            check_keys(conn, vault)
            with tiktok.transport() as http:
                oauth, tokens = tiktok.oauth(http), TokenStore(conn)

                def work(code: str) -> str:
                    source = TokenSource(code, store=tokens, vault=vault, oauth=oauth)
                    return leaving.disconnect(code, lifecycle, source=source, oauth=oauth)

                for_each_store(conn, codes, work, as_json=as_json)


def erase(
    code: CodeArgument,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Erase nothing; count the rows of each table.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """Erase a store that has left, with all its rows, permanently.

    The audit records who did it and when, with the number of rows. Export the store first if its
    figures may still be needed.
    """
    with errors_for_people(), store_database(Settings.from_env()) as conn:
        lifecycle = Lifecycle(conn, actor_of(as_name))
        lifecycle.state(code)
        counts = {
            table.name: store_tables.count(conn, table, code) for table in store_tables.tables(conn)
        }
        if dry_run:
            _print_rows(counts, as_json=as_json)
            return
        leaving.check_erasable(code, lifecycle)
        if not yes:
            _print_rows(counts, as_json=False, err=True)
            _ask(code)
        deleted = leaving.erase(code, lifecycle)
    _print_rows(deleted, as_json=as_json)
    if not as_json:
        typer.echo(f"{code}: erased, {sum(deleted.values())} rows")


def _ask(code: str) -> None:
    if not sys.stdin.isatty():
        message = "Erasing must be confirmed: give --yes, or run it in a terminal."
        raise ConfigurationError(message)
    typed = typer.prompt(f"This cannot be undone. Type the code {code} to erase it", err=True)
    if typed.strip() != code:
        typer.echo("Not erased.", err=True)
        raise typer.Exit(EXIT_CONFIGURATION)


def _export_to_file(conn: Connection, code: str, target: str) -> dict[str, int]:
    if target == "-":
        return export_as_stream(conn, code, sys.stdout.buffer)
    path = Path(target)
    try:
        path.touch(mode=0o600, exist_ok=False)
        try:
            with path.open("wb") as file:
                return export_as_stream(conn, code, file)
        except BaseException:
            path.unlink()  # half an export looks like a whole one
            raise
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror}."
        raise ConfigurationError(message) from error


def _print_rows(rows: dict[str, int], *, as_json: bool, err: bool = False) -> None:
    if as_json and not err:
        print_json(rows)
    elif not as_json:
        print_table({"table": {}, "rows": {"justify": "right"}}, list(rows.items()), stderr=err)
