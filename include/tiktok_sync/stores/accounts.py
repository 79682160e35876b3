"""Which store holds a TikTok account? One at a time: two would refresh each other to death.

A store holds its account until it is removed; the database says so in one place,
``held_accounts()``, and refuses a second holder no matter who writes (migration 0009).
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tokens.grant_table import DISPLAY, GrantTable
from include.tiktok_sync.tokens.scopes import ACCOUNT_CONFLICT

_OTHERS = """
SELECT wanted.store_code, (
    SELECT min(held.store_code) FROM held_accounts() AS held
    WHERE held.open_id = wanted.open_id AND held.store_code <> wanted.store_code)
FROM unnest(%s::text[], %s::text[]) AS wanted (store_code, open_id)
"""
_OTHER_THAN = """
SELECT min(held.store_code)
FROM {} AS own JOIN held_accounts(%(api)s) AS held USING (open_id)
WHERE own.store_code = %(code)s AND held.store_code <> own.store_code
"""
_CONFLICTS = "SELECT store_code FROM store_tokens WHERE status_reason = %s ORDER BY 1"
_DOUBLES = """
SELECT array_agg(store_code ORDER BY store_code) FROM held_accounts()
GROUP BY open_id HAVING count(*) > 1 ORDER BY 1
"""


def lock(conn: Connection) -> None:
    """Let no account change hands until the surrounding transaction ends.

    Take it before any row: the connect app does too.
    """
    conn.execute("SELECT lock_accounts()")


def other_holders(conn: Connection, wanted: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Which store already holds the account that another one is to get.

    Args:
        conn: The database.
        wanted: Pairs of store code and ``open_id``.

    Returns:
        Store code -> another store that holds its account; without those that are free.
    """
    codes, open_ids = [code for code, _ in wanted], [account for _, account in wanted]
    return {code: other for code, other in conn.execute(_OTHERS, [codes, open_ids]) if other}


def other_holder(conn: Connection, store_code: str, table: GrantTable = DISPLAY) -> str | None:
    """Another store that holds this one's account; ``None`` = none does."""
    query = sql.SQL(_OTHER_THAN).format(sql.Identifier(table.name))
    row = conn.execute(query, {"code": store_code, "api": table.api}).fetchone()
    return row[0] if row else None


def doubles(conn: Connection) -> list[list[str]]:
    """Stores that hold one account together, from before it was refused."""
    return [row[0] for row in conn.execute(_DOUBLES)]


def conflicts(conn: Connection) -> list[str]:
    """Stores whose tokens, TikTok says, belong to an account that another store holds."""
    return [row[0] for row in conn.execute(_CONFLICTS, [ACCOUNT_CONFLICT])]
