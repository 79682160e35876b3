"""Which tables and columns are exported to Parquet, and as which types?

Read from the database itself: a daily table that a later migration adds is exported as well, and a
column that it marks as personal is left out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import personal_columns, unmarked
from include.tiktok_sync.store_db.roles import NAMES

DAY_COLUMNS = ("snapshot_date", "metric_date")
"""A table with one of them in its key is daily: it gets a folder for each day."""

WITHOUT_DAYS = ("stores", "videos")
"""What the daily rows are about."""

_COLUMNS = """
SELECT c.relname::text, coalesce(obj_description(c.oid), ''), a.attname::text,
    format_type(a.atttypid, NULL), a.attnotnull, coalesce(col_description(c.oid, a.attnum), ''),
    a.attnum = ANY(i.indkey)
FROM pg_class AS c
JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND (c.relname = ANY(%(without_days)s) OR EXISTS (
        SELECT FROM pg_attribute AS d WHERE d.attrelid = c.oid AND d.attnum = ANY(i.indkey)
            AND d.attname = ANY(%(day_columns)s)))
ORDER BY c.relname, a.attnum
"""

# Postgres' type -> that of Arrow, as pyarrow.type_for_alias() and schemas spell it.
_TYPES = {
    "bigint": "int64",
    "boolean": "bool",
    "date": "date32",
    "double precision": "float64",
    "integer": "int32",
    "json": "string",
    "jsonb": "string",
    "numeric": "string",
    "real": "float32",
    "smallint": "int16",
    "text": "string",
    "timestamp with time zone": "timestamp[us, tz=UTC]",
    "uuid": "string",
}

_AS_TEXT = frozenset({"json", "jsonb", "numeric", "uuid"})
"""Types that become text: Parquet has none that holds every value of theirs."""

_SECRET = "bytea"  # noqa: S105 - a type: tokens and hashes are kept as it, and never exported


@dataclass(frozen=True)
class ParquetColumn:
    """A column of a file.

    Attributes:
        name: Its name, as in the database.
        postgres_type: Its type there.
        nullable: Whether it may be NULL.
        comment: What it means.
        personal: Whether it holds data about a person, or names a store.
    """

    name: str
    postgres_type: str
    nullable: bool
    comment: str
    personal: bool

    @property
    def arrow_type(self) -> str:
        """Its type in the file; of a list, that of an item with ``[]`` behind it.

        Raises:
            ConfigurationError: There is none for the type.
        """
        item = self.postgres_type.removesuffix("[]")
        if item not in _TYPES:
            message = (
                f"The column {self.name} has the type {self.postgres_type}, for which the export"
                " knows no type of Parquet."
            )
            raise ConfigurationError(message)
        return _TYPES[item] + self.postgres_type[len(item) :]

    @property
    def selected(self) -> sql.Composable:
        """The column in a SELECT."""
        item = self.postgres_type.removesuffix("[]")
        if item not in _AS_TEXT:
            return sql.Identifier(self.name)
        return sql.SQL("{}::{}").format(
            sql.Identifier(self.name),
            sql.SQL("text[]" if item != self.postgres_type else "text"),
        )


@dataclass(frozen=True)
class ParquetTable:
    """A table that is exported.

    Attributes:
        name: Its name.
        comment: What it holds.
        day: The column by which its files are divided; ``None`` = it is one file.
        columns: Columns of the files, in their order; ``day`` is in the folder's name.
        key: Its primary key without ``day``, by which rows are sorted.
    """

    name: str
    comment: str
    day: str | None
    columns: tuple[ParquetColumn, ...]
    key: tuple[str, ...]

    def described(self, *, with_names: bool) -> dict[str, Any]:
        """The content of the schema file."""
        return {
            "table": self.name,
            "comment": unmarked(self.comment),
            "partitioned_by": self.day,
            "with_names": with_names,
            "columns": [
                {
                    "name": column.name,
                    "type": column.arrow_type,
                    "postgres_type": column.postgres_type,
                    "nullable": column.nullable,
                    "personal": column.personal,
                    "comment": unmarked(column.comment),
                }
                for column in self.columns
            ],
        }


def parquet_tables(
    conn: Connection, *, with_names: bool, only: Collection[str] = ()
) -> list[ParquetTable]:
    """The tables to export, by name.

    Args:
        conn: As the owner of the tables.
        with_names: Also columns with personal data and store names.
        only: Names of tables; none = all.

    Raises:
        ConfigurationError: A name is not that of an exported table.
    """
    rows = conn.execute(
        _COLUMNS, {"without_days": list(WITHOUT_DAYS), "day_columns": list(DAY_COLUMNS)}
    ).fetchall()
    personal = {(found.table, found.column) for found in personal_columns(conn)}
    tables: dict[str, ParquetTable] = {}
    for name in dict.fromkeys(row[0] for row in rows):
        own = [row for row in rows if row[0] == name]
        key = [column for _, _, column, *_, in_key in own if in_key]
        day = next((column for column in DAY_COLUMNS if column in key), None)
        columns = [
            ParquetColumn(
                column, kind, not notnull, text, (name, column) in personal or column in NAMES
            )
            for _, _, column, kind, notnull, text, _ in own
            if column != day and kind != _SECRET
        ]
        shown = tuple(column for column in columns if with_names or not column.personal)
        tables[name] = ParquetTable(
            name, own[0][1], day, shown, tuple(column for column in key if column != day)
        )
    unknown = sorted(set(only) - tables.keys())
    if unknown:
        message = f"{', '.join(unknown)}: not exported. There are {', '.join(tables)}."
        raise ConfigurationError(message)
    return [table for name, table in tables.items() if not only or name in only]
