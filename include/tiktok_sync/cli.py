"""The sync without Airflow: every step as a command."""

from __future__ import annotations

import typer

from include.tiktok_sync import (
    cli_connect,  # noqa: F401 - adds its commands to their groups
    cli_db,
    cli_operations,
    cli_stores,
    cli_sync,
    cli_tokens,
)
from include.tiktok_sync.json_log import log_as_json
from include.tiktok_sync.meanings_page import meanings_page

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


@app.callback()
def _logging() -> None:
    """Log lines are JSON objects on standard error, so that results stay apart from them."""
    log_as_json()


@app.command("meanings")
def meanings() -> None:
    """Print what is made of every answer of TikTok, as Markdown."""
    typer.echo(meanings_page(), nl=False)
