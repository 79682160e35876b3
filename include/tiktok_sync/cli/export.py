"""Commands that copy the figures for programs elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from include.tiktok_sync.cli.common import (
    EXIT_CODES,
    JsonOption,
    errors_for_people,
    print_json,
    progress_bar,
    store_database,
)
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.parquet_export import Exported, export_parquet

_DAY = ["%Y-%m-%d"]

app = typer.Typer(no_args_is_help=True, help="Copy the figures of all stores for other programs.")


@app.callback()
def _group() -> None:
    """Keeps the name of the only command: export parquet."""


@app.command("parquet", epilog=EXIT_CODES)
def parquet(
    *,
    out: Annotated[Path, typer.Option(help="Folder for the files; made if it is missing.")],
    since: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="First day. Without it: all.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Last day. Without it: the newest.")
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option(help="Only this table; repeat it for others.")
    ] = None,
    with_names: Annotated[
        bool,
        typer.Option(
            "--with-names",
            help="Also names, titles, texts and links: copies of personal data that stores erase"
            " does not reach.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write Parquet files, one per table and day; days that are there already are replaced.

    In folders such as video_daily_stats/snapshot_date=2026-11-01, with a _schema.json per table.
    Rows observed late are included and marked is_late. Needs pyarrow (requirements-parquet.txt).
    """
    with errors_for_people():
        if since and until and until < since:
            message = f"--until {until:%Y-%m-%d} is before --since {since:%Y-%m-%d}."
            raise ConfigurationError(message)
        with store_database(Settings.from_env()) as conn:
            exported = export_parquet(
                conn,
                out,
                since=since and since.date(),
                until=until and until.date(),
                only=table or (),
                with_names=with_names,
                progress=partial(progress_bar, "Exporting"),
            )
    if as_json:
        print_json([asdict(result) for result in exported])
        return
    for result in exported:
        typer.echo(_line(result))
    typer.echo(f"Written to {out}.")


def _line(result: Exported) -> str:
    days = "" if result.days is None else f" on {result.days} days"
    gone = f", {result.removed_days} days without rows removed" if result.removed_days else ""
    return f"{result.table}: {result.rows} rows{days}{gone}"
