"""Where is a store's data? In every table with a ``store_code``, as read from the database itself.

So a table that a later migration adds is exported and erased automatically.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter

from psycopg import sql

from include.tiktok_sync.store_db.database import Connection

KEPT = "store_audit"
"""The one table that outlives its store."""

# A table is emptied before those that it refers to; secrets (bytea) are never exported.
_TABLES = """
SELECT c.relname AS name,
    array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.atttypid <> 'bytea'::regtype)
        AS columns,
    coalesce(array_agg(a.attname::text) FILTER (
        WHERE (SELECT typcategory FROM pg_type WHERE oid = a.atttypid) = 'N'), '{}') AS numbers,
    coalesce((
        SELECT array_agg(key.attname::text ORDER BY place)
        FROM pg_index AS i, unnest(i.indkey) WITH ORDINALITY AS part (number, place)
        JOIN pg_attribute AS key ON key.attnum = number
        WHERE i.indrelid = c.oid AND i.indisprimary AND key.attrelid = c.oid
    ), '{}') AS key,
    ARRAY(
        SELECT f.confrelid::regclass::text FROM pg_constraint AS f
        WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid
    ) AS refers_to
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    AND NOT c.relispartition
GROUP BY c.oid, c.relname
HAVING bool_or(a.attname = 'store_code')
ORDER BY c.relname
"""


@dataclass(frozen=True)
class StoreTable:
    """A table with rows of stores.

    Attributes:
        name: Its name.
        columns: Columns that may be exported, in their order.
        numbers: Those of them with numbers.
        key: Its primary key.
        refers_to: Tables that its foreign keys point to.
    """

    name: str
    columns: tuple[str, ...]
    numbers: frozenset[str]
    key: tuple[str, ...]
    refers_to: frozenset[str]


def tables(conn: Connection, *, with_kept: bool = False) -> list[StoreTable]:
    """All such tables, each before those it refers to: the order in which rows can be deleted.

    Args:
        conn: The database.
        with_kept: Also :data:`KEPT`.
    """
    found = [
        StoreTable(name, tuple(columns), frozenset(numbers), tuple(key), frozenset(refers_to))
        for name, columns, numbers, key, refers_to in conn.execute(_TABLES).fetchall()
    ]
    by_name = {table.name: table for table in found}
    order: TopologicalSorter[str] = TopologicalSorter()
    for table in found:
        order.add(table.name)
        for target in table.refers_to:
            order.add(target, table.name)
    return [
        by_name[name]
        for name in order.static_order()
        if name in by_name and (with_kept or name != KEPT)
    ]


def count(conn: Connection, table: StoreTable, code: str) -> int:
    """Rows of the store in the table."""
    query = sql.SQL("SELECT count(*) FROM {} WHERE store_code = %s")
    rows = conn.execute(query.format(sql.Identifier(table.name)), [code]).fetchall()
    return int(rows[0][0])


def delete(conn: Connection, table: StoreTable, code: str) -> int:
    """Delete them.

    Returns:
        How many there were.
    """
    query = sql.SQL("DELETE FROM {} WHERE store_code = %s")
    return conn.execute(query.format(sql.Identifier(table.name)), [code]).rowcount
