"""Commands for the product's database."""

from __future__ import annotations

import typer

from include.tiktok_sync.cli.common import errors_for_people, store_database
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db import schema
from include.tiktok_sync.store_db.roles import grant_readers

app = typer.Typer(no_args_is_help=True, help="The product's database.")


@app.command("upgrade")
def upgrade() -> None:
    """Create or upgrade the schema, and close new personal columns to the roles that read views.

    Does nothing if both are up to date.
    """
    with errors_for_people():
        settings = Settings.from_env()
        revision = schema.upgrade(settings.required("store_db_url"))
        with store_database(settings) as conn:
            grant_readers(conn)
    typer.echo(f"The store database has schema {revision}.")
