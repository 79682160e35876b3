"""Mark the columns that hold data about a person, at the end of their comments."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import op

revision = "0017"
down_revision = "0016"

# Kind (store_db/personal_data.py) -> table -> columns.
_MARKS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "identity": {
        "connect_attempts": ("open_id", "union_id", "username", "display_name"),
        "connect_links": ("expected_account",),
        "store_tokens": ("open_id",),
        "user_daily_stats": (
            "display_name",
            "username",
            "bio_description",
            "profile_deep_link",
            "avatar_url",
            "union_id",
            "extra",
        ),
        "webhook_events": ("open_id",),
    },
    "content": {
        "videos": (
            "title",
            "video_description",
            "share_url",
            "cover_image_url",
            "embed_link",
            "extra",
        ),
    },
    "record": {
        "alerts": ("message", "details"),
        "connect_links": ("created_by",),
        "store_audit": ("actor", "details"),
        "stores": ("paused_reason",),
        "sync_logs": ("message", "details"),
    },
}

# What the comment says is left as it is, whichever release worded it.
_COMMENT = """
DO $$
DECLARE
    said text := col_description('{table}'::regclass, (
        SELECT attnum FROM pg_attribute
        WHERE attrelid = '{table}'::regclass AND attname = '{column}'));
BEGIN
    said := regexp_replace(said, '\\.? Personal: [a-z]+\\.$', '');
    EXECUTE format('COMMENT ON COLUMN {table}.{column} IS %L', said || '{mark}');
END
$$
"""


def _comment(mark: str) -> None:
    for kind, tables in _MARKS.items():
        for table, columns in tables.items():
            for column in columns:
                op.execute(_COMMENT.format(table=table, column=column, mark=mark.format(kind=kind)))


def upgrade() -> None:
    """Append the marks."""
    _comment(". Personal: {kind}.")


def downgrade() -> None:
    """Take them off again."""
    _comment("")
