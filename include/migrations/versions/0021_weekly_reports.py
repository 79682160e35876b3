"""The weekly reports, kept for a year.

Personal in them are the titles and links of videos; they stand in lines of ``html`` that are taken
out when the store is erased or the text is cleared (``store_db/kept_reports.py``). Pictures hold
figures alone.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"

_TABLE = """
CREATE TABLE weekly_reports (
    week_start date NOT NULL CHECK (extract(isodow FROM week_start) = 1),
    region text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    headline text NOT NULL,
    html text NOT NULL,
    pictures jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (week_start, region)
)
"""

_VIEW = """
CREATE VIEW report_archive AS
SELECT week_start, region, created_at, headline, html, pictures FROM weekly_reports
"""

_COLUMNS = {
    "week_start": "The Monday of the week that it covers",
    "region": "The region that it covers; empty = all stores",
    "created_at": "When it was made; making it again replaces it",
    "headline": "Its main figures as text, without names",
    "html": "The page, complete in itself. Personal: content.",
    "pictures": "Its charts: name -> PNG as base64; figures alone, without names",
}

_COMMENTS = {
    "weekly_reports": {
        "": "The weekly reports, deleted a year after their week. Lines about stores that were"
        " erased and videos whose text was cleared are taken out",
        **_COLUMNS,
        "sent_at": "When its headline was sent to REPORT_URL; NULL = it was not",
    },
    "report_archive": {
        "": "The weekly reports that are kept, one row per week and region",
        **{name: text.removesuffix(". Personal: content.") for name, text in _COLUMNS.items()},
    },
}


def upgrade() -> None:
    """Add the table and its view."""
    bind = op.get_bind()
    for statement in (_TABLE, _VIEW):
        bind.exec_driver_sql(statement)
    for name, columns in _COMMENTS.items():
        kind = "VIEW" if name == "report_archive" else "TABLE"
        for column, comment in columns.items():
            target = f"COLUMN {name}.{column}" if column else f"{kind} {name}"
            bind.exec_driver_sql(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Drop them with the reports that are kept."""
    op.execute("DROP VIEW report_archive")
    op.execute("DROP TABLE weekly_reports")
