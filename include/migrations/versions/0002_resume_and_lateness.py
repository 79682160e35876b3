"""Where a cut-off listing stopped, which refresh was cut off, which rows are late."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

# Rows from before this column were written by runs in time or say so by their UTC day.
_UPGRADE = """
CREATE TABLE video_listings (
    store_code text PRIMARY KEY REFERENCES stores ON DELETE CASCADE,
    run_id text NOT NULL,
    snapshot_date date NOT NULL,
    started_at timestamptz NOT NULL,
    edges bigint[] NOT NULL,
    pages integer NOT NULL,
    updated_at timestamptz NOT NULL
);
ALTER TABLE store_tokens ADD COLUMN refresh_started_at timestamptz;
ALTER TABLE user_daily_stats ADD COLUMN is_late boolean NOT NULL DEFAULT false;
ALTER TABLE video_daily_stats ADD COLUMN is_late boolean NOT NULL DEFAULT false;
UPDATE user_daily_stats SET is_late = true
WHERE (observed_at AT TIME ZONE 'UTC')::date > snapshot_date;
UPDATE video_daily_stats SET is_late = true
WHERE (observed_at AT TIME ZONE 'UTC')::date > snapshot_date;
"""

_COMMENTS = {
    "COLUMN rate_limits.grants": "Places given since ever, also those that a pause left unused",
    "TABLE video_listings": "Listings of videos that were cut off: a retry in the same run goes on",
    "COLUMN video_listings.store_code": "Whose videos",
    "COLUMN video_listings.run_id": "The run that was cut off; another run starts afresh",
    "COLUMN video_listings.snapshot_date": "The day the run''s figures stand for",
    "COLUMN video_listings.started_at": "When the listing began; what was seen since is seen",
    "COLUMN video_listings.edges": (
        "Where each page after the first starts (Unix milliseconds); the last one is next"
    ),
    "COLUMN video_listings.pages": "Pages that are written",
    "COLUMN video_listings.updated_at": "When the last of them was written",
    "COLUMN store_tokens.refresh_started_at": (
        "Begin of a refresh whose answer is not stored yet; left over, it was cut off"
    ),
    "COLUMN user_daily_stats.is_late": (
        "Observed after its day in the sync''s time zone: it stands in for a missed day"
    ),
    "COLUMN video_daily_stats.is_late": (
        "Observed after its day in the sync''s time zone: it stands in for a missed day"
    ),
}


def upgrade() -> None:
    """Add them."""
    op.execute(_UPGRADE)
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take them away."""
    op.execute("ALTER TABLE video_daily_stats DROP COLUMN is_late")
    op.execute("ALTER TABLE user_daily_stats DROP COLUMN is_late")
    op.execute("ALTER TABLE store_tokens DROP COLUMN refresh_started_at")
    op.execute("DROP TABLE video_listings")
