"""The command for the weekly report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from include.tiktok_sync.cli.common import EXIT_CODES, errors_for_people, store_database
from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.reports.archive import Report, keep
from include.tiktok_sync.reports.formats import ReportSettings
from include.tiktok_sync.reports.week import Week
from include.tiktok_sync.settings import Settings


def register(app: typer.Typer) -> None:
    """Add it to the program."""
    app.command("report", epilog=EXIT_CODES)(report)


def report(
    *,
    week: Annotated[
        str,
        typer.Option(
            metavar="YYYY-Www", help="An ISO week such as 2026-W47; default: the last that ended."
        ),
    ] = "",
    region: Annotated[
        str, typer.Option(help="Only the stores of this region; default: all stores.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write the page to FILE, and each chart next to it as FILE's name-CHART.png.",
        ),
    ] = None,
) -> None:
    """Make the report of a week, as the Dag report_weekly does, without sending it.

    It is kept in the database, instead of one of the same week and region, and listed on the
    status page.
    """
    with errors_for_people():
        settings, locale = Settings.from_env(), ReportSettings.from_env().locale
        now = utc_now()
        asked_for = Week.asked_for(week, SnapshotDay.of(now, settings.timezone).date)
        # A second to import, which no other command needs.
        from include.tiktok_sync.reports import making  # noqa: PLC0415 - see above

        with store_database(settings) as conn:
            made = making.make_report(
                conn, asked_for, region, locale=locale, now=now, timezone=settings.timezone
            )
            keep(conn, made, now=now)
        if out is not None:
            _write(made, out)
    typer.echo(made.headline)
    if out is not None:
        typer.echo(f"\nWritten to {out}")


def _write(report: Report, out: Path) -> None:
    try:
        out.write_text(report.html, encoding="utf-8")
        for name, png in report.pictures.items():
            out.with_name(f"{out.stem}-{name}.png").write_bytes(png)
    except OSError as error:
        message = f"{out} cannot be written: {error.strerror}. The report is kept all the same."
        raise ConfigurationError(message) from error
