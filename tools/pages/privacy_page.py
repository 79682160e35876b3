"""docs/privacy.md: which personal data is held, and how long, from the marks in the database.

The text around the tables is ``privacy_page.txt``.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from pathlib import Path

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import (
    PersonalColumn,
    PersonalKind,
    personal_columns,
    unmarked,
)
from include.tiktok_sync.store_db.personal_retention import CLEARED_ELSEWHERE, KEPT_AS_PROOF
from include.tiktok_sync.store_db.retention import (
    DEFAULT_CONNECT_DAYS,
    DEFAULT_IDENTITY_DAYS,
    DEFAULT_LEFT_DAYS,
    DEFAULT_REMOVED_TEXT_DAYS,
)

_KINDS = {
    PersonalKind.IDENTITY: "Whose account it is",
    PersonalKind.CONTENT: "What the account says",
    PersonalKind.RECORD: "Who did or saw what",
}

_COMMENTS = """
SELECT c.relname, a.attname, col_description(c.oid, a.attnum), c.relkind IN ('v', 'm')
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
"""

_CONNECT_TABLES = frozenset({"connect_attempts", "connect_links", "webhook_events"})

_TEXT = Path(__file__).with_suffix(".txt")
"""The page around its tables."""


def privacy_page(conn: Connection) -> str:
    """The page, the same for the same schema.

    Raises:
        ValueError: A mark names no kind that there is.
    """
    comments, of_view = {}, set()
    for table, column, comment, is_view in conn.execute(_COMMENTS).fetchall():
        comments[table, column] = comment or ""
        if is_view:
            of_view.add(table)
    found = personal_columns(conn)
    stored = [column for column in found if column.table not in of_view]
    shown = [f"`{c.table}.{c.column}`" for c in found if c.table in of_view]
    sections = []
    for kind, heading in _KINDS.items():
        lines = [f"### {heading} ({kind.value})", "", "| table | column | meaning | goes |"]
        lines.append("| --- | --- | --- | --- |")
        own = [column for column in stored if column.kind is kind]
        for table, columns in groupby(own, key=attrgetter("table")):
            for column in columns:
                meaning = unmarked(comments[table, column.column]).replace("|", "\\|")
                lines.append(f"| `{table}` | `{column.column}` | {meaning} | {_goes(column)} |")
        sections.append("\n".join([*lines, ""]))
    return _TEXT.read_text(encoding="utf-8").format(
        columns="\n".join(sections),
        views=", ".join(shown) or "none",
        proof=" ".join(f"`{table}` {why}." for table, why in KEPT_AS_PROOF.items()),
        identity=DEFAULT_IDENTITY_DAYS,
        removed=DEFAULT_REMOVED_TEXT_DAYS,
        left=DEFAULT_LEFT_DAYS,
        connect=DEFAULT_CONNECT_DAYS,
    )


def _goes(column: PersonalColumn) -> str:
    if column.table in KEPT_AS_PROOF:
        return "never: proof"
    if column.table == "weekly_reports":
        return "removed text, left; the rest after a year"
    if column.table in CLEARED_ELSEWHERE:
        return "connect"
    ways = ["left"]
    if column.table == "user_daily_stats" and column.kind is PersonalKind.IDENTITY:
        ways.insert(0, "identity")
    if column.table == "videos" and column.kind is PersonalKind.CONTENT:
        ways.insert(0, "removed text")
    if column.table in _CONNECT_TABLES:
        ways.append("connect")
    return ", ".join(ways)
