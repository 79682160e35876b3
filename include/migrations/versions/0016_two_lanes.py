"""How far did a cut-off reading come from either end, so that a retry goes on from both?"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"

_COMMENTS = {
    "ended": "The last page is written; a retry does not list it again",
    "queried": "Calls of video/query for videos that were not listed yet",
    "not_shown": "Ids that those calls asked for and TikTok did not show",
}


def upgrade() -> None:
    """Add them; constant defaults rewrite nothing, and the lock is held for a moment only."""
    op.execute(
        "ALTER TABLE video_listings"
        " ADD COLUMN ended boolean NOT NULL DEFAULT false,"
        " ADD COLUMN queried integer NOT NULL DEFAULT 0,"
        " ADD COLUMN not_shown text[] NOT NULL DEFAULT '{}'"
    )
    for column, text in _COMMENTS.items():
        op.execute(f"COMMENT ON COLUMN video_listings.{column} IS '{text}'")


def downgrade() -> None:
    """Take them away again."""
    op.execute(
        "ALTER TABLE video_listings DROP COLUMN ended, DROP COLUMN queried, DROP COLUMN not_shown"
    )
