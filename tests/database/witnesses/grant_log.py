"""Every grant of the rate limit that the database ever wrote, noted by the database itself."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from include.tiktok_sync.store_db.database import Connection

_RECORD = """
CREATE TABLE grant_log (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint text NOT NULL,
    granted_at timestamptz NOT NULL
);
CREATE FUNCTION note_grant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO grant_log (endpoint, granted_at) VALUES (NEW.endpoint, NEW.granted_at);
    RETURN NULL;
END $$;
CREATE TRIGGER note_grant AFTER INSERT OR UPDATE ON rate_limit_grants
FOR EACH ROW EXECUTE FUNCTION note_grant();
"""


def record_grants(conn: Connection) -> None:
    """Note every grant from now on."""
    conn.execute(_RECORD)


def grant_times(conn: Connection, *, first: int | None = None) -> list[int]:
    """Unix microseconds of all grants, or of the `first` ones given, earliest first."""
    found = conn.execute(
        "SELECT (extract(epoch FROM granted_at) * 1000000)::bigint"
        " FROM (SELECT granted_at FROM grant_log ORDER BY number LIMIT %s) AS chosen ORDER BY 1",
        [first],
    ).fetchall()
    return [at for (at,) in found]


def most_in_a_window(times: Sequence[int], window_us: int) -> int:
    """The most times that any half-open window of this number of microseconds holds."""
    ordered = sorted(times)
    return max(
        bisect_left(ordered, start + window_us) - number for number, start in enumerate(ordered)
    )
