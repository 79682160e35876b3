"""The sync without Airflow: every step as a command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Annotated, NoReturn
from uuid import uuid4

import structlog
import typer
from cryptography.fernet import Fernet

from include.tiktok_sync import cli_operations, schema
from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.database import connect, database_errors
from include.tiktok_sync.dictionary import data_dictionary
from include.tiktok_sync.errors import ConfigurationError, DataError, SkippableError, SyncError
from include.tiktok_sync.meanings_page import meanings_page
from include.tiktok_sync.repository import DryRunRepository, StoreRepository
from include.tiktok_sync.run import StoreRun
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.snapshot import SnapshotDay, utc_now
from include.tiktok_sync.store_run import REFRESH_JOB, USER_JOB, VIDEO_JOB, run_store
from include.tiktok_sync.stores_import import ImportReport, import_stores
from include.tiktok_sync.vault import TokenVault

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="TikTok store sync without Airflow. Settings come from the environment: STORE_DB_URL,"
    " TIKTOK_API_URL, TIKTOK_CLIENT_KEY, TIKTOK_CLIENT_SECRET, TIKTOK_TOKEN_KEYS.",
)
stores_app = typer.Typer(no_args_is_help=True, help="Bring stores in.")
db_app = typer.Typer(no_args_is_help=True, help="The product's database.")
tokens_app = typer.Typer(no_args_is_help=True, help="Keys for the tokens.")
app.add_typer(stores_app, name="stores")
app.add_typer(db_app, name="db")
app.add_typer(tokens_app, name="tokens")


@app.callback()
def _logging() -> None:
    """Log lines are JSON objects on standard error, so that results stay apart from them."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@app.command("sync-store")
def sync_store(
    store_code: Annotated[str, typer.Argument(help="Code of one store, as in the table stores.")],
    *,
    job: Annotated[str, typer.Option(help="What to do: user, video or refresh.")] = "user",
    date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Snapshot day; today when left out."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Call TikTok, write nothing, say what would be.")
    ] = False,
) -> None:
    """Sync one store now and record it in sync_logs."""
    jobs = {"user": USER_JOB, "video": VIDEO_JOB, "refresh": REFRESH_JOB}
    with _errors_for_people():
        if job not in jobs:
            message = f"--job must be user, video or refresh, not {job!r}."
            raise ConfigurationError(message)
        settings = Settings.from_env()
        tiktok = TikTokApp(
            settings.api_url, settings.required("client_key"), settings.required("client_secret")
        )
        day = (
            SnapshotDay(date.date(), settings.timezone)
            if date
            else SnapshotDay.of(utc_now(), settings.timezone)
        )
        with (
            connect(settings.required("store_db_url"), application_name="tiktok_sync:cli") as conn,
            tiktok.transport() as http,
        ):
            schema.check_schema(conn)
            repository = DryRunRepository(conn) if dry_run else StoreRepository(conn)
            if repository.unknown_store_codes([store_code]):
                message = f"There is no store {store_code} in the table stores."
                raise ConfigurationError(message)
            with database_errors():
                repository.ensure_partitions(day.date)
            run = StoreRun(jobs[job], f"cli__{uuid4()}", store_code, day, stores_in_run=1)
            outcome = run_store(
                run,
                open_client=lambda: tiktok.client(
                    store_code, http=http, conn=conn, settings=settings
                ),
                repository=repository,
            )
    typer.echo(f"{store_code}: {outcome.message}" + (" (dry run)" if dry_run else ""))


@stores_app.command("import")
def stores_import(
    file: Annotated[str, typer.Argument(help="CSV file, or - for standard input.")],
) -> None:
    """Load stores and their tokens from a CSV; name every bad row, load the good ones.

    Exit status: 0 every row was loaded, 1 some were not, 2 none could be.
    """
    with _errors_for_people():
        settings = Settings.from_env()
        vault = TokenVault(settings.token_keys)
        url = settings.required("store_db_url")
        source = _read_csv(file)
        with connect(url, application_name="tiktok_sync:import") as conn:
            schema.check_schema(conn)
            with database_errors():
                try:
                    report = import_stores(source, conn, vault)
                except DataError as error:
                    _fail(error, EXIT_CONFIGURATION, "error")
    _print_report(report)
    if report.problems:
        raise typer.Exit(EXIT_FAILED if report.loaded else EXIT_CONFIGURATION)


def _print_report(report: ImportReport) -> None:
    for problem in report.problems:
        typer.echo(f"line {problem.line}: not loaded: {problem.reason}", err=True)
    typer.echo(
        f"{len(report.loaded)} stores loaded"
        + (f", {len(report.problems)} rows not loaded" if report.problems else "")
    )


def _read_csv(file: str) -> StringIO:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return StringIO(raw.decode("utf-8-sig"), newline="")  # Excel writes a byte-order mark
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}."
        raise ConfigurationError(message) from error
    except UnicodeDecodeError as error:
        message = f"{file} is not UTF-8 text. Save it as CSV UTF-8 and try again."
        raise ConfigurationError(message) from error


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Create or upgrade the schema; harmless when it is up to date."""
    with _errors_for_people():
        revision = schema.upgrade(Settings.from_env().required("store_db_url"))
    typer.echo(f"The store database has schema {revision}.")


@db_app.command("dictionary")
def db_dictionary() -> None:
    """Print every table and view with its columns and their meanings, as Markdown."""
    with _errors_for_people():
        url = Settings.from_env().required("store_db_url")
        with connect(url, application_name="tiktok_sync:cli") as conn, database_errors():
            schema.check_schema(conn)
            text = data_dictionary(conn)
    typer.echo(text, nl=False)


@app.command("meanings")
def meanings() -> None:
    """Print what is made of every answer of TikTok, as Markdown."""
    typer.echo(meanings_page(), nl=False)


@tokens_app.command("generate-key")
def tokens_generate_key() -> None:
    """Print a fresh key for TIKTOK_TOKEN_KEYS."""
    typer.echo(Fernet.generate_key().decode())


@contextmanager
def _errors_for_people() -> Iterator[None]:
    try:
        yield
    except SkippableError as error:
        _fail(error, EXIT_FAILED, "skipped")
    except ConfigurationError as error:
        _fail(error, EXIT_CONFIGURATION, "error")
    except SyncError as error:
        _fail(error, EXIT_FAILED, "error")


def _fail(error: SyncError, status: int, word: str) -> NoReturn:
    typer.echo(f"{word}: {error}", err=True)
    if error.detail:
        typer.echo(f"  {error.detail}", err=True)
    raise typer.Exit(status) from None


cli_operations.register(app, db_app, _errors_for_people)
