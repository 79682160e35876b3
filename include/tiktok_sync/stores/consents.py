"""Whose consent ends when? A refresh does not prolong it; only its manager can give a new one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.lifecycle import StoreState

STAGES = (30, 14, 3)
"""Days before the end at which a consent deserves a reminder, each more urgent."""

_ENDING = """
SELECT s.store_code, s.store_name, s.region,
    store_state(s.is_active, s.removed_at, t.status) AS state,
    t.refresh_expires_at AS ends_at,
    (extract(epoch FROM t.refresh_expires_at - %(now)s) / 86400)::float8 AS days_left
FROM store_tokens AS t JOIN stores AS s USING (store_code)
WHERE t.status <> 'needs_consent' AND s.removed_at IS NULL
    AND t.refresh_expires_at < %(now)s + make_interval(days => %(days)s)
ORDER BY t.refresh_expires_at, s.store_code
"""


@dataclass(frozen=True)
class Consent:
    """One consent that ends soon, or has ended without any sync noticing.

    Attributes:
        store_code: Which store.
        store_name: Its name.
        region: Its region.
        state: Its state.
        ends_at: When the consent ends.
        days_left: Days until then; below 0 it has ended.
    """

    store_code: str
    store_name: str
    region: str | None
    state: StoreState
    ends_at: datetime
    days_left: float

    @property
    def stage(self) -> int | None:
        """The smallest of :data:`STAGES` it has reached; 0 = ended; ``None`` = none yet."""
        if self.days_left <= 0:
            return 0
        return min((stage for stage in STAGES if self.days_left <= stage), default=None)


def consents_ending(conn: Connection, now: datetime, days: int = STAGES[0]) -> list[Consent]:
    """Living consents that end within ``days``, the first one first; no stores that have left."""
    with conn.cursor(row_factory=class_row(Consent)) as cursor:
        return cursor.execute(_ENDING, {"now": now, "days": days}).fetchall()
