"""What is in the database? The data dictionary, from the comments of the database itself."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from include.tiktok_sync.store_db.database import Connection

# Partitions repeat their table, and Alembic's table says nothing about the data.
_COLUMNS = """
SELECT c.relname AS relation, c.relkind = 'v' AS is_view,
    coalesce(obj_description(c.oid, 'pg_class'), '') AS purpose,
    a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
    coalesce(a.attnum = ANY (k.conkey), false) AS is_key,
    NOT a.attnotnull AS may_be_null, coalesce(col_description(c.oid, a.attnum), '') AS meaning
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype = 'p'
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    AND NOT c.relispartition AND c.relname <> 'alembic_version'
ORDER BY is_view DESC, c.relname, a.attnum
"""

_HEAD = """\
# Data dictionary

Generated from the comments in the database by `make dictionary`; change a comment in a migration,
not this file.

Counts are NULL where TikTok left them out, never 0. Times have a time zone. A row is late when it
was observed after the day it stands for: it fills a gap but does not measure that day. The views
leave late rows out; those named `…_with_late` include them and mark them in `is_late`.
"""


def data_dictionary(conn: Connection) -> str:
    """Every table and view with its columns, types and meanings.

    Returns:
        Markdown, the same for the same schema.
    """
    cells = conn.execute(_COLUMNS).fetchall()
    sections = [_HEAD]
    for is_view, of_kind in groupby(cells, key=itemgetter(1)):
        sections.append("## Views\n" if is_view else "## Tables\n")
        for (name, purpose), columns in groupby(of_kind, key=itemgetter(0, 2)):
            found = [column[3:] for column in columns]
            lines = _view_of(found) if is_view else _table_of(found)
            sections.append("\n".join([f"### {name}", "", f"{purpose}.", "", *lines, ""]))
    return "\n".join(sections)


def _table_of(columns: list[tuple[str, str, bool, bool, str]]) -> list[str]:
    lines = ["| column | type | | meaning |", "| --- | --- | --- | --- |"]
    for name, kind, is_key, may_be_null, text in columns:
        mark = "key" if is_key else "" if may_be_null else "not null"
        lines.append(f"| `{name}` | {kind} | {mark} | {_cell(text)} |")
    return lines


def _view_of(columns: list[tuple[str, str, bool, bool, str]]) -> list[str]:
    # Postgres does not know which columns of a view are never NULL.
    lines = ["| column | type | meaning |", "| --- | --- | --- |"]
    return lines + [f"| `{name}` | {kind} | {_cell(text)} |" for name, kind, _, _, text in columns]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
