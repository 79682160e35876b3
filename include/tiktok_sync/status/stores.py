"""Which stores need attention: those that fail, or must be connected again now or soon?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeVar

from psycopg.rows import class_row

from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.consents import (
    Consent,
    ShownNotice,
    consents_ending,
    notices_shown,
)
from include.tiktok_sync.stores.lifecycle import StoreState
from include.tiktok_sync.stores.overview import STORES
from include.tiktok_sync.tokens.scopes import why_in_state

NAMED = 25
"""Stores that a list names; it gives the number of the rest."""

PAGE = 50
"""Stores on a page of the full list."""

_LOOK_BACK_DAYS = 90

# One look-up per store and Dag in the index (store_code, run_time); how long it has been failing is
# only read for the stores that are shown.
_FAILING = f"""
WITH failing AS (
    SELECT s.store_code, s.store_name, l.job_name, l.run_id, l.message, l.run_time,
        count(*) OVER () AS found
    FROM stores AS s
    CROSS JOIN unnest(%(jobs)s::text[]) AS job (name)
    JOIN LATERAL (
        SELECT o.job_name, o.run_id, o.status, o.message, o.run_time FROM sync_logs AS o
        WHERE o.store_code = s.store_code AND o.job_name = job.name
            AND o.run_time > now() - interval '{_LOOK_BACK_DAYS} days'
        ORDER BY o.run_time DESC
        LIMIT 1
    ) AS l ON l.status = 'failed'
    WHERE s.is_active
    ORDER BY l.run_time DESC, s.store_code
    LIMIT %(limit)s
)
SELECT f.store_code, f.store_name, f.job_name, f.run_id, f.message, f.run_time, since.run_time
    AS since, f.found
FROM failing AS f
CROSS JOIN LATERAL (
    SELECT min(o.run_time) AS run_time FROM sync_logs AS o
    WHERE o.store_code = f.store_code AND o.job_name = f.job_name AND o.status = 'failed'
        AND o.run_time > coalesce(
            (SELECT max(g.run_time) FROM sync_logs AS g
                WHERE g.store_code = f.store_code AND g.job_name = f.job_name
                    AND g.status = 'success'
                    AND g.run_time > now() - interval '{_LOOK_BACK_DAYS} days'),
            now() - interval '{_LOOK_BACK_DAYS} days')
) AS since
ORDER BY since, f.store_code
"""  # noqa: S608 - a constant of this file

_CONSENT = """
SELECT s.store_code, s.store_name, coalesce(t.status, 'not_connected') AS status,
    t.status_reason, t.scope,
    coalesce(t.status_since, s.created_at) AS since, count(*) OVER () AS found
FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code)
WHERE s.is_active AND t.status IS DISTINCT FROM 'active'
ORDER BY since, s.store_code
LIMIT %(limit)s
"""

_PAGE = f"""
SELECT s.*, l.job_name, l.status, l.message, l.run_time,
    b.status AS business_status, b.refresh_expires_at AS business_expires_at
FROM (
    SELECT store_code, store_name, region, state, token_status, refresh_expires_at
    FROM ({STORES}) AS listed
    WHERE (%(search)s = '' OR store_code ILIKE %(pattern)s OR store_name ILIKE %(pattern)s
            OR region ILIKE %(pattern)s)
        AND (%(state)s = '' OR state = %(state)s)
    ORDER BY store_code
    LIMIT %(limit)s OFFSET %(offset)s
) AS s
LEFT JOIN LATERAL (
    SELECT o.job_name, o.status, o.message, o.run_time FROM sync_logs AS o
    WHERE o.store_code = s.store_code
    ORDER BY o.run_time DESC
    LIMIT 1
) AS l ON true
LEFT JOIN business_tokens AS b USING (store_code)
ORDER BY s.store_code
"""  # noqa: S608 - a constant


class _Counted(Protocol):
    @property
    def found(self) -> int:
        """Rows before the limit."""


T = TypeVar("T")
C = TypeVar("C", bound=_Counted)


@dataclass(frozen=True)
class Listed(Generic[T]):
    """The first rows of a list, and the total."""

    items: Sequence[T]
    found: int

    @property
    def more(self) -> int:
        """How many are not named."""
        return self.found - len(self.items)


@dataclass(frozen=True)
class Failing:
    """A store whose newest result in a Dag is a failure; ``since`` the first after a success."""

    store_code: str
    store_name: str
    job_name: str
    run_id: str
    message: str
    run_time: datetime
    since: datetime
    found: int


@dataclass(frozen=True)
class Unconnected:
    """An active store without a working grant; if it has none, its status is ``not_connected``."""

    store_code: str
    store_name: str
    status: str
    status_reason: str | None
    scope: str | None
    since: datetime
    found: int

    @property
    def reason(self) -> str | None:
        """Why, for people."""
        status = None if self.status == "not_connected" else self.status
        return why_in_state(status, self.status_reason, self.scope)


@dataclass(frozen=True)
class ListedStore:
    """A store in the full list: its state, grants and newest result; ``None`` = none yet."""

    store_code: str
    store_name: str
    region: str | None
    state: StoreState
    token_status: str | None
    refresh_expires_at: datetime | None
    job_name: str | None
    status: str | None
    message: str | None
    run_time: datetime | None
    business_status: str | None
    business_expires_at: datetime | None


def active_stores(conn: Connection) -> int:
    """How many stores the nightly syncs include."""
    row = conn.execute("SELECT count(*) FROM stores WHERE is_active").fetchone()
    return int(row[0]) if row else 0


def failing(conn: Connection) -> Listed[Failing]:
    """Active stores whose newest result in a sync is a failure, the longest-failing first."""
    with conn.cursor(row_factory=class_row(Failing)) as cursor:
        jobs = [USER_JOB, VIDEO_JOB]
        return _listed(cursor.execute(_FAILING.encode(), {"jobs": jobs, "limit": NAMED}).fetchall())


def unconnected(conn: Connection) -> Listed[Unconnected]:
    """Active stores without a working grant, the longest without one first."""
    with conn.cursor(row_factory=class_row(Unconnected)) as cursor:
        return _listed(cursor.execute(_CONSENT.encode(), {"limit": NAMED}).fetchall())


def ending(conn: Connection, days: int) -> Listed[Consent]:
    """Active stores whose grant ends within the given days, the earliest first."""
    consents = consents_ending(conn, days, active=True)
    return Listed(consents[:NAMED], len(consents))


def without_current_notice(conn: Connection) -> Listed[ShownNotice]:
    """Living grants given without the current privacy notice; nothing before one was shown."""
    shown = notices_shown(conn)
    if not any(one.notice_version for one in shown):
        return Listed([], 0)
    unseen = [one for one in shown if one.notice != "current"]
    return Listed(unseen[:NAMED], len(unseen))


def store_page(
    conn: Connection, search: str, page: int, state: StoreState | Literal[""] = ""
) -> tuple[list[ListedStore], bool]:
    """A page of the stores by code, and whether there is a next one.

    Args:
        conn: The database.
        search: Part of a code, a name or a region; empty = all.
        page: From 1.
        state: Only stores in this state; empty = all.
    """
    escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    with conn.cursor(row_factory=class_row(ListedStore)) as cursor:
        lines = cursor.execute(
            _PAGE.encode(),
            {
                "search": search,
                "pattern": f"%{escaped}%",
                "state": state,
                "limit": PAGE + 1,
                "offset": PAGE * (page - 1),
            },
        ).fetchall()
    return lines[:PAGE], len(lines) > PAGE


def _listed(items: Sequence[C]) -> Listed[C]:
    return Listed(items, items[0].found if items else 0)
