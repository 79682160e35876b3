"""TikTok refuses grants: is it believed?

``invalid_grant`` to one refresh means that the store's manager withdrew. To most refreshes at once
it means that something else is wrong (another app's credentials on grants whose app is not known, a
fault at TikTok), and believing it would cost every store its grant. So it is believed store by
store only as long as few are refused; beyond that nothing is marked, and what was marked on this
evidence is taken back. The evidence is in ``store_tokens``, as runs are many processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg.rows import class_row

from include.tiktok_sync.errors import RefusalsDoubtedError
from include.tiktok_sync.jobs import RunKey
from include.tiktok_sync.store_db import audit
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok.meanings import OAUTH_ERRORS
from include.tiktok_sync.tiktok.models import KNOWN_SCOPES

FEWEST = 5
"""Fewer refusals than this are believed whatever their share: a small chain may end at once."""

WINDOW = timedelta(minutes=90)
"""Refreshes that count together even in different runs, or outside of any: the night's three Dags,
or an operator's commands one after the other."""

ACTOR = "tiktok_sync"
"""The actor of what the product itself thought better of."""

DOUBTED = (
    "TikTok refused this store's grant (invalid_grant), but those of most other stores at the same"
    " time too, so it is not believed and no store was marked. Check that the connection"
    " tiktok_default has the client key and secret of the app that the managers connected (doctor),"
    " and TikTok's status page; then clear the failed tasks. A store whose consent has really ended"
    " must be connected again (stores link)."
)

BELIEVED = OAUTH_ERRORS["invalid_grant"].message
"""``status_reason`` of a store that was marked on nothing but TikTok's word."""

# The answer to a grant that was replaced since says nothing of the new one.
_COUNTS = "refresh_ended_at >= coalesce(connected_at, '-infinity')"
_IN_SCOPE = f"""{_COUNTS} AND (refresh_run = %(run)s
    OR refresh_ended_at > clock_timestamp() - %(window)s)"""

_EVIDENCE = f"""
SELECT count(*) FILTER (WHERE refresh_run = %(run)s) AS tried,
    count(*) FILTER (WHERE refresh_run = %(run)s AND refresh_refused) AS refused,
    count(*) FILTER (WHERE refresh_ended_at > clock_timestamp() - %(window)s) AS lately_tried,
    count(*) FILTER (WHERE refresh_ended_at > clock_timestamp() - %(window)s AND refresh_refused)
        AS lately_refused
FROM store_tokens WHERE {_IN_SCOPE}
"""  # noqa: S608 - constants

# A row that somebody holds is being changed anyway; to wait for it here could be a deadlock.
_TAKE_BACK = f"""
WITH marked AS (
    SELECT store_code FROM store_tokens
    WHERE {_IN_SCOPE} AND refresh_refused AND status = 'needs_consent'
        AND status_reason = %(believed)s
    FOR UPDATE SKIP LOCKED
)
UPDATE store_tokens AS t SET status_reason = NULL, status_since = now(), updated_at = now(),
    status = CASE WHEN regexp_split_to_array(t.scope, '[, ]+') @> %(scopes)s::text[]
        THEN 'active' ELSE 'missing_scope' END
FROM marked WHERE marked.store_code = t.store_code
RETURNING t.store_code, t.status
"""  # noqa: S608 - constants

# A run whose summary is written keeps what it said.
_UNSKIP = """
UPDATE sync_logs AS l SET status = 'failed', message = %(doubted)s,
    details = l.details || jsonb_build_object('kind', %(kind)s::text)
FROM store_tokens AS t
WHERE t.store_code = l.store_code AND t.refresh_refused AND t.status <> 'needs_consent'
    AND l.status = 'skipped' AND l.details ->> 'kind' = 'needs_consent'
    AND starts_with(l.message, %(believed)s)
    AND l.run_time > clock_timestamp() - %(window)s
    AND NOT EXISTS (
        SELECT FROM sync_logs AS s WHERE s.job_name = l.job_name AND s.run_id = l.run_id
            AND s.store_code IS NULL)
"""

# A store that is being refreshed right now is left to that answer.
_MARK = f"""
WITH refused AS (
    SELECT store_code, status FROM store_tokens
    WHERE {_COUNTS} AND refresh_run = %(run)s AND refresh_refused AND status <> 'needs_consent'
        AND refresh_claim IS NULL
    FOR UPDATE SKIP LOCKED
)
UPDATE store_tokens AS t SET status = 'needs_consent', status_reason = %(believed)s,
    status_since = now(), updated_at = now()
FROM refused WHERE refused.store_code = t.store_code
RETURNING t.store_code, refused.status
"""  # noqa: S608 - constants

