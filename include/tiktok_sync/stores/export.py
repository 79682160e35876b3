"""Everything known of a store, to files: one table after the other, memory flat, never a token."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

from psycopg import sql

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db import store_tables
from include.tiktok_sync.store_db.database import Connection, one_moment
from include.tiktok_sync.store_db.store_tables import StoreTable
from include.tiktok_sync.stores.csv_cells import csv_lines
from include.tiktok_sync.stores.erasure.backups import backups_with
from include.tiktok_sync.stores.export_page import PAGE, write_page

Format = Literal["page", "csv", "jsonl"]
OnTable = Callable[[str, int], None]
"""Called with each table and its exported rows."""


def export_to_folder(
    conn: Connection, code: str, folder: Path, kind: Format, *, on_table: OnTable | None = None
) -> dict[str, int]:
    """Write a file for each table, as of one moment; the folder appears when all is written.

    A page is for the person whose account it is (:mod:`include.tiktok_sync.stores.export_page`),
    with the CSV files of the tables that hold something. CSV is for spreadsheets
    (:mod:`include.tiktok_sync.stores.csv_cells`): texts that begin like a formula have an
    apostrophe in front, and NULL is an empty unquoted cell. JSON lines are for
    programs: an object each, every value as it is.

    Args:
        conn: Autocommit connection.
        code: Which store.
        folder: Must not exist; readable by its owner only.
        kind: Format; of CSV and JSON lines also the file name extension.
        on_table: For a progress display.

    Returns:
        Rows by table.

    Raises:
        ConfigurationError: The folder exists or cannot be written.
    """
    if folder.exists():
        message = f"{folder} exists already. Move it away, or choose another with --to."
        raise ConfigurationError(message)
    half = folder.with_name(f".{folder.name}.half")
    rows: dict[str, int] = {}
    try:
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700, parents=True)
        extension = "csv" if kind == "page" else kind
        with one_moment(conn):
            tables = store_tables.tables(conn, with_kept=True)
            for table in tables:
                path = half / f"{table.name}.{extension}"
                with path.open("wb") as file:
                    rows[table.name] = _COPY[extension](conn, table, code, file)
                if kind == "page" and not rows[table.name]:
                    path.unlink()
                if on_table:
                    on_table(table.name, rows[table.name])
            if kind == "page":
                backups = backups_with(conn, code, os.environ).said()
                write_page(conn, code, tables, rows, half / PAGE, backups=backups)
        half.rename(folder)
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror}."
        raise ConfigurationError(message) from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return rows


def export_as_stream(
    conn: Connection, code: str, file: BinaryIO, *, on_table: OnTable | None = None
) -> dict[str, int]:
    """Write JSON lines of all tables, each with its table: ``{"table": …, "row": {…}}``.

    Args:
        conn: Autocommit connection.
        code: Which store.
        file: Where to.
        on_table: For a progress display.

    Returns:
        Rows by table.
    """
    rows: dict[str, int] = {}
    with one_moment(conn):
        for table in store_tables.tables(conn, with_kept=True):
            rows[table.name] = _copy_jsonl(conn, table, code, file, named=True)
            if on_table:
                on_table(table.name, rows[table.name])
    return rows


def _selection(table: StoreTable) -> sql.Composed:
    return sql.SQL("SELECT {} FROM {} WHERE store_code = %s ORDER BY {}").format(
        sql.SQL(", ").join(map(sql.Identifier, table.columns)),
        sql.Identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier, table.key)) if table.key else sql.SQL("1"),
    )


def _copy_csv(conn: Connection, table: StoreTable, code: str, file: BinaryIO) -> int:
    query = sql.SQL("COPY ({}) TO STDOUT").format(_selection(table))
    with conn.cursor() as cursor:
        with cursor.copy(query, [code]) as copy:
            copy.set_types(["text"] * len(table.columns))
            lines = csv_lines(table.columns, copy.rows(), numbers=table.numbers)
            file.writelines(line.encode() for line in lines)
        return cursor.rowcount


def _copy_jsonl(
    conn: Connection, table: StoreTable, code: str, file: BinaryIO, *, named: bool = False
) -> int:
    shape = (
        sql.SQL("json_build_object('table', {}::text, 'row', row_to_json(r))")
        if named
        else sql.SQL("row_to_json(r)")
    )
    query = sql.SQL("COPY (SELECT {}::text FROM ({}) AS r) TO STDOUT").format(
        shape.format(sql.Literal(table.name)), _selection(table)
    )
    with conn.cursor() as cursor:
        with cursor.copy(query, [code]) as copy:
            copy.set_types(["text"])
            file.writelines(f"{line}{os.linesep}".encode() for (line,) in copy.rows())
        return cursor.rowcount


_COPY = {"csv": _copy_csv, "jsonl": _copy_jsonl}
