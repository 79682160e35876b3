"""TikTok refuses grants: are the refusals plausible?

One refresh that is answered ``invalid_grant`` means that the store's manager withdrew the grant. If
most refreshes are refused at once, something else is wrong (another app's credentials, used on
grants whose app is unknown; a fault at TikTok), and believing the answers would cost every store
its grant. So refusals are believed only while they are few. Beyond that no store is marked, and
marks made on the same evidence are reverted. The evidence is in the table of the
grants, because a run consists of many processes; each API's grants are judged by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg.rows import class_row

from include.tiktok_sync.errors import ImplausibleRefusalsError
from include.tiktok_sync.jobs import RunKey
from include.tiktok_sync.store_db import audit
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tokens.grant_table import DISPLAY, GrantTable

FEWEST = 5
"""Fewer refusals are believed whatever their share: a small chain may withdraw all at once."""

WINDOW = timedelta(minutes=90)
"""Refreshes within this time count together even if they belong to different runs or to none: the
night's three Dags, or an operator's commands one after the other."""

ACTOR = "tiktok_sync"
"""The actor in ``store_audit`` when the product reverts its own decision."""

_IMPLAUSIBLE = (
    "TikTok refused this store's grant ({refusal}), but those of most other stores at the same"
    " time too, so the refusal is not believed and no store was marked. Check that the connection"
    " {connection} has the {key} and secret of the app that the managers connected (doctor),"
    " and TikTok's status page; then clear the failed tasks. A store whose consent has really ended"
    " must be connected again (stores link)."
)

# An answer about a grant that has been replaced since says nothing about the new one.
_COUNTS = "refresh_ended_at >= coalesce(connected_at, '-infinity')"
_IN_SCOPE = f"""{_COUNTS} AND (refresh_run = %(run)s
    OR refresh_ended_at > clock_timestamp() - %(window)s)"""

_EVIDENCE = f"""
SELECT count(*) FILTER (WHERE refresh_run = %(run)s) AS tried,
    count(*) FILTER (WHERE refresh_run = %(run)s AND refresh_refused) AS refused,
    count(*) FILTER (WHERE refresh_ended_at > clock_timestamp() - %(window)s) AS lately_tried,
    count(*) FILTER (WHERE refresh_ended_at > clock_timestamp() - %(window)s AND refresh_refused)
        AS lately_refused
FROM {{grants}} WHERE {_IN_SCOPE}
"""  # noqa: S608 - constants

# A row locked by another session is being changed anyway; waiting for it here could deadlock.
_TAKE_BACK = f"""
WITH marked AS (
    SELECT store_code FROM {{grants}}
    WHERE {_IN_SCOPE} AND refresh_refused AND status = 'needs_consent'
        AND status_reason = %(believed)s
    FOR UPDATE SKIP LOCKED
)
UPDATE {{grants}} AS t SET status_reason = NULL, status_since = now(), updated_at = now(),
    status = CASE WHEN regexp_split_to_array(t.scope, '[, ]+') @> %(scopes)s::text[]
        THEN 'active' ELSE 'missing_scope' END
FROM marked WHERE marked.store_code = t.store_code
RETURNING t.store_code, t.status
"""  # noqa: S608 - constants

# A run whose summary has been written keeps its results.
_UNSKIP = """
UPDATE sync_logs AS l SET status = 'failed', message = %(implausible)s,
    details = l.details || jsonb_build_object('kind', %(kind)s::text)
FROM {grants} AS t
WHERE t.store_code = l.store_code AND t.refresh_refused AND t.status <> 'needs_consent'
    AND l.status = 'skipped' AND l.details ->> 'kind' = 'needs_consent'
    AND starts_with(l.message, %(believed)s)
    AND l.run_time > clock_timestamp() - %(window)s
    AND NOT EXISTS (
        SELECT FROM sync_logs AS s WHERE s.job_name = l.job_name AND s.run_id = l.run_id
            AND s.store_code IS NULL)
