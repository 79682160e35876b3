"""How close is the rate limit, and which alerts were raised?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok.rate_limit import MAX_PAUSE

ALERTS = 10
_ENDPOINTS = 20

_RATE_LIMITS = """
SELECT r.endpoint, r.grants, r.refusals,
    CASE WHEN r.paused_until > clock_timestamp()
        AND r.paused_until <= clock_timestamp() + %(max_pause)s THEN r.paused_until
    END AS paused_until,
    recent.used, recent.waiting
FROM (
    -- Not the Accounts API's limits of a second and of an account.
    SELECT * FROM rate_limits WHERE endpoint NOT LIKE 'business %%'
) AS r
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE g.granted_at BETWEEN clock_timestamp() - interval '60 seconds'
            AND clock_timestamp()) AS used,
        count(*) FILTER (WHERE g.granted_at > clock_timestamp()
            AND g.granted_at <= clock_timestamp() + g.wait + interval '1 second') AS waiting
    FROM rate_limit_grants AS g WHERE g.endpoint = r.endpoint
) AS recent
ORDER BY r.endpoint
LIMIT %(endpoints)s
"""


@dataclass(frozen=True)
class RateLimit:
    """Use of one endpoint of TikTok.

    Attributes:
        endpoint: Its path.
        used: Calls in the last 60 seconds.
        waiting: Calls that are waiting for the place they have been given.
        grants: Calls in total.
        refusals: Answers 429 in total.
        paused_until: No call is sent before; ``None`` = no pause.
    """

    endpoint: str
    used: int
    waiting: int
    grants: int
    refusals: int
    paused_until: datetime | None


@dataclass(frozen=True)
class RaisedAlert:
    """A row of ``alerts``; ``notified_at`` ``None`` = not sent, ``notify_error`` says why."""

    kind: str
    job_name: str
    run_id: str
    store_code: str | None
    message: str
    raised_at: datetime
    notified_at: datetime | None
    notify_error: str | None


def rate_limits(conn: Connection) -> list[RateLimit]:
    """Each endpoint's use; empty as long as no call has been made under a limit."""
    with conn.cursor(row_factory=class_row(RateLimit)) as cursor:
        return cursor.execute(
            _RATE_LIMITS.encode(), {"endpoints": _ENDPOINTS, "max_pause": MAX_PAUSE}
        ).fetchall()


def last_alerts(conn: Connection) -> list[RaisedAlert]:
    """The newest alerts, newest first."""
    with conn.cursor(row_factory=class_row(RaisedAlert)) as cursor:
        return cursor.execute(
            "SELECT kind, job_name, run_id, store_code, message, raised_at, notified_at,"
            " notify_error FROM alerts ORDER BY raised_at DESC, id DESC LIMIT %s",
            [ALERTS],
        ).fetchall()
