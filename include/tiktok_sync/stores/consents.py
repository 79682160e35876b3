"""Which consents end when, and which privacy notice was read before each was given?

A refresh does not extend a consent; only the manager can give a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row

from include.tiktok_sync.jobs import Api
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.lifecycle import StoreState

STAGES = (30, 14, 3)
"""Days before the end at which a consent deserves a reminder, each more urgent."""

NoticeState = Literal["current", "older", "none"]
"""Whether the manager was shown the present privacy notice, another one, or none by us."""

_ENDING = """
SELECT store_code, store_name, region, api, state, ends_at, days_left, notice_version, notice
FROM living_consents
WHERE days_left < %(days)s
    AND (%(stores)s::text[] IS NULL OR store_code = ANY (%(stores)s::text[]))
    AND (%(api)s::text IS NULL OR api = %(api)s)
    AND (is_active OR NOT %(active)s)
ORDER BY ends_at, store_code, api DESC
"""

_SHOWN = """
SELECT store_code, store_name, region, api, state, given_at, notice_version, notice
FROM living_consents
WHERE %(notice)s::text IS NULL OR notice = %(notice)s
ORDER BY notice = 'current', notice = 'older', store_code, api DESC
"""

_NOTICES = """
WITH newest AS (SELECT version FROM privacy_notices ORDER BY current_since DESC LIMIT 1)
SELECT version, text, first_shown_at, version = (SELECT version FROM newest) AS is_current,
    (SELECT count(*) FROM living_consents AS g WHERE g.notice_version = n.version) AS grants
FROM privacy_notices AS n
ORDER BY current_since DESC
"""


@dataclass(frozen=True)
class Consent:
    """One consent that ends soon, or has ended without any sync noticing.

    Attributes:
        store_code: Which store.
        store_name: Its name.
        region: Its region.
        api: To which of TikTok's APIs.
        state: Its state.
        ends_at: When the consent ends.
        days_left: Days until then; below 0 it has ended.
        notice_version: Privacy notice that the manager was shown; ``None`` = none.
        notice: How that one stands to the present one.
    """

    store_code: str
    store_name: str
    region: str | None
    api: Api
    state: StoreState
    ends_at: datetime
    days_left: float
    notice_version: str | None
    notice: NoticeState

    @property
    def stage(self) -> int | None:
        """The smallest of :data:`STAGES` it has reached; 0 = ended; ``None`` = none yet."""
        if self.days_left <= 0:
            return 0
        return min((stage for stage in STAGES if self.days_left <= stage), default=None)


@dataclass(frozen=True)
class ShownNotice:
    """Which privacy notice the manager of one store with a living consent was shown.

    Attributes:
        store_code: Which store.
        store_name: Its name.
        region: Its region.
        api: To which of TikTok's APIs.
        state: Its state.
        given_at: When the consent was given or imported; ``None`` = before that was recorded.
        notice_version: The notice; ``None`` = none, such as for an imported consent.
        notice: How it stands to the present one.
    """

    store_code: str
    store_name: str
    region: str | None
    api: Api
    state: StoreState
    given_at: datetime | None
    notice_version: str | None
    notice: NoticeState


@dataclass(frozen=True)
class PrivacyNotice:
    """One privacy notice that managers were shown.

    Attributes:
        version: The beginning of its text's SHA-256.
        text: The text, word for word.
        first_shown_at: When it was first on a page.
        is_current: Whether the pages show it now.
        grants: Living consents given after it was shown.
    """

    version: str
    text: str
    first_shown_at: datetime
    is_current: bool
    grants: int


def notices_shown(conn: Connection, notice: NoticeState | None = None) -> list[ShownNotice]:
    """Every living consent with the notice shown before it; first those without, then the older.

    Args:
        conn: The database.
        notice: Only those; ``None`` = all.
    """
    with conn.cursor(row_factory=class_row(ShownNotice)) as cursor:
        return cursor.execute(_SHOWN, {"notice": notice}).fetchall()


def privacy_notices(conn: Connection) -> list[PrivacyNotice]:
    """Every notice ever shown, the present one first."""
    with conn.cursor(row_factory=class_row(PrivacyNotice)) as cursor:
        return cursor.execute(_NOTICES).fetchall()


def consents_ending(
    conn: Connection,
    days: int = STAGES[0],
    *,
    stores: Sequence[str] | None = None,
    api: Api | None = None,
    active: bool = False,
) -> list[Consent]:
    """Living consents that end within ``days``, the earliest first (the view ``living_consents``).

    Args:
        conn: The database.
        days: How far to look ahead.
        stores: Of these stores only; ``None`` = of all that have not left.
        api: To this API only; ``None`` = to both.
        active: Without paused stores.
    """
    values = {
        "days": days,
        "stores": None if stores is None else list(stores),
        "api": api,
        "active": active,
    }
    with conn.cursor(row_factory=class_row(Consent)) as cursor:
        return cursor.execute(_ENDING, values).fetchall()
