"""Commands for the product's database."""

from __future__ import annotations

import typer

from include.tiktok_sync import schema
from include.tiktok_sync.cli_common import errors_for_people, store_database
from include.tiktok_sync.dictionary import data_dictionary
from include.tiktok_sync.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The product's database.")


@app.command("upgrade")
def upgrade() -> None:
    """Create or upgrade the schema; harmless when it is up to date."""
    with errors_for_people():
        revision = schema.upgrade(Settings.from_env().required("store_db_url"))
    typer.echo(f"The store database has schema {revision}.")


@app.command("dictionary")
def dictionary() -> None:
    """Print every table and view with its columns and their meanings, as Markdown."""
    with errors_for_people(), store_database(Settings.from_env()) as conn:
        text = data_dictionary(conn)
    typer.echo(text, nl=False)
