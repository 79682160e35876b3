"""Which stores wait for a connect link, which have one that works, and links for all that wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from include.tiktok_sync.links.connect_links import ConnectLink, LinkMaker
from include.tiktok_sync.store_db.database import Connection

MOST_AT_ONCE = 500
"""Links that are made in one go, all or none."""

_WAITING = """
SELECT s.store_code, EXISTS (
    SELECT FROM connect_links AS l
    WHERE l.store_code = s.store_code AND l.used_at IS NULL AND l.revoked_at IS NULL
        AND l.expires_at > now()
) AS has_link
FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code)
WHERE store_state(s.is_active, s.removed_at, t.status) IN ('needs_consent', 'missing_scope')
ORDER BY s.store_code
"""

_NEWEST = """
SELECT created_by, created_at, expires_at, used_at, revoked_at
FROM connect_links WHERE store_code = %s ORDER BY created_at DESC LIMIT 1
"""


@dataclass(frozen=True)
class WaitingStore:
    """A store in the nightly syncs that needs its manager's consent, or more of it.

    Attributes:
        store_code: Which one.
        has_link: One that was made for it still works.
    """

    store_code: str
    has_link: bool


@dataclass(frozen=True)
class LastLink:
    """The newest link made for a store, without the link: only its hash is kept."""

    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


def waiting_stores(conn: Connection) -> list[WaitingStore]:
    """Every store that needs consent, by code."""
    with conn.cursor(row_factory=class_row(WaitingStore)) as cursor:
        return cursor.execute(_WAITING).fetchall()


def last_link(conn: Connection, store_code: str) -> LastLink | None:
    """The store's newest link; ``None`` = none was made."""
    with conn.cursor(row_factory=class_row(LastLink)) as cursor:
        return cursor.execute(_NEWEST, [store_code]).fetchone()


def make_links(conn: Connection, maker: LinkMaker, *, days: int, again: bool) -> list[ConnectLink]:
    """Links for the stores that need consent, :data:`MOST_AT_ONCE` of them, by code.

    All in one transaction: links that nobody is shown end no older ones.

    Args:
        conn: Autocommit connection of the product's own role.
        maker: Who makes them.
        days: How long they work.
        again: Also for stores with a link that still works, which ends; otherwise doing it again
            goes on with those that are left.

    Raises:
        ConfigurationError: ``days`` cannot be used.
    """
    with conn.transaction():
        wanted: Sequence[WaitingStore] = [
            store for store in waiting_stores(conn) if again or not store.has_link
        ]
        return [maker.make(conn, store.store_code, days=days) for store in wanted[:MOST_AT_ONCE]]
