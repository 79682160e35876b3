"""Finished backups, so that ``doctor`` can warn when the newest is old."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

_UPGRADE = """
CREATE TABLE backups (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    finished_at timestamptz NOT NULL DEFAULT now(),
    file_name text NOT NULL,
    bytes bigint NOT NULL,
    stores integer NOT NULL
);
CREATE INDEX backups_finished_at ON backups (finished_at);
"""

_COMMENTS = {
    "TABLE backups": "Finished dumps, noted by deploy/backup.sh after it has read them back",
    "COLUMN backups.id": "Order of the dumps",
    "COLUMN backups.finished_at": "When the dump was finished and had been read back",
    "COLUMN backups.file_name": "Its name in BACKUP_FOLDER",
    "COLUMN backups.bytes": "Its size",
    "COLUMN backups.stores": "Stores in the database when it was dumped",
}


def upgrade() -> None:
    """Add the table."""
    op.execute(_UPGRADE)
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP TABLE backups")
