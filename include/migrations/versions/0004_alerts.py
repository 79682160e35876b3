"""What was raised, once each, and whether anybody was told."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

_UPGRADE = """
CREATE TABLE alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (
        kind IN ('sla_missed', 'run_failed', 'needs_consent', 'data_missing')),
    job_name text NOT NULL,
    run_id text NOT NULL,
    store_code text REFERENCES stores ON DELETE CASCADE,
    snapshot_date date,
    message text NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT now(),
    notified_at timestamptz,
    notify_error text,
    details jsonb NOT NULL DEFAULT '{}',
    UNIQUE NULLS NOT DISTINCT (kind, job_name, run_id, store_code)
);
CREATE INDEX alerts_raised_at ON alerts (raised_at DESC);
"""

_COMMENTS = {
    "TABLE alerts": "What an operator was told of, or could not be: one row a kind, run and store",
    "COLUMN alerts.id": "Number of the alert",
    "COLUMN alerts.kind": (
        "sla_missed: the run takes longer than SLA_MINUTES; run_failed: it failed; needs_consent:"
        " a grant was found dead; data_missing: the run left stores without figures"
    ),
    "COLUMN alerts.job_name": "Dag id of the run",
    "COLUMN alerts.run_id": "The run that it was noticed in",
    "COLUMN alerts.store_code": "Which store; NULL = the run as a whole",
    "COLUMN alerts.snapshot_date": "The day that the run''s figures stand for; NULL = unknown",
    "COLUMN alerts.message": "The cause and the next step, as sent",
    "COLUMN alerts.raised_at": "When it was noticed",
    "COLUMN alerts.notified_at": "When a channel took it; NULL = nobody was told",
    "COLUMN alerts.notify_error": (
        "Why no channel took it, or that none is configured; NULL = told, or not tried yet"
    ),
    "COLUMN alerts.details": "Figures and the stores behind it",
}


def upgrade() -> None:
    """Add the table."""
    op.execute(_UPGRADE)
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take it away."""
    op.execute("DROP TABLE alerts")
