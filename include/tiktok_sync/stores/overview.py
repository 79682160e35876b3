"""All stores at a glance, for the operator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from include.tiktok_sync.errors import StoreTokenStatus
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.lifecycle import StoreState
from include.tiktok_sync.tokens.scopes import why_in_state

STORES = """
SELECT s.store_code, s.store_name, s.region,
    store_state(s.is_active, s.removed_at, t.status) AS state,
    CASE
        WHEN s.removed_at IS NOT NULL AND (t.status <> 'needs_consent' OR EXISTS (
                SELECT FROM business_tokens AS b
                WHERE b.store_code = s.store_code
                    AND lives_at_tiktok(b.status, b.status_reason)))
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
SELECT listed.store_code, store_name, region, state, reason, listed.scope,
    CASE WHEN token_status <> 'needs_consent' THEN listed.refresh_expires_at END
        AS consent_ends_at,
    b.status AS business_status, b.status_reason AS business_reason, b.scope AS business_scope,
    CASE WHEN b.status <> 'needs_consent' THEN b.refresh_expires_at END AS business_ends_at,
    (SELECT l.run_time FROM sync_logs AS l
        WHERE l.store_code = listed.store_code AND l.status = 'success'
        ORDER BY l.run_time DESC LIMIT 1) AS last_success_at
FROM ({STORES}) AS listed LEFT JOIN business_tokens AS b USING (store_code)
WHERE %(state)s::text IS NULL OR state = %(state)s
ORDER BY listed.store_code
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
        business_status: State of its second grant, for the Accounts API; ``None`` = it has none.
        business_reason: Why that one is in its state, where there is more to say.
        business_ends_at: As ``consent_ends_at``, of the second grant.
    """

    store_code: str
    store_name: str
    region: str | None
    state: StoreState
    reason: str | None
    consent_ends_at: datetime | None
    last_success_at: datetime | None
    business_status: StoreTokenStatus | None
    business_reason: str | None
    business_ends_at: datetime | None


def overview(conn: Connection, state: StoreState | None = None) -> list[StoreLine]:
    """Every store, or those in one state, by code."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_OVERVIEW.encode(), {"state": state}).fetchall()
    return [_line(**row) for row in rows]


def _line(*, scope: str | None, business_scope: str | None, **row: Any) -> StoreLine:
    line = StoreLine(**row)
    if line.state == "missing_scope":
        line = replace(line, reason=why_in_state(line.state, line.reason, scope))
    if line.business_status is None:
        return line
    why = why_in_state(line.business_status, line.business_reason, business_scope, "business")
    return replace(line, business_reason=why)
