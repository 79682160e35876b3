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


def scanned(conn: Connection, query: str) -> set[str]:
    """The tables that a query really reads: a part of the plan may never be run."""
    return {table for table, _ in scans(conn, query)}
