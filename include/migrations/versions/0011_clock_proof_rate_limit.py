"""How long did each place of the rate limit have to wait, so that a clock put right is noticed?"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

_COMMENTS = {
    "COLUMN rate_limit_grants.granted_at": (
        "When the call may go; a minute later the place is free again. Further away than wait: the"
        " clock was ahead then, and the call goes within wait from now"
    ),
    "COLUMN rate_limit_grants.wait": (
        "How far ahead granted_at was when it was granted: the queue before it, or a pause"
    ),
}

_OLD = "When the call may go; a minute later the place is free again"


def upgrade() -> None:
    """Add it; the constant default rewrites nothing, and the lock is held for a moment only."""
    op.execute(
        "ALTER TABLE rate_limit_grants ADD COLUMN wait interval NOT NULL DEFAULT interval '0'"
    )
    for what, text in _COMMENTS.items():
        op.execute(f"COMMENT ON {what} IS '{text}'")


def downgrade() -> None:
    """Take it away again."""
    op.execute("ALTER TABLE rate_limit_grants DROP COLUMN wait")
    op.execute(f"COMMENT ON COLUMN rate_limit_grants.granted_at IS '{_OLD}'")