"""

# A store that is being refreshed right now is decided by that answer.
_MARK = f"""
WITH refused AS (
    SELECT store_code, status FROM {{grants}}
    WHERE {_COUNTS} AND refresh_run = %(run)s AND refresh_refused AND status <> 'needs_consent'
        AND refresh_claim IS NULL
    FOR UPDATE SKIP LOCKED
)
UPDATE {{grants}} AS t SET status = 'needs_consent', status_reason = %(believed)s,
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
    """Answers to refreshes: the newest of each store.

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
    def implausible(self) -> bool:
        """Whether there are too many refusals to be believed."""
        return _too_many(self.refused, self.tried) or _too_many(
            self.lately_refused, self.lately_tried
        )

    def as_details(self) -> dict[str, int]:
        """The implausible counts, ``refused`` of ``tried``: the run's, else the window's."""
        if _too_many(self.refused, self.tried):
            return {"refused": self.refused, "tried": self.tried}
        return {"refused": self.lately_refused, "tried": self.lately_tried}


def lock_verdicts(conn: Connection) -> None:
    """Serialize decisions on refusals until the surrounding transaction ends.

    Call it before the refusal is recorded, so that each of several concurrent refusals sees the
    earlier ones.
    """
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('tiktok_sync refusals', 0))")


def believe(
    conn: Connection, run: str | None, table: GrantTable = DISPLAY
) -> ImplausibleRefusalsError | None:
    """Decide on a refusal that was just recorded, in the transaction that recorded it.

    Args:
        conn: Holds the lock of :func:`lock_verdicts`.
        run: The run; ``None`` = outside of a run.
        table: Of which API.

    Returns:
        ``None``: mark the store. An error: do not; stores marked on the same evidence are restored.
    """
    evidence = _evidence(conn, run, table)
    if not evidence.implausible:
        return None
    if _take_back(conn, run, table):
        conn.execute(table.sql(_UNSKIP), _values(run, table))
    detail = "oauth/token: {refused} of {tried} stores refused".format(**evidence.as_details())
    return ImplausibleRefusalsError(implausible(table), detail=detail)


def implausible(table: GrantTable = DISPLAY) -> str:
    """The message about a refusal that is not believed."""
    return _IMPLAUSIBLE.format(refusal=table.refusal, connection=table.connection, key=table.key)


def review_refusals(conn: Connection, run: RunKey, table: GrantTable = DISPLAY) -> Evidence | None:
    """Decide again at the end of a run, on all of its refreshes; call it before the summary.

    If the refusals turn out to be few, the stores are marked now: dead grants that happened to be
    refreshed first had looked like many. If they are many, rows of ``sync_logs`` that were written
    after the decision are corrected.

    ``table`` says of which API.

    Returns:
        The evidence, if the refusals are not believed.
    """
    evidence = _evidence(conn, run.name, table)
    if not evidence.refused and not evidence.lately_refused:
        return None
    with conn.transaction():
        lock_verdicts(conn)
        evidence = _evidence(conn, run.name, table)
        if evidence.implausible:
            _take_back(conn, run.name, table)
            conn.execute(table.sql(_UNSKIP), _values(run.name, table))
            return evidence
        values = {**_values(run.name, table), **vars(run)}
        marked = conn.execute(table.sql(_MARK).encode(), values).fetchall()
        if marked:
            conn.execute(_SKIP, {**values, "codes": [code for code, _ in marked]})
        for code, before in marked:
            audit.record_grant_move(conn, code, before, "needs_consent", table.ended, api=table.api)
    return None


def _evidence(conn: Connection, run: str | None, table: GrantTable) -> Evidence:
    with conn.cursor(row_factory=class_row(Evidence)) as cursor:
        return cursor.execute(table.sql(_EVIDENCE).encode(), _values(run, table)).fetchall()[0]


def _take_back(conn: Connection, run: str | None, table: GrantTable) -> bool:
    rows = conn.execute(table.sql(_TAKE_BACK).encode(), _values(run, table)).fetchall()
    for status in sorted({row[1] for row in rows}):
        codes: Sequence[str] = [row[0] for row in rows if row[1] == status]
        details = {"from": "needs_consent", "to": status, "reason": implausible(table)}
        if table.api != "display":
            details["api"] = table.api
        audit.record(conn, "grant_restored", codes, actor=ACTOR, details=details)
    return bool(rows)


def _too_many(refused: int, tried: int) -> bool:
    return refused >= FEWEST and 2 * refused > tried


def _values(run: str | None, table: GrantTable) -> dict[str, object]:
    return {
        "run": run,
        "window": WINDOW,
        "believed": table.ended,
        "implausible": implausible(table),
        "kind": ImplausibleRefusalsError.kind,
        "scopes": sorted(table.scopes),
    }
