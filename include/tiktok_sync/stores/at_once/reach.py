"""What could an intruder reach, and whom does that concern? Read from the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import personal_columns
from include.tiktok_sync.stores.erasure.backups import Backups, all_backups

_STORES = """
SELECT s.store_code, s.store_name, store_state(s.is_active, s.removed_at, t.status) AS state,
    t.store_code IS NOT NULL AS has_grant, coalesce(t.scope, '') AS scope,
    b.scope AS business_scope,
    least(t.created_at, b.created_at, (
        SELECT min(u.snapshot_date)::timestamptz FROM user_daily_stats AS u
        WHERE u.store_code = s.store_code)) AS held_since,
    (SELECT max(l.run_time) FROM sync_logs AS l
        WHERE l.store_code = s.store_code AND l.status = 'success') AS last_sync,
    (SELECT l.created_by FROM connect_links AS l WHERE l.store_code = s.store_code
        ORDER BY l.created_at DESC LIMIT 1) AS contact
FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code)
LEFT JOIN business_tokens AS b USING (store_code)
ORDER BY s.store_code
"""
_ROLES = """
SELECT r.rolname::text AS name, r.rolcanlogin AS logs_in,
    array_agg(p.name || '.' || p.place ORDER BY p.name, p.place) AS columns
FROM pg_roles AS r CROSS JOIN unnest(%s::text[], %s::text[]) AS p (name, place)
WHERE r.rolname !~ '^pg_' AND has_column_privilege(r.oid, p.name::regclass, p.place, 'SELECT')
GROUP BY r.rolname, r.rolcanlogin ORDER BY r.rolname
"""


@dataclass(frozen=True)
class StoreReach:
    """One store.

    Attributes:
        store_code: Its code.
        store_name: Its name.
        state: As in ``stores list``.
        has_grant: Whether its tokens are in the database, as ciphertext.
        scope: What they allow at TikTok.
        business_scope: The same of its grant of the Accounts API; ``None`` = it has none.
        held_since: Since when something of its account is held; ``None`` = nothing is.
        last_sync: The last sync that succeeded.
        contact: Who sent its manager the last link: who knows the manager.
    """

    store_code: str
    store_name: str
    state: str
    has_grant: bool
    scope: str
    business_scope: str | None
    held_since: datetime | None
    last_sync: datetime | None
    contact: str | None


@dataclass(frozen=True)
class RoleReach:
    """A role of the database.

    Attributes:
        name: Its name.
        logs_in: Whether it can log in.
        columns: Personal columns that it reads.
    """

    name: str
    logs_in: bool
    columns: Sequence[str]


@dataclass(frozen=True)
class Reach:
    """All of it.

    Attributes:
        stores: Each store.
        columns: Table or view -> its personal columns.
        roles: Who reads some of them.
        backups: Dumps that hold them too.
    """

    stores: Sequence[StoreReach]
    columns: Mapping[str, Sequence[str]]
    roles: Sequence[RoleReach]
    backups: Backups


def reach(conn: Connection, env: Mapping[str, str]) -> Reach:
    """Look it up; nothing is changed.

    Args:
        conn: As the owner.
        env: How many backups are kept.
    """
    with conn.cursor(row_factory=class_row(StoreReach)) as cursor:
        stores = cursor.execute(_STORES).fetchall()
    personal = personal_columns(conn)
    columns: dict[str, list[str]] = {}
    for found in personal:
        columns.setdefault(found.table, []).append(found.column)
    with conn.cursor(row_factory=class_row(RoleReach)) as roles_of:
        wanted = [[found.table for found in personal], [found.column for found in personal]]
        roles = roles_of.execute(_ROLES, wanted).fetchall()
    return Reach(stores, columns, roles, all_backups(conn, env))
