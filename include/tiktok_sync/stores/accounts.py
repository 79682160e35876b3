"""Which store holds a TikTok account? One at a time: two would refresh each other to death.

A store holds its account until it is removed; the database says so in one place,
``held_accounts()``, and refuses a second holder no matter who writes (migration 0009).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from include.tiktok_sync.jobs import Api
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tokens.grant_table import DISPLAY, GRANT_TABLES, GrantTable
from include.tiktok_sync.tokens.scopes import ACCOUNT_CONFLICT

_OTHERS = """
SELECT wanted.store_code, (
    SELECT min(held.store_code) FROM held_accounts(%s) AS held
    WHERE held.open_id = wanted.open_id AND held.store_code <> wanted.store_code)
FROM unnest(%s::text[], %s::text[]) AS wanted (store_code, open_id)
"""
_OTHER_THAN = """
SELECT min(held.store_code)
FROM {grants} AS own JOIN held_accounts(%(api)s) AS held USING (open_id)
WHERE own.store_code = %(code)s AND held.store_code <> own.store_code
"""
_CONFLICTS = "SELECT store_code FROM {grants} WHERE status_reason = %s ORDER BY 1"
_DOUBLES = """
SELECT array_agg(store_code ORDER BY store_code) FROM held_accounts(%s)
GROUP BY open_id HAVING count(*) > 1 ORDER BY 1
"""


def lock(conn: Connection) -> None:
    """Let no account change hands until the surrounding transaction ends.

    Take it before any row: the connect app does too.
    """
    conn.execute("SELECT lock_accounts()")


def other_holders(
    conn: Connection, wanted: Sequence[tuple[str, str]], api: Api = "display"
) -> dict[str, str]:
    """Which store already holds the account that another one is to get.

    Args:
        conn: The database.
        wanted: Pairs of store code and ``open_id``.
        api: Which API's.

    Returns:
        Store code -> another store that holds its account; without those that are free.
    """
    codes, open_ids = [code for code, _ in wanted], [account for _, account in wanted]
    return {code: other for code, other in conn.execute(_OTHERS, [api, codes, open_ids]) if other}


def other_holder(
    conn: Connection, store_code: str, tables: Iterable[GrantTable] = GRANT_TABLES.values()
) -> str | None:
    """Another store that holds this one's account, for any of the APIs; ``None`` = none does."""
    for table in tables:
        values = {"api": table.api, "code": store_code}
        row = conn.execute(table.sql(_OTHER_THAN), values).fetchone()
        if row and row[0]:
            return str(row[0])
    return None


def doubles(conn: Connection, api: Api = "display") -> list[list[str]]:
    """Stores that hold one account together, from before it was refused."""
    return [row[0] for row in conn.execute(_DOUBLES, [api])]


def conflicts(conn: Connection, table: GrantTable = DISPLAY) -> list[str]:
    """Stores whose tokens, TikTok says, belong to an account that another store holds."""
    return [row[0] for row in conn.execute(table.sql(_CONFLICTS), [ACCOUNT_CONFLICT])]
