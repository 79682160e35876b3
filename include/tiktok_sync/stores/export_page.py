"""What do we hold of this account? One page for the person who asks, readable without anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from psycopg import sql
from psycopg.rows import dict_row

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import PersonalKind, personal_columns, unmarked
from include.tiktok_sync.store_db.store_tables import KEPT, StoreTable

PAGE = "index.html"

MOST_ROWS = 200
"""Rows of a table on the page, the newest; all of them are in its CSV."""

UNKNOWN = "-"
"""What stands on the page where nothing is known."""

_TEMPLATE = "export_page.html"

_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "The store and its account",
        ("stores", "store_tokens", "business_tokens", "user_daily_stats"),
    ),
    ("Videos", ("videos", "video_daily_stats", "video_listings")),
    (
        "Statistics of TikTok's Accounts API",
        ("account_daily", "account_audience", "video_insights_daily", "insight_listings"),
    ),
    (
        "Consent: who asked, what was shown, what TikTok reported",
        ("connect_links", "connect_attempts", "webhook_events", KEPT),
    ),
    ("Records of the syncs", ("sync_logs", "alerts", "backfill_readings")),
)
_OTHERS = "Other tables"
_KINDS = {
    PersonalKind.IDENTITY: "who the account is",
    PersonalKind.CONTENT: "content of a video",
    PersonalKind.RECORD: "a record of what was done",
}

_TABLE_COMMENTS = """
SELECT relname::text, obj_description(oid, 'pg_class') FROM pg_class
WHERE relnamespace = 'public'::regnamespace
"""
_COLUMN_COMMENTS = """
SELECT c.relname::text, a.attname::text, a.atttypid = 'bytea'::regtype,
    coalesce(col_description(c.oid, a.attnum), '')
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
_FACTS = """
SELECT s.store_name, s.region, s.created_at, s.removed_at,
    store_state(s.is_active, s.removed_at, t.status) AS state
FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code) WHERE s.store_code = %s
"""
_ERASED = "SELECT max(happened_at) FROM store_audit WHERE store_code = %s AND action = 'erase'"
_PROFILE = """
SELECT display_name, username FROM user_daily_stats
WHERE store_code = %s AND coalesce(display_name, username) IS NOT NULL
ORDER BY snapshot_date DESC LIMIT 1
"""
_SPANS = """
SELECT (SELECT count(*) FROM user_daily_stats WHERE store_code = %(code)s) AS days,
    (SELECT min(snapshot_date) FROM user_daily_stats WHERE store_code = %(code)s) AS first_day,
    (SELECT max(snapshot_date) FROM user_daily_stats WHERE store_code = %(code)s) AS last_day,
    (SELECT count(*) FROM videos WHERE store_code = %(code)s) AS videos,
    (SELECT count(removed_at) FROM videos WHERE store_code = %(code)s) AS removed
"""
_NOTICES = """
SELECT version, text, first_shown_at FROM privacy_notices
WHERE version IN (
    SELECT notice_version FROM store_tokens WHERE store_code = %(code)s
    UNION SELECT notice_version FROM business_tokens WHERE store_code = %(code)s
    UNION SELECT notice_version FROM connect_attempts WHERE store_code = %(code)s)
ORDER BY first_shown_at DESC
"""


@dataclass(frozen=True)
class Column:
    """A column as the page explains it; ``kind`` = ``None`` where it is not personal."""

    name: str
    meaning: str
    kind: str | None


@dataclass(frozen=True)
class Section:
    """A table with rows of the store."""

    name: str
    meaning: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    total: int

    @property
    def personal(self) -> Sequence[Column]:
        """Its personal columns."""
        return [column for column in self.columns if column.kind]


def write_page(
    conn: Connection,
    code: str,
    tables: Sequence[StoreTable],
    counts: Mapping[str, int],
    file: Path,
    *,
    backups: str,
) -> None:
    """Write the page about what the CSV files next to it hold.

    Args:
        conn: In the transaction that wrote the CSV files, so that both say the same.
        code: Which store; it may have been erased.
        tables: All tables of stores.
        counts: Their rows of this store.
        file: Where to.
        backups: The paragraph about backups.
    """
    meanings: dict[str, str] = dict(conn.execute(_TABLE_COMMENTS).fetchall())
    kinds = {(found.table, found.column): _KINDS[found.kind] for found in personal_columns(conn)}
    columns: dict[str, list[Column]] = {}
    withheld: list[Column] = []
    for table, name, is_secret, comment in conn.execute(_COLUMN_COMMENTS).fetchall():
        meaning = unmarked(comment)
        if is_secret and counts.get(table):
            withheld.append(Column(f"{table}.{name}", meaning, None))
        elif not is_secret:
            column = Column(name, meaning, kinds.get((table, name)))
            columns.setdefault(table, []).append(column)
    sections = {
        table.name: Section(
            table.name,
            meanings.get(table.name) or "",
            columns[table.name],
            _rows(conn, table, code),
            counts[table.name],
        )
        for table in tables
        if counts[table.name]
    }
    facts = _one(conn, _FACTS, [code])
    erased = _one(conn, _ERASED, [code])["max"]
    page = _environment().get_template(_TEMPLATE)
    text = page.render(
        code=code,
        made_at=datetime.now(timezone.utc),
        facts=facts,
        erased_at=None if facts else erased,
        profile=_one(conn, _PROFILE, [code]),
        spans=_one(conn, _SPANS, {"code": code}),
        groups=_grouped(sections),
        notices=_all(conn, _NOTICES, {"code": code}),
        withheld=withheld,
        backups=backups,
        most_rows=MOST_ROWS,
    )
    file.write_text(text, encoding="utf-8")


def _grouped(sections: Mapping[str, Section]) -> list[tuple[str, list[Section]]]:
    known = {name: number for number, (_, names) in enumerate(_GROUPS) for name in names}
    groups: list[list[Section]] = [[] for _ in (*_GROUPS, _OTHERS)]
    order = [*known, *sorted(set(sections) - set(known))]
    for name in order:
        if name in sections:
            groups[known.get(name, len(_GROUPS))].append(sections[name])
    titles = [*(title for title, _ in _GROUPS), _OTHERS]
    return [(title, found) for title, found in zip(titles, groups, strict=True) if found]


def _rows(conn: Connection, table: StoreTable, code: str) -> list[list[str]]:
    order = sql.SQL(", ").join(
        sql.SQL("{} DESC").format(sql.Identifier(name))
        for name in sorted(table.key, key=lambda name: not name.endswith(("date", "_at", "day")))
    )
    query = sql.SQL("SELECT {} FROM {} WHERE store_code = %s ORDER BY {} LIMIT %s").format(
        sql.SQL(", ").join(map(sql.Identifier, table.columns)),
        sql.Identifier(table.name),
        order if table.key else sql.SQL("1"),
    )
    found = conn.execute(query, [code, MOST_ROWS])
    return [[_cell(value) for value in row] for row in found]


def _cell(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False) if value else UNKNOWN
    return str(value)


def _one(conn: Connection, query: str, values: Any) -> dict[str, Any]:
    return next(iter(_all(conn, query, values)), {})


def _all(conn: Connection, query: str, values: Any) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), values).fetchall()


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    return environment
