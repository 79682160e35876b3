"""All stores at a glance, for the operator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.lifecycle import StoreState
from include.tiktok_sync.tokens.scopes import why_in_state

STORES = """
SELECT s.store_code, s.store_name, s.region,
    store_state(s.is_active, s.removed_at, t.status) AS state,
    CASE
        WHEN s.removed_at IS NOT NULL AND (t.status <> 'needs_consent' OR EXISTS (
                SELECT FROM business_tokens AS b
                WHERE b.store_code = s.store_code AND b.status <> 'needs_consent'))
            THEN 'Its grant is not revoked yet: run stores disconnect again'
        WHEN s.removed_at IS NOT NULL THEN 'Left on ' || (
            SELECT (s.removed_at AT TIME ZONE timezone)::date FROM sync_calendar)
        WHEN NOT s.is_active THEN s.paused_reason
        WHEN t.store_code IS NULL THEN 'Never connected'
        ELSE t.status_reason
    END AS reason,
    t.status AS token_status, t.scope, t.refresh_expires_at
FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code)
"""
"""Every store with its state and why; the status page's list reads it too."""

_OVERVIEW = f"""
SELECT store_code, store_name, region, state, reason, scope,
    CASE WHEN token_status <> 'needs_consent' THEN refresh_expires_at END AS consent_ends_at,
    (SELECT l.run_time FROM sync_logs AS l
        WHERE l.store_code = listed.store_code AND l.status = 'success'
        ORDER BY l.run_time DESC LIMIT 1) AS last_success_at
FROM ({STORES}) AS listed
WHERE %(state)s::text IS NULL OR state = %(state)s
ORDER BY store_code
"""  # noqa: S608 - a constant of this file


@dataclass(frozen=True)
class StoreLine:
    """One store.

    Attributes:
        store_code: The retailer's code.
        store_name: Its name.
        region: Its region.
        state: See docs/lifecycle.md.
        reason: Why it is in that state, where there is more to say.
        consent_ends_at: End of its living consent; ``None`` = there is none, or TikTok did not say.
        last_success_at: When a job last succeeded for it.
    """

    store_code: str
    store_name: str
    region: str | None
    state: StoreState
    reason: str | None
    consent_ends_at: datetime | None
    last_success_at: datetime | None


def overview(conn: Connection, state: StoreState | None = None) -> list[StoreLine]:
    """Every store, or those in one state, by code."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_OVERVIEW.encode(), {"state": state}).fetchall()
    return [_line(**row) for row in rows]


def _line(*, scope: str | None, **row: Any) -> StoreLine:
    line = StoreLine(**row)
    if line.state != "missing_scope":
        return line
    return replace(line, reason=why_in_state(line.state, line.reason, scope))
