"""Which texts say whose account a store's is, and where do they stand in rows that are kept?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from include.tiktok_sync.jobs import ALL_DAGS
from include.tiktok_sync.store_db import store_tables
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import PersonalKind, personal_columns
from include.tiktok_sync.stores.erasure.redaction import Redactor

_ALSO = frozenset({("stores", "store_name"), ("videos", "video_id")})
"""Not personal by themselves, but people write a store's name, and links to videos hold an id."""

_ACTOR = "actor"
"""Who did something is an operator, and stays; the connect app writes no account there."""

_TYPES = """
SELECT attname::text, atttypid::regtype::text FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""


def redactor_for(conn: Connection, code: str) -> Redactor:
    """What hides the store's account: its ids, names, titles, texts and links; codes are spared."""
    codes = [row[0] for row in conn.execute("SELECT store_code FROM stores")]
    return Redactor(_texts(conn, code), spared={*codes, *ALL_DAGS})


def redactor_for_all(conn: Connection) -> Redactor:
    """The same for every account; texts that are also a store's name, the retailer's, are kept."""
    own = conn.execute("SELECT store_code FROM stores UNION SELECT store_name FROM stores")
    spared = {row[0] for row in own.fetchall()}
    return Redactor(_texts(conn, None), spared={*spared, *ALL_DAGS})


def _texts(conn: Connection, code: str | None) -> Iterator[str]:
    tables = {table.name: table for table in store_tables.tables(conn)}
    wanted = {
        (column.table, column.column)
        for column in personal_columns(conn)
        if column.kind is not PersonalKind.RECORD
    }
    for table, column in sorted(wanted | _ALSO):
        if table not in tables or column not in tables[table].columns:
            continue
        query = sql.SQL("SELECT DISTINCT to_jsonb({0}) FROM {1}").format(
            sql.Identifier(column), sql.Identifier(table)
        )
        if code is not None:
            query += sql.SQL(" WHERE store_code = {}").format(code)
        for (value,) in conn.execute(query):
            yield from _strings(value)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        yield from _strings(list(value.values()))


def hide_in_kept_rows(conn: Connection, code: str, redactor: Redactor) -> dict[str, int]:
    """Hide them in the rows that outlive the store: its audit, and those of whole runs.

    Returns:
        Changed rows by table, those without any left out.
    """
    if not redactor:
        return {}
    changed: dict[str, int] = {}
    tables = {table.name: table for table in store_tables.tables(conn, with_kept=True)}
    by_table: dict[str, list[str]] = {}
    for found in personal_columns(conn):
        if found.table in tables and found.column != _ACTOR:
            by_table.setdefault(found.table, []).append(found.column)
    for name, columns in by_table.items():
        rows = _hide_in(conn, tables[name], columns, code, redactor)
        if rows:
            changed[name] = rows
    return changed


def _hide_in(
    conn: Connection,
    table: store_tables.StoreTable,
    columns: list[str],
    code: str,
    redactor: Redactor,
) -> int:
    types = dict(conn.execute(_TYPES, [table.name]).fetchall())
    columns = [name for name in columns if types[name] in {"text", "jsonb"}]
    if not columns or not table.key:
        return 0
    kept = sql.SQL("store_code IS NULL")
    if table.name == store_tables.KEPT:
        kept = sql.SQL("store_code = %s")
    query = sql.SQL("SELECT {}, {} FROM {} WHERE {}").format(
        _names(table.key), _names(columns), sql.Identifier(table.name), kept
    )
    update = sql.SQL("UPDATE {} SET {} WHERE {}").format(
        sql.Identifier(table.name),
        sql.SQL(", ").join(_equal(columns)),
        sql.SQL(" AND ").join(_equal(table.key)),
    )
    rows = 0
    found = conn.execute(query, [code] if table.name == store_tables.KEPT else [])
    for row in found.fetchall():
        key, values = row[: len(table.key)], row[len(table.key) :]
        hidden = [redactor.hide_in_json(value) for value in values]
        if hidden != list(values):
            written = [
                Jsonb(value) if types[name] == "jsonb" else value
                for name, value in zip(columns, hidden, strict=True)
            ]
            rows += conn.execute(update, [*written, *key]).rowcount
    return rows


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _equal(names: Sequence[str]) -> list[sql.Composed]:
    return [sql.SQL("{} = %s").format(sql.Identifier(name)) for name in names]
