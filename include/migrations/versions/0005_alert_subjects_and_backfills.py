"""What a store is told of once, whatever the run; and what backfills read of TikTok."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

_KINDS = ("sla_missed", "run_failed", "needs_consent", "data_missing")

_UPGRADE = """
ALTER TABLE alerts DROP CONSTRAINT alerts_kind_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_kind_check CHECK (
    kind IN ('sla_missed', 'run_failed', 'needs_consent', 'data_missing', 'grant_ends'));
ALTER TABLE alerts ADD COLUMN subject text;
CREATE UNIQUE INDEX alerts_subject ON alerts (kind, store_code, subject)
    WHERE subject IS NOT NULL;
CREATE TABLE backfill_readings (
    job_name text NOT NULL,
    store_code text NOT NULL REFERENCES stores ON DELETE CASCADE,
    run_id text NOT NULL,
    claimed_until timestamptz,
    observed_day date,
    PRIMARY KEY (job_name, store_code)
);
"""

_COMMENTS = {
    "COLUMN alerts.kind": (
        "sla_missed: the run takes longer than SLA_MINUTES; run_failed: it failed; needs_consent:"
        " a grant was found dead or incomplete; data_missing: the run left stores without figures;"
        " grant_ends: a grant ends in 30, 14 or 3 days"
    ),
    "COLUMN alerts.subject": (
        "What the store is told of once, whatever the run: since when its grant is dead, or when"
        " it ends and which warning this is; NULL = once a run"
    ),
    "TABLE backfill_readings": (
        "Who may ask TikTok for a store on behalf of a backfill, so that its days share one reading"
    ),
    "COLUMN backfill_readings.job_name": "Dag id of the backfill",
    "COLUMN backfill_readings.store_code": "Which store",
    "COLUMN backfill_readings.run_id": "The run that read it last, or does so now",
    "COLUMN backfill_readings.claimed_until": (
        "Until when no other run reads it; NULL = nobody is at it"
    ),
    "COLUMN backfill_readings.observed_day": (
        "The day of the last complete reading; its rows are carried back to the missed days"
    ),
}

_OLD_KIND = (
    "sla_missed: the run takes longer than SLA_MINUTES; run_failed: it failed; needs_consent:"
    " a grant was found dead; data_missing: the run left stores without figures"
)


def upgrade() -> None:
    """Add them."""
    op.execute(_UPGRADE)
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take them away, and the alerts that the older schema cannot hold."""
    op.execute("DROP TABLE backfill_readings")
    op.execute("ALTER TABLE alerts DROP COLUMN subject")
    op.execute("DELETE FROM alerts WHERE kind = 'grant_ends'")
    op.execute("ALTER TABLE alerts DROP CONSTRAINT alerts_kind_check")
    kinds = ", ".join(f"'{kind}'" for kind in _KINDS)
    op.execute(f"ALTER TABLE alerts ADD CONSTRAINT alerts_kind_check CHECK (kind IN ({kinds}))")
    op.execute(f"COMMENT ON COLUMN alerts.kind IS '{_OLD_KIND}'")
