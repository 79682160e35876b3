"""The command that deletes everything that came from TikTok."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated, Any

import typer

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.cli.common import (
    EXIT_CODES,
    EXIT_FAILED,
    AsOption,
    JsonOption,
    actor_of,
    errors_for_people,
    print_json,
    print_table,
    store_database,
)
from include.tiktok_sync.errors import ConfigurationError, DatabaseUnavailableError, DataError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection, connect
from include.tiktok_sync.stores.at_once import wiping
from include.tiktok_sync.stores.at_once.revoking import NEXT_STEP, Revocation, revoke_all
from include.tiktok_sync.stores.erasure.airflow_history import (
    VARIABLE,
    History,
    database_url,
    hide_in_history,
)
from include.tiktok_sync.stores.erasure.backups import Backups, all_backups
from include.tiktok_sync.stores.erasure.personal_texts import redactor_for_all
from include.tiktok_sync.tokens.sealed_rows import check_keys
from include.tiktok_sync.tokens.vault import TokenVault


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("wipe", epilog=EXIT_CODES)(wipe)


def wipe(
    *,
    confirm: Annotated[
        str | None,
        typer.Option(
            metavar="CODE", help="Wipe. CODE is what the dry run printed; it changes with the data."
        ),
    ] = None,
    at_tiktok: Annotated[
        bool,
        typer.Option(
            "--revoke/--no-revoke",
            help="Revoke the grants at TikTok first. Without it the app stays among those that"
            " managers see in TikTok's settings: only where TikTok can no longer be asked.",
        ),
    ] = True,
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
    """Delete everything that came from TikTok, for all stores. Without --confirm: a dry run.

    The dry run counts, changes nothing and prints a code; wipe --confirm CODE then revokes every
    grant at TikTok, hides the accounts' names in Airflow's history and deletes the rows. Stores
    keep their code, name and region, and the audit who did what and when.

    A grant that cannot be revoked is named, and its tokens are deleted all the same. Refused while
    a run is in progress. If the command is interrupted, start again with a dry run.
    """
    with errors_for_people(), store_database(Settings.from_env()) as conn, ExitStack() as stack:
        found = wiping.plan(conn)
        backups = all_backups(conn, os.environ)
        if confirm is None:
            _show_plan(found, backups, as_json=as_json)
            return
        if confirm.strip().lower() != found.code:
            message = (
                f"{confirm} is not the code of what would be deleted now; nothing was wiped. The"
                " data has changed since that dry run, or it was another database. Run wipe without"
                " --confirm, and read what it says."
            )
            raise ConfigurationError(message)
        airflow = None if skip_airflow else _airflow(stack)
        wiping.require_quiet(conn, airflow)
        settings = Settings.from_env()
        tiktok = _tiktok(conn, settings) if at_tiktok and found.grants else None
        actor = actor_of(as_name)
        wiping.begin(conn, actor, found)
        revoked = revoke_all(conn, settings, tiktok, actor, "Wiped") if tiktok else []
        history = None
        if not skip_airflow:  # before the rows go: they say what to look for
            history = hide_in_history(os.environ, redactor_for_all(conn), dry_run=False)
        failed = [one for one in revoked if not one.ok]
        skipped = found.grants - len(revoked)
        deleted = wiping.wipe(
            conn, actor, revoked=len(revoked) - len(failed), not_revoked=len(failed) + skipped
        )
        # First, as nobody else names the grants that are left.
        _report(deleted, revoked, history, backups, skipped=skipped, as_json=as_json)
        if left := wiping.left_over(conn):
            message = (
                f"{left} rows were written during the wipe. Pause the Dags and the connect app,"
                " then run it again."
            )
            raise DataError(message)
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _tiktok(conn: Connection, settings: Settings) -> TikTokApp:
    """What revokes, if it has a chance to."""
    try:
        tiktok = TikTokApp.from_settings(settings)
        check_keys(conn, TokenVault(settings.token_keys))
    except ConfigurationError as error:
        message = (
            f"{error} Nothing was wiped. If the keys or the app are gone for good, --no-revoke"
            " wipes without asking TikTok."
        )
        raise ConfigurationError(message) from error
    return tiktok


def _airflow(stack: ExitStack) -> Connection | None:
    url = database_url(os.environ)
    if url is None:
        return None
    try:
        return stack.enter_context(
            connect(url, application_name="tiktok_sync:wipe", setting=VARIABLE)
        )
    except DatabaseUnavailableError as error:
        message = (
            "Airflow's database cannot be reached, so nothing was wiped: without the rows nobody"
            f" knows which names to look for there. Start it, correct {VARIABLE}, or give"
            " --skip-airflow."
        )
        raise DatabaseUnavailableError(message, detail=error.message) from error


def _show_plan(found: wiping.Plan, backups: Backups, *, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(found), "backups": asdict(backups)})
        return
    _print_rows(found.rows)
    typer.echo("Dry run: nothing was changed.")
    typer.echo(f"{sum(found.rows.values())} rows would be deleted.")
    for column, rows in found.cleared.items():
        typer.echo(f"{column} would be cleared in {rows} rows.")
    typer.echo(f"{found.grants} grants would be revoked at TikTok first.")
    typer.echo(backups.said())
    typer.echo(f"To do it, for good: wipe --confirm {found.code}")


def _report(
    deleted: dict[str, int],
    revoked: list[Revocation],
    history: History | None,
    backups: Backups,
    *,
    skipped: int,
    as_json: bool,
) -> None:
    if as_json:
        report: dict[str, Any] = {
            "rows": deleted,
            "grants": [asdict(one) for one in revoked],
            "not_asked": skipped,
            "airflow": asdict(history) if history else None,
            "backups": asdict(backups),
        }
        print_json(report)
        return
    _print_rows(deleted)
    failed = [one for one in revoked if not one.ok]
    typer.echo(f"Wiped: {sum(deleted.values())} rows are deleted.")
    typer.echo(f"Grants: {len(revoked) - len(failed)} ended at TikTok, {len(failed)} not revoked.")
    for one in failed:
        typer.echo(f"{one.store_code}: not revoked, and its tokens are deleted. {one.message}")
    if failed:
        typer.echo(f"→ {NEXT_STEP}")
    if skipped:
        typer.echo(f"{skipped} grants were left alone at TikTok (--no-revoke).")
    if history is None:
        typer.echo("Airflow's history: left alone (--skip-airflow).")
    else:
        typer.echo(
            f"Airflow's history: names hidden in {sum(history.values.values())} values of its"
            f" database and in {history.files} log files."
        )
        for what in history.unsearched:
            typer.echo(f"Not searched: {what}")
    typer.echo(backups.said())


def _print_rows(rows: Any) -> None:
    print_table({"table": {}, "rows": {"justify": "right"}}, list(rows.items()))
