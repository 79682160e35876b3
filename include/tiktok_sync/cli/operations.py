"""Commands for those who run the product: the doctor, roles, retention."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer

from include.tiktok_sync.cli import db as cli_db
from include.tiktok_sync.cli.common import EXIT_CODES, errors_for_people
from include.tiktok_sync.doctor.examination import examine
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.roles import prepare, prepare_airflow

MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "skip": "-   "}


app = typer.Typer()


@cli_db.app.command("prepare", epilog=EXIT_CODES)
def db_prepare() -> None:
    """Create missing roles and the database, upgrade the schema, grant the views to analysts.

    Needs STORE_DB_ADMIN_URL (a role that may create roles and databases), and STORE_DB_DIRECT_URL
    or STORE_DB_URL with the sync's role and password. ANALYST_DB_PASSWORD,
    ANALYST_NAMED_DB_PASSWORD, MONITOR_DB_PASSWORD and CONNECT_DB_PASSWORD let these roles log in.
    Only analyst_named reads names, titles and links; GRANT analyst_named TO a login lets that login
    read them too. Safe to repeat.
    """
    with errors_for_people():
        admin_url = os.environ.get("STORE_DB_ADMIN_URL", "")
        if not admin_url:
            message = (
                "STORE_DB_ADMIN_URL is not set: the libpq URL of a role that may create roles and"
                " databases, used only by this command."
            )
            raise ConfigurationError(message)
        # Not through the pooler: before the first run there is no role to log in to it with.
        url = os.environ.get("STORE_DB_DIRECT_URL") or Settings.from_env().required("store_db_url")
        revision = prepare(
            admin_url,
            url,
            analyst_password=os.environ.get("ANALYST_DB_PASSWORD", ""),
            analyst_named_password=os.environ.get("ANALYST_NAMED_DB_PASSWORD", ""),
            monitor_password=os.environ.get("MONITOR_DB_PASSWORD", ""),
            connect_password=os.environ.get("CONNECT_DB_PASSWORD", ""),
        )
    typer.echo(f"Roles and views are granted; the store database has schema {revision}.")


@cli_db.app.command("prepare-airflow", epilog=EXIT_CODES)
def db_prepare_airflow() -> None:
    """Create the roles of Airflow's own Postgres, so that no Airflow part logs in as a superuser.

    Needs AIRFLOW_DB_ADMIN_URL (the superuser), and AIRFLOW__DATABASE__SQL_ALCHEMY_CONN and
    AIRFLOW__CELERY__RESULT_BACKEND with Airflow's roles and passwords. Safe to repeat; run it
    before airflow db migrate.
    """
    names = (
        "AIRFLOW_DB_ADMIN_URL",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__CELERY__RESULT_BACKEND",
    )
    with errors_for_people():
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            message = f"{', '.join(missing)}: not set. See db prepare-airflow --help."
            raise ConfigurationError(message)
        prepare_airflow(*(os.environ[name] for name in names))
    typer.echo("Airflow's roles are ready.")


@app.command("doctor")
def doctor(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object for each check.")
    ] = False,
    before_start: Annotated[
        bool,
        typer.Option(
            "--before-start", help="Check only settings, keys and database, before a start."
        ),
    ] = False,
) -> None:
    """Check keys, databases, pools, TikTok, clocks, disk and Airflow; say what to do.

    Exit status: 0 nothing failed (there may be warnings), 1 something did.
    """
    found = examine(before_start=before_start)
    for finding in found:
        if as_json:
            typer.echo(json.dumps(asdict(finding)))
            continue
        typer.echo(f"{MARKS[finding.status]}  {finding.check}: {finding.text}")
        if finding.todo:
            typer.echo(f"      → {finding.todo}")
    if any(finding.status == "fail" for finding in found):
        raise typer.Exit(1)
