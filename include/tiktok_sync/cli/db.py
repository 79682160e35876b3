"""Commands for the product's database."""

from __future__ import annotations

import typer

from include.tiktok_sync.cli.common import errors_for_people
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db import schema

app = typer.Typer(no_args_is_help=True, help="The product's database.")


@app.command("upgrade")
def upgrade() -> None:
    """Create or upgrade the schema; does nothing if it is up to date."""
    with errors_for_people():
        revision = schema.upgrade(Settings.from_env().required("store_db_url"))
    typer.echo(f"The store database has schema {revision}.")
