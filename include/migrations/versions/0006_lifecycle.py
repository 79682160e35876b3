"""Which stores are paused or have left, who did what to a store, and stores without a grant."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

_UPGRADE = """
ALTER TABLE stores
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN paused_reason text,
    ADD COLUMN removed_at timestamptz,
    ADD CONSTRAINT stores_active_is_not_away
        CHECK (NOT is_active OR (paused_at IS NULL AND removed_at IS NULL));

CREATE TABLE store_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store_code text NOT NULL,
    action text NOT NULL,
    actor text NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT now(),
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX store_audit_store_code ON store_audit (store_code, happened_at DESC);
CREATE INDEX alerts_store_code ON alerts (store_code);

CREATE FUNCTION store_state(is_active boolean, removed_at timestamptz, token_status text)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT CASE
    WHEN removed_at IS NOT NULL THEN 'removed'
    WHEN NOT is_active THEN 'paused'
    ELSE coalesce(token_status, 'needs_consent')
END
$$;
COMMENT ON FUNCTION store_state IS
    'The state of a store: removed, paused, or that of its grant; no grant is needs_consent.';
"""

# A store whose manager was never asked yet lacks no day: it is waited for, not missing.
_FRESHNESS = """
CREATE OR REPLACE VIEW sync_freshness AS
SELECT s.store_code, s.store_name, s.region, s.is_active,
    last_user.snapshot_date AS last_user_date,
    last_video.snapshot_date AS last_video_date,
    user_success.run_time AS last_user_success_at,
    video_success.run_time AS last_video_success_at,
    gaps.user_days AS user_days_missing_30d,
    gaps.video_days AS video_days_missing_30d,
    {token_status} AS token_status, {token_status_reason} AS token_status_reason,
    t.status_since AS token_status_since, t.refresh_expires_at{state}
FROM stores AS s
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
    SELECT
        count(*) FILTER (WHERE NOT EXISTS (
            SELECT FROM user_daily_stats AS u
            WHERE u.store_code = s.store_code AND u.snapshot_date = days.day AND NOT u.is_late
        ))::integer AS user_days,
        count(*) FILTER (WHERE NOT EXISTS (
            SELECT FROM video_daily_stats AS v
            WHERE v.store_code = s.store_code AND v.snapshot_date = days.day AND NOT v.is_late
        ) AND NOT EXISTS (
            SELECT FROM sync_logs AS l
            WHERE l.store_code = s.store_code AND l.job_name = 'sync_video_daily'
                AND l.status = 'success' AND l.snapshot_date = days.day
                AND l.run_time >= current_date - 32
                AND NOT coalesce((l.details ->> 'late')::boolean, false)
        ))::integer AS video_days
    FROM (
        SELECT current_date - ago AS day FROM generate_series(1, 30) AS ago
        WHERE {counted}
    ) AS days
) AS gaps
"""

_BEFORE = {
    "token_status": "t.status",
    "token_status_reason": "t.status_reason",
    "state": "",
    "counted": "current_date - ago > s.created_at::date",
}
_AFTER = {
    "token_status": "coalesce(t.status, 'needs_consent')",
    "token_status_reason": (
        "CASE WHEN t.store_code IS NULL THEN 'Never connected' ELSE t.status_reason END"
    ),
    "state": ",\n    store_state(s.is_active, s.removed_at, t.status) AS state",
    "counted": (
        "t.store_code IS NOT NULL"
        " AND current_date - ago > greatest(s.created_at, t.created_at)::date"
    ),
}

_COMMENTS = {
    "COLUMN stores.paused_at": "Since when an operator keeps the store out; NULL = not paused",
    "COLUMN stores.paused_reason": "Why, for people",
    "COLUMN stores.removed_at": (
        "When the store left: its access is revoked at TikTok, its history is kept until it is"
        " erased"
    ),
    "TABLE store_audit": (
        "Who did what to a store, and when; never the data. Outlives the store, so no foreign key"
    ),
    "COLUMN store_audit.id": "Number of the row",
    "COLUMN store_audit.store_code": "Which store; it may be erased since",
    "COLUMN store_audit.action": (
        "A move of docs/lifecycle.md: add, connect, pause, resume, disconnect, revoke, erase, …; or"
        " import, export"
    ),
    "COLUMN store_audit.actor": "Who: user and host of the command, or the name given",
    "COLUMN store_audit.happened_at": "When",
    "COLUMN store_audit.details": "Counts and states; never a figure, name or token of the store",
    "COLUMN sync_freshness.state": (
        "active, needs_consent, missing_scope (the grant), paused or removed (the store)"
    ),
    "COLUMN sync_freshness.user_days_missing_30d": (
        "Days without profile figures observed in time, of the 30 before today and after the store"
        " was first connected"
    ),
    "COLUMN sync_freshness.token_status": (
        "active, needs_consent (also: never connected) or missing_scope"
    ),
}
_COMMENTS_BEFORE = {
    "COLUMN sync_freshness.user_days_missing_30d": (
        "Days without profile figures observed in time, of the 30 before today and after the store"
        " was put in"
    ),
    "COLUMN sync_freshness.token_status": (
        "active, needs_consent or missing_scope; NULL = never connected"
    ),
}

_COMMENTS_OF_VIEW = """
SELECT concat('COMMENT ON ', target, ' IS ', quote_literal(comment))
FROM (
    SELECT 'VIEW sync_freshness' AS target,
        obj_description('sync_freshness'::regclass, 'pg_class') AS comment
    UNION ALL
    SELECT concat('COLUMN sync_freshness.', attname), col_description(attrelid, attnum)
    FROM pg_attribute
    WHERE attrelid = 'sync_freshness'::regclass AND attnum > 0 AND attname <> 'state'
) AS comments
"""


def upgrade() -> None:
    """Add them."""
    op.execute(_UPGRADE)
    op.execute(_FRESHNESS.format(**_AFTER))
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take them away; stores that are paused or removed stay inactive."""
    kept = op.get_bind().exec_driver_sql(_COMMENTS_OF_VIEW).scalars().all()
    op.execute("DROP VIEW sync_freshness")
    op.execute(_FRESHNESS.format(**_BEFORE))
    for comment in kept:
        op.get_bind().exec_driver_sql(comment)
    for target, comment in _COMMENTS_BEFORE.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")
    op.execute("DROP FUNCTION store_state")
    op.execute("DROP INDEX alerts_store_code")
    op.execute("DROP TABLE store_audit")
    # The check goes with its columns.
    op.execute(
        "ALTER TABLE stores DROP COLUMN paused_at, DROP COLUMN paused_reason,"
        " DROP COLUMN removed_at"
    )
