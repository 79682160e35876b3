"""What are the stores called? For lists in which a person looks one up."""

from __future__ import annotations

from include.tiktok_sync.database import Connection

_ASK = """
SELECT store_code,
    store_code || ' · ' || store_name || coalesce(' (' || region || ')', '')
        || CASE WHEN is_active THEN '' ELSE ', not active' END
FROM stores ORDER BY store_code COLLATE "C" LIMIT %s
"""


def store_names(conn: Connection, most: int) -> dict[str, str]:
    """Every store's code and what to call it, by code; at most so many."""
    return dict(conn.execute(_ASK, [most]).fetchall())
