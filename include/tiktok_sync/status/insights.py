"""How far is the Accounts API: which stores gave the second consent, and which days are there?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import class_row

from include.tiktok_sync.business.client import LOOK_BACK_DAYS
from include.tiktok_sync.store_db.database import Connection

_GRANTS = """
SELECT t.status, count(*) FROM business_tokens AS t JOIN stores AS s USING (store_code)
WHERE s.is_active GROUP BY t.status ORDER BY t.status
"""

# A store's first day is the first that TikTok has of it: an account may be younger than 60 days.
_DAYS = """
WITH window_days AS (
    SELECT (now() AT TIME ZONE 'UTC')::date - ago AS day FROM generate_series(3, %(days)s) AS ago
), connected AS (
    SELECT t.store_code, (
        SELECT min(d.metric_date) FROM account_daily AS d WHERE d.store_code = t.store_code
    ) AS first_day
    FROM business_tokens AS t JOIN stores AS s USING (store_code)
    WHERE s.is_active AND t.status <> 'needs_consent'
)
SELECT w.day, count(c.store_code) AS expected, count(d.store_code) AS there,
    count(*) FILTER (WHERE d.is_final) AS final
FROM window_days AS w
LEFT JOIN connected AS c ON c.first_day <= w.day
LEFT JOIN account_daily AS d ON d.store_code = c.store_code AND d.metric_date = w.day
GROUP BY w.day
ORDER BY w.day DESC
"""

_STORE = """
SELECT t.status, t.status_reason, t.status_since, t.refresh_expires_at, t.scope,
    (SELECT count(*) FROM account_daily AS d WHERE d.store_code = t.store_code
        AND d.metric_date >= (now() AT TIME ZONE 'UTC')::date - %(days)s) AS days,
    (SELECT max(d.metric_date) FROM account_daily AS d WHERE d.store_code = t.store_code)
        AS newest_day,
    audience.is_business_account, audience.fetched_at
FROM business_tokens AS t
LEFT JOIN LATERAL (
    SELECT a.is_business_account, a.fetched_at FROM account_audience AS a
    WHERE a.store_code = t.store_code ORDER BY a.snapshot_date DESC LIMIT 1
) AS audience ON true
WHERE t.store_code = %(code)s
"""


@dataclass(frozen=True)
class InsightDay:
    """One UTC day.

    Attributes:
        day: At least three days ago: younger ones may still be on their way.
        expected: Connected stores whose figures begin on that day or earlier.
        there: Those of them that have it.
        final: Those whose figures no longer change.
    """

    day: date
    expected: int
    there: int
    final: int

    @property
    def missing(self) -> int:
        """Stores without it."""
        return self.expected - self.there


@dataclass(frozen=True)
class InsightsCoverage:
    """All stores together.

    Attributes:
        grants: Status of the second grant -> active stores.
        days: Of the last 60, the newest first.
    """

    grants: Mapping[str, int]
    days: Sequence[InsightDay]

    @property
    def incomplete(self) -> Sequence[InsightDay]:
        """Days that a store lacks."""
        return [day for day in self.days if day.missing]


@dataclass(frozen=True)
class StoreInsights:
    """One store's second grant, never a token, and what it brought.

    Attributes:
        status: Of the grant; and what follows: why, since when, until when, for what.
        days: Of the last 60 that are there.
        newest_day: ``None`` = none yet.
        is_business_account: ``None`` = TikTok did not say.
        fetched_at: Last answer; ``None`` = none yet.
    """

    status: str
    status_reason: str | None
    status_since: datetime
    refresh_expires_at: datetime | None
    scope: str
    days: int
    newest_day: date | None
    is_business_account: bool | None
    fetched_at: datetime | None


def coverage(conn: Connection) -> InsightsCoverage:
    """The second grants of all stores, and the days that they brought."""
    grants: dict[str, int] = dict(conn.execute(_GRANTS).fetchall())
    with conn.cursor(row_factory=class_row(InsightDay)) as cursor:
        days = cursor.execute(_DAYS, {"days": LOOK_BACK_DAYS}).fetchall()
    return InsightsCoverage(grants, days)


def store_insights(conn: Connection, code: str) -> StoreInsights | None:
    """One store; ``None`` = its manager never gave the second consent."""
    with conn.cursor(row_factory=class_row(StoreInsights)) as cursor:
        return cursor.execute(_STORE, {"code": code, "days": LOOK_BACK_DAYS}).fetchone()
