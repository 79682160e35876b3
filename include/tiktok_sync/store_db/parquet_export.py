"""How do the figures get into Parquet files? One file per table and day, memory flat.

pyarrow is an optional requirement, imported by this command alone: 160 MB that no task needs.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

from psycopg import sql

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.database import Connection, one_moment
from include.tiktok_sync.store_db.parquet_columns import ParquetTable, parquet_tables

BATCH = 20_000
"""Rows in memory at a time, and in a row group."""

SCHEMA_FILE = "_schema.json"
"""Readers pass over files whose names begin with a low line or a dot."""

Advance = Callable[[int], None] | None
ProgressBar = Callable[[int], AbstractContextManager[Advance]]
"""Made with the number of rows in total; called with those written since the last call."""


@dataclass(frozen=True)
class Exported:
    """What was exported of a table.

    Attributes:
        table: Its name.
        days: Days with rows; ``None`` = it has no days.
        rows: Rows of all of them.
        removed_days: Days whose file was removed, because they have no rows any more.
    """

    table: str
    days: int | None
    rows: int
    removed_days: int = 0


@dataclass(frozen=True)
class _Plan:
    table: ParquetTable
    rows: dict[date | None, int]


def export_parquet(
    conn: Connection,
    folder: Path,
    *,
    since: date | None = None,
    until: date | None = None,
    only: Collection[str] = (),
    with_names: bool = False,
    progress: ProgressBar,
) -> list[Exported]:
    """Write the tables as of one moment; what is there of the same days is replaced.

    Each file takes its place when it is complete, so that a reader never finds half a file, and an
    export that breaks leaves the files before it. Layout: ``TABLE/_schema.json`` and
    ``TABLE/DAY_COLUMN=YYYY-MM-DD/TABLE.parquet``, without days ``TABLE/TABLE.parquet``.

    Args:
        conn: Autocommit connection, as the owner of the tables.
        folder: Where to; made if it is missing, then for its owner's eyes only.
        since: First day; ``None`` = from the beginning.
        until: Last day; ``None`` = to the end.
        only: Names of tables; none = all.
        with_names: Also columns with personal data and store names.
        progress: For a progress display.

    Returns:
        One entry per table.

    Raises:
        ConfigurationError: pyarrow is missing; the folder cannot be written, is in use by another
            export, or was exported with the other choice of names; a table is unknown.
    """
    pa = _pyarrow()
    with _errors_of(folder), _locked(folder), one_moment(conn):
        tables = parquet_tables(conn, with_names=with_names, only=only)
        for table in tables:
            _refuse_a_mix(folder / table.name / SCHEMA_FILE, with_names=with_names)
        plans = [_Plan(table, _rows_by_day(conn, table, since, until)) for table in tables]
        with progress(sum(sum(plan.rows.values()) for plan in plans)) as advance:
            done = []
            for plan in plans:
                own = folder / plan.table.name
                own.mkdir(exist_ok=True)
                described = plan.table.described(with_names=with_names)
                with _replaced(own / SCHEMA_FILE) as half:
                    text = json.dumps(described, ensure_ascii=False, indent=2)
                    half.write_text(f"{text}\n", encoding="utf-8")
                for day in plan.rows:
                    _write(conn, plan.table, own, day, pa, advance)
                removed = _remove_empty_days(plan, own, since, until)
                days = len(plan.rows) if plan.table.day else None
                done.append(Exported(plan.table.name, days, sum(plan.rows.values()), removed))
    return done


def _pyarrow() -> ModuleType:
    try:
        import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: PLC0415 - optional, see above
    except ImportError as error:
        message = (
            "pyarrow is not installed, and the export to Parquet needs it:"
            " pip install -r requirements-parquet.txt -c constraints.txt"
        )
        raise ConfigurationError(message) from error
    found: ModuleType = pyarrow
    return found


@contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        message = f"{where} cannot be written: {error.strerror or error}."
        raise ConfigurationError(message) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"Another export into {folder} is running."
            raise ConfigurationError(message) from error
        yield
    finally:
        os.close(handle)


def _refuse_a_mix(schema: Path, *, with_names: bool) -> None:
    try:
        before = json.loads(schema.read_text(encoding="utf-8"))["with_names"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        message = f"{schema} is not a schema file of this export. Choose another folder."
        raise ConfigurationError(message) from error
    if before != with_names:
        has = "with" if before else "without"
        message = (
            f"{schema.parent} was exported {has} names, and days with and without them must not be"
            " mixed. Choose another folder, or delete this one first."
        )
        raise ConfigurationError(message)


def _rows_by_day(
    conn: Connection, table: ParquetTable, since: date | None, until: date | None
) -> dict[date | None, int]:
    name = sql.Identifier(table.name)
    if table.day is None:
        found = conn.execute(sql.SQL("SELECT NULL, count(*) FROM {}").format(name))
    else:
        query = sql.SQL(
            "SELECT {0}, count(*) FROM {1}"
            " WHERE {0} >= coalesce(%s, '-infinity'::date)"
            " AND {0} <= coalesce(%s, 'infinity'::date) GROUP BY 1 ORDER BY 1"
        )
        found = conn.execute(query.format(sql.Identifier(table.day), name), [since, until])
    return dict(found.fetchall())


def _file_of(table: ParquetTable, own: Path, day: date | str | None) -> Path:
    name = f"{table.name}.parquet"
    return own / name if day is None else own / f"{table.day}={day}" / name


def _write(
    conn: Connection,
    table: ParquetTable,
    own: Path,
    day: date | None,
    pa: Any,
    advance: Advance,
) -> None:
    schema = _schema(pa, table)
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(column.selected for column in table.columns), sql.Identifier(table.name)
    )
    if table.day is not None:
        query += sql.SQL(" WHERE {} = %(day)s").format(sql.Identifier(table.day))
    query += sql.SQL(" ORDER BY {}").format(sql.SQL(", ").join(map(sql.Identifier, table.key)))
    file = _file_of(table, own, day)
    file.parent.mkdir(exist_ok=True)
    with (
        _replaced(file) as half,
        conn.cursor("parquet_export", binary=True) as cursor,
        pa.parquet.ParquetWriter(half, schema, compression="zstd") as writer,
    ):
        cursor.execute(query, {"day": day})
        while rows := cursor.fetchmany(BATCH):
            columns = zip(*rows, strict=True)
            arrays = [
                pa.array(values, type=field.type)
                for values, field in zip(columns, schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            if advance:
                advance(len(rows))


def _schema(pa: Any, table: ParquetTable) -> Any:
    def type_of(name: str) -> Any:
        if name.endswith("[]"):
            return pa.list_(type_of(name.removesuffix("[]")))
        if name.startswith("timestamp"):
            return pa.timestamp("us", tz="UTC")
        return pa.type_for_alias(name)

    return pa.schema(
        [
            pa.field(column.name, type_of(column.arrow_type), nullable=column.nullable)
            for column in table.columns
        ]
    )


@contextmanager
def _replaced(file: Path) -> Iterator[Path]:
    """The file under another name, until it is complete and on the disk."""
    half = file.with_name(f".{file.name}.half")
    try:
        yield half
        with half.open("rb") as written:
            os.fsync(written.fileno())
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)


def _remove_empty_days(plan: _Plan, own: Path, since: date | None, until: date | None) -> int:
    """Files of days in the range that have no rows any more: they were deleted or erased."""
    if plan.table.day is None:
        return 0
    removed = 0
    for folder in sorted(own.glob(f"{plan.table.day}=*")):
        try:
            day = date.fromisoformat(folder.name.partition("=")[2])
        except ValueError:
            continue  # not one of ours
        inside = (since or date.min) <= day <= (until or date.max)
        file = _file_of(plan.table, own, day)
        if inside and day not in plan.rows and file.exists():
            file.unlink()
            removed += 1
            if not any(folder.iterdir()):
                folder.rmdir()
    return removed
