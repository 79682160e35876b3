"""Which stores wait for a connect link, which have one that works, and links for all that wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row

from include.tiktok_sync.jobs import Api
from include.tiktok_sync.links.connect_links import ConnectLink, LinkMaker
from include.tiktok_sync.store_db.database import Connection

MOST_AT_ONCE = 500
"""Links that are made in one go, all or none."""

_WAITING = """
SELECT s.store_code, EXISTS (
    SELECT FROM connect_links AS l
    WHERE l.store_code = s.store_code AND l.api = 'display'
        AND link_state(l.used_at, l.revoked_at, l.expires_at, s.is_active, now()) = 'open'
) AS has_link
FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code)
WHERE store_state(s.is_active, s.removed_at, t.status) IN ('needs_consent', 'missing_scope')
ORDER BY s.store_code
"""

_NEWEST = """
SELECT l.created_by, l.created_at, l.expires_at, l.used_at, l.revoked_at,
    link_state(l.used_at, l.revoked_at, l.expires_at, s.is_active, now()) AS state
FROM connect_links AS l JOIN stores AS s USING (store_code)
WHERE l.store_code = %s AND l.api = %s ORDER BY l.created_at DESC LIMIT 1
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
    """The newest link made for a store, without the link: only its hash is kept.

    ``state`` is that of ``link_state()`` in the database.
    """

    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None
    state: Literal["used", "replaced", "expired", "open"]


def waiting_stores(conn: Connection) -> list[WaitingStore]:
    """Every store that needs consent, by code."""
    with conn.cursor(row_factory=class_row(WaitingStore)) as cursor:
        return cursor.execute(_WAITING).fetchall()


def last_link(conn: Connection, store_code: str, api: Api = "display") -> LastLink | None:
    """The store's newest link to one of TikTok's APIs; ``None`` = none was made."""
    with conn.cursor(row_factory=class_row(LastLink)) as cursor:
        return cursor.execute(_NEWEST, [store_code, api]).fetchone()


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
