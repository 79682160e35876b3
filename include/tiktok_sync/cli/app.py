"""The sync without Airflow: every step as a command."""

from __future__ import annotations

from typing import Annotated

import typer

from include.tiktok_sync import __version__
from include.tiktok_sync.cli import connect as cli_connect  # noqa: F401 - adds its commands to their groups
from include.tiktok_sync.cli import db as cli_db
from include.tiktok_sync.cli import export as cli_export
from include.tiktok_sync.cli import incident as cli_incident
from include.tiktok_sync.cli import operations as cli_operations
from include.tiktok_sync.cli import report as cli_report
from include.tiktok_sync.cli import stores as cli_stores
from include.tiktok_sync.cli import sync as cli_sync
from include.tiktok_sync.cli import tokens as cli_tokens
from include.tiktok_sync.cli import wipe as cli_wipe
from include.tiktok_sync.json_log import log_as_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="TikTok store sync without Airflow. Settings come from the environment: STORE_DB_URL,"
    " TIKTOK_API_URL, TIKTOK_CLIENT_KEY, TIKTOK_CLIENT_SECRET, TIKTOK_TOKEN_KEYS.",
)
app.add_typer(cli_sync.app)
app.add_typer(cli_operations.app)
app.add_typer(cli_stores.app, name="stores")
app.add_typer(cli_tokens.app, name="tokens")
app.add_typer(cli_db.app, name="db")
app.add_typer(cli_export.app, name="export")
cli_wipe.register(app)
cli_incident.register(app)
cli_report.register(app)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _start(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Log lines are JSON objects on standard error, so that results stay apart from them."""
    del version
    log_as_json()
