"""One place for a rule: which days a store lacks; and the time zone in which days are counted."""

from __future__ import annotations

from importlib import import_module

from alembic import op

revision = "0014"
down_revision = "0013"

_CALENDAR = """
CREATE TABLE sync_calendar (
    is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    timezone text NOT NULL
);
INSERT INTO sync_calendar (timezone) VALUES ('UTC');
"""

# It reads with its owner's rights: the readers of a view call the functions of the view with their
# own, and may read no table. Of videos, the log decides: a store may have none, and a listing that
# broke off left rows too; where the log was cleared, the rows decide. The log is read store by
# store from its index (OFFSET 0 keeps the planner to that), however long it is; a read of a day is
# logged on that day or later, by any clock.
_STORE_DAYS = """
CREATE FUNCTION store_days(p_stores text[], p_first date, p_last date, p_zone text)
RETURNS TABLE (store_code text, day date, is_expected boolean, profile text, videos text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.store_code, d.day,
        d.day > (greatest(s.created_at, t.created_at) AT TIME ZONE p_zone)::date,
        (SELECT CASE WHEN u.is_late THEN 'late' ELSE 'in_time' END FROM user_daily_stats AS u
            WHERE u.store_code = s.store_code AND u.snapshot_date = d.day),
        CASE
            WHEN d.in_time THEN 'in_time'
            WHEN d.is_read THEN 'late'
            WHEN d.is_read IS NULL THEN (
                SELECT CASE WHEN v.is_late THEN 'late' ELSE 'in_time' END
                FROM video_daily_stats AS v
                WHERE v.store_code = s.store_code AND v.snapshot_date = d.day
                ORDER BY v.is_late LIMIT 1)
        END
    FROM stores AS s JOIN store_tokens AS t USING (store_code)
    CROSS JOIN LATERAL (
        SELECT days.day, log.is_read, log.in_time
        FROM (SELECT p_first + n FROM generate_series(0, p_last - p_first) AS n) AS days (day)
        LEFT JOIN (
            SELECT l.snapshot_date AS day, bool_or(l.status = 'success') AS is_read,
                bool_or(l.status = 'success'
                    AND NOT coalesce((l.details ->> 'late')::boolean, false)) AS in_time
            FROM (
                SELECT o.snapshot_date, o.status, o.details FROM sync_logs AS o
                WHERE o.store_code = s.store_code AND o.job_name = 'sync_video_daily'
                    AND o.run_time >= (p_first - 2)::timestamptz
                    AND o.snapshot_date BETWEEN p_first AND p_last
                OFFSET 0
            ) AS l
            GROUP BY l.snapshot_date
        ) AS log USING (day)
    ) AS d
    WHERE s.store_code = ANY (p_stores)
$$
"""

_FRESHNESS = """
CREATE OR REPLACE VIEW sync_freshness AS
SELECT s.store_code, s.store_name, s.region, s.is_active,
    last_user.snapshot_date AS last_user_date,
    last_video.snapshot_date AS last_video_date,
    user_success.run_time AS last_user_success_at,
    video_success.run_time AS last_video_success_at,
    gaps.user_days AS user_days_missing_30d,
    gaps.video_days AS video_days_missing_30d,
    coalesce(t.status, 'needs_consent') AS token_status,
    CASE WHEN t.store_code IS NULL THEN 'Never connected' ELSE t.status_reason END
        AS token_status_reason,
    t.status_since AS token_status_since, t.refresh_expires_at,
    store_state(s.is_active, s.removed_at, t.status) AS state
FROM stores AS s
CROSS JOIN LATERAL (
    SELECT zone, (now() AT TIME ZONE zone)::date AS day
    FROM (SELECT coalesce((SELECT timezone FROM sync_calendar), 'UTC')) AS calendar (zone)
) AS today
LEFT JOIN store_tokens AS t USING (store_code)
LEFT JOIN LATERAL (
    SELECT u.snapshot_date FROM user_daily_stats AS u
    WHERE u.store_code = s.store_code AND NOT u.is_late
    ORDER BY u.snapshot_date DESC
    LIMIT 1
) AS last_user ON true
LEFT JOIN LATERAL (
    SELECT v.snapshot_date FROM video_daily_stats AS v
    WHERE v.store_code = s.store_code AND NOT v.is_late
    ORDER BY v.snapshot_date DESC
    LIMIT 1
) AS last_video ON true
LEFT JOIN LATERAL (
    SELECT l.run_time FROM sync_logs AS l
    WHERE l.store_code = s.store_code AND l.job_name = 'sync_user_daily' AND l.status = 'success'
    ORDER BY l.run_time DESC
    LIMIT 1
) AS user_success ON true
LEFT JOIN LATERAL (
    SELECT l.run_time FROM sync_logs AS l
    WHERE l.store_code = s.store_code AND l.job_name = 'sync_video_daily' AND l.status = 'success'
    ORDER BY l.run_time DESC
    LIMIT 1
) AS video_success ON true
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE profile IS DISTINCT FROM 'in_time')::integer AS user_days,
        count(*) FILTER (WHERE videos IS DISTINCT FROM 'in_time')::integer AS video_days
    FROM store_days(ARRAY[s.store_code], today.day - 30, today.day - 1, today.zone)
    WHERE is_expected
) AS gaps
"""

# Who may read the view before the upgrade may also read it after, without `db prepare`.
_GRANT = """
REVOKE ALL ON FUNCTION store_days FROM PUBLIC;
DO $$
DECLARE reader text;
BEGIN
    FOR reader IN
        SELECT DISTINCT CASE WHEN acl.grantee = 0 THEN 'PUBLIC'
            ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
        FROM pg_class AS c, aclexplode(c.relacl) AS acl
        WHERE c.oid = 'sync_freshness'::regclass AND acl.privilege_type = 'SELECT'
    LOOP
        EXECUTE 'GRANT EXECUTE ON FUNCTION store_days TO ' || reader;
    END LOOP;
END
$$;
"""

_BEFORE = {
    "COLUMN store_tokens.status_reason": "Why the status is not active",
    "COLUMN sync_freshness.token_status_reason": "Why it is not active",
}
_CONFLICT = "; where it is active: another store holds the account that its tokens belong to"

_COMMENTS = {
    "TABLE sync_calendar": "One row: in which time zone the sync counts its days",
    "COLUMN sync_calendar.is_only_row": "Always true, so that there is one row",
    "COLUMN sync_calendar.timezone": (
        "SYNC_TIMEZONE of the last run, by which sync_freshness knows what day it is"
    ),
    "FUNCTION store_days": (
        "The days from p_first to p_last of stores that have been connected: is_expected = the"
        " store was connected before that day (in p_zone), so its figures should be there; profile"
        " and videos = in_time, late or NULL = missing"
    ),
    **{target: f"{comment}{_CONFLICT}" for target, comment in _BEFORE.items()},
}


def upgrade() -> None:
    """Add them. Replacing the view keeps its owner, its readers and its comments."""
    op.execute(_CALENDAR)
    op.execute(_STORE_DAYS)
    op.execute(_GRANT)
    op.execute(_FRESHNESS)
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take them away; the view decides for itself again, by the session's day."""
    before = import_module("include.migrations.versions.0006_lifecycle")
    op.execute(before._FRESHNESS.format(**before._AFTER))  # noqa: SLF001 - as that migration left it
    op.execute("DROP FUNCTION store_days")
    op.execute("DROP TABLE sync_calendar")
    for target, comment in _BEFORE.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")
