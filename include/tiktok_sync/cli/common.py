"""Shared by the commands: the database, errors, tables, JSON, and who runs the command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Annotated, Any, NoReturn

import psycopg
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from include.tiktok_sync.errors import ConfigurationError, SkippableError, SyncError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db import audit, schema
from include.tiktok_sync.store_db.database import Connection, connect, database_errors
from include.tiktok_sync.sync.repository import StoreRepository

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2

EXIT_CODES = "Exit status: 0 done, 1 some failed, 2 wrong usage or configuration."
"""For the help of a command."""

PIPE_WIDTH = 200
"""Columns of a table that is not written to a terminal."""

AsOption = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Name for the audit; default: user@host."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
CodesArgument = Annotated[list[str], typer.Argument(help="Store codes, as in stores list.")]
CodeArgument = Annotated[str, typer.Argument(help="A store code, as in stores list.")]


@dataclass(frozen=True)
class CommandResult:
    """The result for one store, in a command on several."""

    store_code: str
    ok: bool
    message: str


def actor_of(name: str | None) -> str:
    """The name to write into the audit."""
    return name or audit.operating_system_user()


@contextmanager
def store_database(settings: Settings) -> Iterator[Connection]:
    """A connection to the store database, its schema checked, its failures as our errors."""
    with connect(settings.required("store_db_url"), application_name="tiktok_sync:cli") as conn:
        try:
            schema.check_schema(conn)
            with database_errors():
                yield conn
        except psycopg.errors.InsufficientPrivilege as error:
            message = (
                f"The database role of STORE_DB_URL may not do this ({error.diag.message_primary})."
                " The commands need the role that owns the tables, as the syncs do: tiktok_sync,"
                " which db prepare makes."
            )
            raise ConfigurationError(message) from error


@contextmanager
def errors_for_people() -> Iterator[None]:
    """Errors as one line on standard error, and the exit status that fits."""
    try:
        yield
    except SkippableError as error:
        fail(error, EXIT_FAILED, "skipped")
    except ConfigurationError as error:
        fail(error, EXIT_CONFIGURATION, "error")
    except SyncError as error:
        fail(error, EXIT_FAILED, "error")


def fail(error: SyncError, status: int, word: str) -> NoReturn:
    """Print the message and exit."""
    typer.echo(f"{word}: {error}", err=True)
    if error.detail:
        typer.echo(f"  {error.detail}", err=True)
    raise typer.Exit(status) from None


def require_known(conn: Connection, codes: Sequence[str]) -> None:
    """Refuse unknown codes before anything is done.

    Raises:
        ConfigurationError: Names the unknown codes.
    """
    unknown = StoreRepository(conn).unknown_store_codes(codes)
    if unknown:
        message = f"There is no store {', '.join(unknown)} in the table stores; nothing was done."
        raise ConfigurationError(message)


def for_each_store(
    conn: Connection, codes: Sequence[str], work: Callable[[str], str], *, as_json: bool
) -> None:
    """Do something for every store even if others fail, and print each result.

    Raises:
        ConfigurationError: A code is unknown; nothing was done.
        typer.Exit: Status 1: it failed for some.
    """
    wanted = list(dict.fromkeys(codes))
    require_known(conn, wanted)
    results = []
    for code in wanted:
        try:
            result = CommandResult(code, ok=True, message=work(code))
        except SyncError as error:
            result = CommandResult(code, ok=False, message=str(error))
        results.append(result)
        if not as_json:
            typer.echo(f"{result.store_code}: {result.message}", err=not result.ok)
    if as_json:
        print_json([asdict(result) for result in results])
    if not all(result.ok for result in results):
        raise typer.Exit(EXIT_FAILED)


def print_json(value: Any) -> None:
    """JSON on standard output; times as ISO 8601."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def print_table(
    columns: Mapping[str, Mapping[str, Any]],
    rows: Sequence[Sequence[Any]],
    *,
    stderr: bool = False,
) -> None:
    """A table on standard output (or error).

    Args:
        columns: Heading -> options of ``rich``'s ``add_column``.
        rows: Their cells; ``None`` is a dash, a time its minute in UTC.
        stderr: Print to standard error.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, options in columns.items():
        table.add_column(name, **options)
    for row in rows:
        table.add_row(*map(_cell, row))
    console(stderr=stderr).print(table)


def console(*, stderr: bool = False) -> Console:
    """A console that is wide enough if no terminal gives its width."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        width=None if stream.isatty() else PIPE_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """A bar on a terminal, to be called with what was done since the last call; elsewhere none."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value.astimezone(timezone.utc):%Y-%m-%d %H:%M}"
    return str(value)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