_SKIP = """
UPDATE sync_logs SET status = 'skipped', message = %(believed)s,
    details = details || jsonb_build_object('kind', 'needs_consent')
WHERE job_name = %(job_name)s AND run_id = %(run_id)s AND status = 'failed'
    AND details ->> 'kind' = %(kind)s AND store_code = ANY (%(codes)s)
"""


@dataclass(frozen=True)
class Evidence:
    """Answers to refreshes, one for each store: the newest.

    Attributes:
        tried: In the run.
        refused: In the run, without an explanation.
        lately_tried: Within ``WINDOW``, whatever the run.
        lately_refused: Likewise.
    """

    tried: int
    refused: int
    lately_tried: int
    lately_refused: int

    @property
    def doubtful(self) -> bool:
        """Whether there are too many refusals to believe them."""
        return _too_many(self.refused, self.tried) or _too_many(
            self.lately_refused, self.lately_tried
        )

    def as_details(self) -> dict[str, int]:
        """``refused`` of ``tried``, where they are doubtful: in the run, if there."""
        if _too_many(self.refused, self.tried):
            return {"refused": self.refused, "tried": self.tried}
        return {"refused": self.lately_refused, "tried": self.lately_tried}


def lock_verdicts(conn: Connection) -> None:
    """Decide one refusal after the other, until the surrounding transaction ends.

    To be called before the refusal is recorded, so that of several at once each sees those before.
    """
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('tiktok_sync refusals', 0))")


def believe(conn: Connection, run: str | None) -> RefusalsDoubtedError | None:
    """Decide on a refusal that was just recorded, in the transaction that recorded it.

    Args:
        conn: Holds the lock of :func:`lock_verdicts`.
        run: In which run; ``None`` = in none.

    Returns:
        ``None``: mark the store. An error: do not; stores that were marked before are taken back.
    """
    evidence = _evidence(conn, run)
    if not evidence.doubtful:
        return None
    if _take_back(conn, run):
        conn.execute(_UNSKIP, _values(run))
    detail = "oauth/token: {refused} of {tried} stores refused".format(**evidence.as_details())
    return RefusalsDoubtedError(DOUBTED, detail=detail)


def settle(conn: Connection, run: RunKey) -> Evidence | None:
    """At the end of a run, decide again with all of its refreshes in sight; before its summary.

    A few dead grants that happened to come first looked like many: now they are marked. Of many,
    those whose row of ``sync_logs`` came late are set right.

    Returns:
        The evidence, if the refusals are not believed.
    """
    evidence = _evidence(conn, run.name)
    if not evidence.refused and not evidence.lately_refused:
        return None
    with conn.transaction():
        lock_verdicts(conn)
        evidence = _evidence(conn, run.name)
        if evidence.doubtful:
            _take_back(conn, run.name)
            conn.execute(_UNSKIP, _values(run.name))
            return evidence
        values = {**_values(run.name), **vars(run)}
        marked = conn.execute(_MARK.encode(), values).fetchall()
        if marked:
            conn.execute(_SKIP, {**values, "codes": [code for code, _ in marked]})
        for code, before in marked:
            audit.record_grant_move(conn, code, before, "needs_consent", BELIEVED)
    return None


def _evidence(conn: Connection, run: str | None) -> Evidence:
    with conn.cursor(row_factory=class_row(Evidence)) as cursor:
        return cursor.execute(_EVIDENCE.encode(), _values(run)).fetchall()[0]


def _take_back(conn: Connection, run: str | None) -> bool:
    rows = conn.execute(_TAKE_BACK.encode(), _values(run)).fetchall()
    for status in sorted({row[1] for row in rows}):
        codes: Sequence[str] = [row[0] for row in rows if row[1] == status]
        details = {"from": "needs_consent", "to": status, "reason": DOUBTED}
        audit.record(conn, "grant_restored", codes, actor=ACTOR, details=details)
    return bool(rows)


def _too_many(refused: int, tried: int) -> bool:
    return refused >= FEWEST and 2 * refused > tried


def _values(run: str | None) -> dict[str, object]:
    return {
        "run": run,
        "window": WINDOW,
        "believed": BELIEVED,
        "doubted": DOUBTED,
        "kind": RefusalsDoubtedError.kind,
        "scopes": sorted(KNOWN_SCOPES),
    }
