"""Which consents end when? A refresh does not extend one; only the manager can give a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.lifecycle import StoreState

STAGES = (30, 14, 3)
"""Days before the end at which a consent deserves a reminder, each more urgent."""

_ENDING = """
SELECT store_code, store_name, region, state, ends_at, days_left FROM living_grants
WHERE days_left < %(days)s
    AND (%(stores)s::text[] IS NULL OR store_code = ANY (%(stores)s::text[]))
    AND (is_active OR NOT %(active)s)
ORDER BY ends_at, store_code
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


def consents_ending(
    conn: Connection,
    days: int = STAGES[0],
    *,
    stores: Sequence[str] | None = None,
    active: bool = False,
) -> list[Consent]:
    """Living consents that end within ``days``, the earliest first (the view ``living_grants``).

    Args:
        conn: The database.
        days: How far to look ahead.
        stores: Of these stores only; ``None`` = of all that have not left.
        active: Without paused stores.
    """
    values = {"days": days, "stores": None if stores is None else list(stores), "active": active}
    with conn.cursor(row_factory=class_row(Consent)) as cursor:
        return cursor.execute(_ENDING, values).fetchall()
