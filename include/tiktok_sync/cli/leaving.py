"""Commands for a store that leaves: export, disconnect, erase."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from include.tiktok_sync.app import BusinessApp, TikTokApp
from include.tiktok_sync.business.oauth import BusinessOAuth
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
from include.tiktok_sync.errors import ConfigurationError, DatabaseUnavailableError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db import audit, store_tables
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores import leaving
from include.tiktok_sync.stores.erasure.airflow_history import VARIABLE as AIRFLOW_DATABASE
from include.tiktok_sync.stores.erasure.airflow_history import History, hide_in_history
from include.tiktok_sync.stores.erasure.backups import Backups, backups_with, was_erased
from include.tiktok_sync.stores.erasure.personal_texts import redactor_for
from include.tiktok_sync.stores.export import Format, export_as_stream, export_to_folder
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.tokens.grant_table import BUSINESS
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
    kind: Annotated[
        Format,
        typer.Option(
            "--format",
            help="page: index.html for the person whose account it is, and CSV files; csv: these"
            " alone; jsonl: JSON lines.",
        ),
    ] = "page",
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
    """Write everything known about a store to files, without its tokens.

    The page answers "what do you hold of me?": every table with rows of the store, what its columns
    mean and which are personal. For a store that was erased it says what is left.
    """
    # A code is free text: a slash in it must not lead to another folder.
    target = to or re.sub(r"[/\\]", "-", code) + "-export"
    with errors_for_people():
        to_one_file = target == "-" or target.endswith(".jsonl")
        if to_one_file and kind != "jsonl":
            message = f"CSV needs a folder, one file for each table; {target} is one file."
            raise ConfigurationError(message)
        with store_database(Settings.from_env()) as conn:
            if not was_erased(conn, code):
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
            with ExitStack() as stack:
                oauth = tiktok.oauth(stack.enter_context(tiktok.transport()))
                second = _business_oauth(settings, stack)
                tokens, second_tokens = TokenStore(conn), TokenStore(conn, BUSINESS)

                def work(code: str) -> str:
                    source = TokenSource(code, store=tokens, vault=vault, oauth=oauth)
                    business = None
                    if second:
                        grant = TokenSource(code, store=second_tokens, vault=vault, oauth=second)
                        business = leaving.Grant(grant, second)
                    return leaving.disconnect(
                        code, lifecycle, source=source, oauth=oauth, business=business
                    )

                for_each_store(conn, codes, work, as_json=as_json)


def _business_oauth(settings: Settings, stack: ExitStack) -> BusinessOAuth | None:
    """The Accounts API's token endpoint; ``None`` = that API is not set up."""
    if not settings.business_enabled:
        return None
    app = BusinessApp.from_settings(settings)
    return app.oauth(stack.enter_context(app.transport()))


def erase(
    code: CodeArgument,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Erase nothing; count what would be.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    skip_airflow: Annotated[
        bool,
        typer.Option(
            "--skip-airflow",
            help="Leave Airflow's history alone: only where its database is gone for good.",
        ),
    ] = False,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """Erase a store that has left, with all its rows, permanently.

    Also hides its account's ids, names, titles and links in rows that stay (audit, summaries and
    alerts of whole runs) and in Airflow's history: its database
    (AIRFLOW__DATABASE__SQL_ALCHEMY_CONN) and log files (AIRFLOW__LOGGING__BASE_LOG_FOLDER), as far
    as they can be reached from here. Says what could not be searched, and which backups still hold
    the store and until when.

    The audit records who did it and when, with the number of rows; a keyed hash of the account
    lets late events from TikTok be dropped. Export the store first if its figures may still be
    needed.
    """
    with errors_for_people(), store_database(Settings.from_env()) as conn:
        lifecycle = Lifecycle(conn, actor_of(as_name))
        lifecycle.state(code)
        counts = {
            table.name: store_tables.count(conn, table, code) for table in store_tables.tables(conn)
        }
        backups = backups_with(conn, code, os.environ)
        if dry_run:
            history = _history(conn, code, skip=skip_airflow, dry_run=True)
            if as_json:
                print_json(_as_json(counts, history, backups))
                return
            _print_rows(counts, as_json=False)
            _print_beyond(history, backups, dry_run=True)
            return
        leaving.check_erasable(code, lifecycle)
        if not yes:
            _print_rows(counts, as_json=False, err=True)
            _ask(code)
        # Before its rows go: they say what to look for.
        history = _history(conn, code, skip=skip_airflow, dry_run=False)
        deleted = leaving.erase(code, lifecycle)
    if as_json:
        print_json(_as_json(deleted, history, backups))
        return
    _print_rows(deleted, as_json=False)
    typer.echo(f"{code}: erased, {sum(deleted.values())} rows")
    _print_beyond(history, backups, dry_run=False)


def _history(conn: Connection, code: str, *, skip: bool, dry_run: bool) -> History | None:
    if skip:
        return None
    try:
        return hide_in_history(os.environ, redactor_for(conn, code), dry_run=dry_run)
    except DatabaseUnavailableError as error:
        message = (
            f"Airflow's database cannot be reached, so nothing was erased: without the store's rows"
            f" nobody knows which names to look for there. Start it, correct {AIRFLOW_DATABASE}, or"
            " give --skip-airflow."
        )
        raise DatabaseUnavailableError(message, detail=error.message) from error


def _as_json(rows: Mapping[str, int], history: History | None, backups: Backups) -> dict[str, Any]:
    found = asdict(history) if history else None
    return {**rows, "beyond": {"airflow": found, "backups": asdict(backups)}}


def _print_beyond(history: History | None, backups: Backups, *, dry_run: bool) -> None:
    """What was done, or is left, outside of the store's own rows."""
    if history is None:
        typer.echo("Airflow's history: left alone (--skip-airflow).")
    else:
        would = "would be " if dry_run else ""
        if history.database:
            places = ", ".join(f"{count} in {name}" for name, count in history.values.items())
            typer.echo(
                f"Airflow's database: texts that name the account {would}hidden:"
                f" {places or 'there are none'}."
            )
        if history.folder:
            typer.echo(
                f"Log files below {history.folder}: texts that name the account {would}hidden in"
                f" {history.files or 'none'} of them."
            )
        for what in history.unsearched:
            typer.echo(f"Not searched: {what}")
    typer.echo(backups.said())


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
