"""Which tables does a query really read, and how?"""

from __future__ import annotations

import json
from typing import Any

from include.tiktok_sync.store_db.database import Connection


def scans(conn: Connection, query: str) -> set[tuple[str, str]]:
    """Table or partition and kind of scan, of the parts of the plan that were run."""
    (plan,) = conn.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}".encode()).fetchone() or ({},)
    found: set[tuple[str, str]] = set()

    def walk(node: dict[str, Any]) -> None:
        if node.get("Relation Name") and node["Actual Loops"]:
            found.add((node["Relation Name"], node["Node Type"]))
        for child in node.get("Plans", ()):
            walk(child)

    walk((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
    return found


def rows_read(conn: Connection, query: str, table: str) -> int:
    """How many rows of a table a query reads, also in functions, whose plans are not shown."""

    def so_far() -> int:
        (found,) = conn.execute(
            "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
            " WHERE relname = %s",
            [table],
        ).fetchone() or (0,)
        return int(found)

    with conn.transaction():
        before = so_far()
        conn.execute(query.encode())
        return so_far() - before


def scanned(conn: Connection, query: str) -> set[str]:
    """The tables that a query really reads: a part of the plan may never be run."""
    return {table for table, _ in scans(conn, query)}
