"""How long is data about people kept? Three clocks clear it; figures stay as they are.

``identity``: names, links and account ids in daily profile rows older than
``RETENTION_IDENTITY_DAYS``; the newest row of each store that has any keeps them.
``removed_text``: titles, descriptions and links of videos that were found gone
``RETENTION_REMOVED_TEXT_DAYS`` ago. ``left``: everything personal of a store that left, or whose
grant ended, ``RETENTION_LEFT_DAYS`` ago; at once where TikTok said that the account was deleted. A
store that comes back before is spared; a paused store keeps its grant and has not left. Of a store
that keeps one of its two grants, only what the other one brought is cleared.

Which columns these are: :mod:`include.tiktok_sync.store_db.personal_data`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

import structlog
from psycopg import sql
from typing_extensions import LiteralString

from include.tiktok_sync.store_db import store_tables
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import (
    PersonalColumn,
    PersonalKind,
    personal_columns,
)
from include.tiktok_sync.store_db.retention import RetentionSettings

Clock = Literal["identity", "removed_text", "left"]

KEPT_AS_PROOF: Mapping[str, str] = {
    "store_audit": "proves who connected, exported and erased what; it outlives its store",
}
"""Tables whose personal columns no clock clears -> why."""

CLEARED_ELSEWHERE: Mapping[str, str] = {
    "erased_accounts": "connect_retention deletes the rows after RETENTION_CONNECT_DAYS",
    "weekly_reports": "kept_reports takes lines out with the text they show, and deletes old ones",
}
"""Tables without a store whose personal columns have a rule of their own -> which."""

STORES_AT_ONCE = 50
"""Stores whose rows are cleared in one transaction."""

log = structlog.get_logger(__name__)

# A grant that ended was withdrawn, as far as anybody can know: TikTok's notice of it may be lost.
# Where stores resume --without-grant has deleted the grant, the audit says when it ended.
# Reason 2 of authorization.removed: the account was deleted
# (https://developers.tiktok.com/doc/webhooks-events/). A notice from before the last consent is
# about an account that the store had before; one from before a refresh was wrong or taken back.
_GONE: LiteralString = """
SELECT f.store_code, f.before FROM (
    SELECT s.store_code,
        least(s.removed_at, CASE
            WHEN t.store_code IS NULL THEN (
                SELECT CASE WHEN a.action IN ('revoke', 'grant_ended') THEN a.happened_at END
                FROM store_audit AS a
                WHERE a.store_code = s.store_code {of_api}
                    AND a.action IN ('revoke', 'grant_ended', 'connect', 'connect_partly')
                ORDER BY a.happened_at DESC LIMIT 1)
            WHEN t.status = 'needs_consent' THEN t.status_since END) AS since,
        CASE WHEN EXISTS (
            SELECT FROM webhook_events AS e
            WHERE e.store_code = s.store_code AND e.event = 'authorization.removed'
                AND e.reason = 2 AND e.effect IN ('needs_consent', 'already_ended')
                AND e.happened_at >= coalesce(
                    greatest(t.connected_at, t.refreshed_at, t.created_at), '-infinity'))
        THEN %(now)s ELSE %(left_before)s::timestamptz END AS before
    FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code)
    WHERE %(left_on)s AND (
        s.removed_at IS NOT NULL OR coalesce(t.status, 'needs_consent') = 'needs_consent' {but})
) AS f WHERE f.since <= f.before
"""

# A store that only the Accounts API reads is here.
_LEFT: LiteralString = _GONE.replace("{of_api}", "").replace(
    "{but}",
    """AND NOT EXISTS (SELECT FROM business_tokens AS b
            WHERE b.store_code = s.store_code AND b.status <> 'needs_consent')""",
)
_FIRST_ENDED: LiteralString = _GONE.replace("{but}", "").replace(
    "{of_api}", "AND coalesce(a.details ->> 'api', 'display') = 'display'"
)

_IDENTITY: LiteralString = """
d.snapshot_date < %(identity_before)s AND EXISTS (
    SELECT FROM user_daily_stats AS n WHERE n.store_code = d.store_code
        AND n.snapshot_date > d.snapshot_date AND ({of_newer}))
"""

# Records that came since are the operator's business of today, such as why a store is skipped.
_WRITTEN: Mapping[str, LiteralString] = {
    "alerts": "d.raised_at",
    # Only the connect app ends an attempt; it may be gone.
    "connect_attempts": "coalesce(d.finished_at, d.expires_at)",
    "connect_links": "d.created_at",
    "sync_logs": "d.run_time",
    "webhook_events": "d.received_at",
}

# What of a row must hold as well, lest the clock breaks something that still works.
_ONLY: Mapping[str, LiteralString] = {
    # Without the account it expects, an open link would take any.
    "connect_links": "least(d.used_at, d.revoked_at, d.expires_at) <= %(now)s",
    "business_tokens": "d.status = 'needs_consent'",
    "store_tokens": "d.status = 'needs_consent'",
}

# What the first grant alone brought goes with it, also where the second lives on.
_OF_FIRST: Mapping[str, LiteralString] = {
    "connect_attempts": "d.api = 'display'",
    "store_tokens": "true",
    "user_daily_stats": "true",
    "videos": "true",
    "webhook_events": "d.api = 'display'",
}

# What else goes then: a second consent that was withdrawn, from a store that keeps the first.
_SECOND_ENDED: Mapping[str, LiteralString] = {
    "business_tokens": "d.status = 'needs_consent' AND d.status_since <= %(left_before)s",
    "connect_attempts": """
        d.api = 'business' AND coalesce(d.finished_at, d.expires_at) <= %(left_before)s
        AND EXISTS (SELECT FROM business_tokens AS b WHERE b.store_code = d.store_code
            AND b.status = 'needs_consent' AND b.status_since <= %(left_before)s)""",
}

# Instead of NULL, {} and '': what views and syncs read in it stays, and an account is unique.
_CLEARED: Mapping[tuple[str, str], LiteralString] = {
    ("alerts", "message"): "'(cleared: the store left)'",
    ("business_tokens", "open_id"): "'forgotten:' || d.store_code",
    ("store_tokens", "open_id"): "'forgotten:' || d.store_code",
    ("sync_logs", "message"): "'(cleared: the store left)'",
    ("sync_logs", "details"): (
        "(SELECT coalesce(jsonb_object_agg(key, value), '{{}}') FROM jsonb_each(d.details)"
        " WHERE jsonb_typeof(value) IN ('number', 'boolean') OR key IN ('kind', 'backfill'))"
    ),
}

_NOT_NULL = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND a.attnotnull
"""


@dataclass(frozen=True)
class Cleared:
    """Rows of a table that a clock cleared, or would."""

    clock: Clock
    table: str
    rows: int


@dataclass(frozen=True)
class _Rule:
    clock: Clock
    table: str
    assignments: sql.Composed
    due: sql.Composed


def clear_personal(
    conn: Connection,
    settings: RetentionSettings,
    *,
    now: datetime,
    today: date,
    dry_run: bool,
) -> list[Cleared]:
    """Let the three clocks run; the log counts what each cleared.

    Doing it again finds nothing more to do. Rows locked by others are left for the next time, so
    nobody waits for it, and a broken run loses nothing.

    Args:
        conn: Autocommit, as the owner of the tables.
        settings: Days of each clock; 0 = it does not run.
        now: From which the days of a removed video and a store are counted.
        today: From which those of daily rows are counted, in the sync's time zone.
        dry_run: Change nothing, count what would be cleared.

    Returns:
        The clocks and tables of which rows are cleared.
    """
    values: dict[str, object] = {
        "now": now,
        "left_on": bool(settings.left_days),
        "left_before": now - timedelta(days=settings.left_days),
        "removed_before": now - timedelta(days=settings.removed_text_days),
        "identity_before": today - timedelta(days=settings.identity_days),
    }
    codes = [code for (code,) in conn.execute("SELECT store_code FROM stores ORDER BY 1")]
    found = []
    for rule in _rules(conn, settings):
        rows = sum(
            _apply(conn, rule, {**values, "codes": codes[at : at + STORES_AT_ONCE]}, dry_run)
            for at in range(0, len(codes), STORES_AT_ONCE)
        )
        if rows:
            said = "Would be cleared" if dry_run else "Cleared"
            log.info(said, clock=rule.clock, table=rule.table, rows=rows)
            found.append(Cleared(rule.clock, rule.table, rows))
    return found


def uncovered(conn: Connection) -> list[PersonalColumn]:
    """Personal columns of tables that no clock clears and no erasure reaches; there must be none.

    Both follow the column ``store_code``; a table without it needs a rule of its own.
    """
    views = {name for (name,) in conn.execute("SELECT viewname FROM pg_views")}
    covered = {table.name for table in store_tables.tables(conn)} | views
    covered |= {*KEPT_AS_PROOF, *CLEARED_ELSEWHERE}
    return [column for column in personal_columns(conn) if column.table not in covered]


def _apply(conn: Connection, rule: _Rule, values: Mapping[str, object], dry_run: bool) -> int:  # noqa: FBT001 - private
    table = sql.Identifier(rule.table)
    of_stores = sql.SQL("FROM {} AS d WHERE d.store_code = ANY(%(codes)s) AND ({})").format(
        table, rule.due
    )
    if dry_run:
        row = conn.execute(sql.SQL("SELECT count(*) ") + of_stores, values).fetchone()
        return int(row[0]) if row else 0
    statement = sql.SQL(
        "UPDATE {} AS d SET {} WHERE d.ctid = ANY(ARRAY(SELECT d.ctid {} FOR UPDATE SKIP LOCKED))"
    ).format(table, rule.assignments, of_stores)
    return conn.execute(statement, values).rowcount


def _rules(conn: Connection, settings: RetentionSettings) -> list[_Rule]:
    """The clocks that run, each with the tables it clears."""
    columns: dict[str, list[PersonalColumn]] = {}
    for column in personal_columns(conn):
        columns.setdefault(column.table, []).append(column)
    types = {(table, name): kind for table, name, kind in conn.execute(_NOT_NULL)}
    rules = []
    if settings.left_days:
        for table in store_tables.tables(conn):
            own = columns.get(table.name)
            if not own:
                continue
            due = sql.SQL(
                "EXISTS (SELECT FROM ({}) AS gone WHERE gone.store_code = d.store_code{})"
            )
            written = _WRITTEN.get(table.name)
            since = sql.SQL(f" AND {written} <= gone.before" if written else "")
            rule = due.format(sql.SQL(_LEFT), since)
            if first := _OF_FIRST.get(table.name):
                rule = sql.SQL("({} OR ({} AND {}))").format(
                    rule, sql.SQL(first), due.format(sql.SQL(_FIRST_ENDED), since)
                )
            if only := _ONLY.get(table.name):
                rule += sql.SQL(" AND ") + sql.SQL(only)
            if also := _SECOND_ENDED.get(table.name):
                rule = sql.SQL("(({}) OR ({}))").format(rule, sql.SQL(also))
            rules.append(_rule("left", table.name, own, types, rule))
    # Of a store that left everything goes; so no row is counted by two clocks.
    stays = sql.SQL(" AND d.store_code NOT IN (SELECT store_code FROM ({}) AS gone)").format(
        sql.SQL(_FIRST_ENDED)
    )
    if settings.identity_days:
        own = _of_kind(columns["user_daily_stats"], PersonalKind.IDENTITY)
        of_newer = sql.SQL(" OR ").join(_filled("n", column, types) for column in own)
        rule = sql.SQL(_IDENTITY).format(of_newer=of_newer) + stays
        rules.append(_rule("identity", "user_daily_stats", own, types, rule))
    if settings.removed_text_days:
        own = _of_kind(columns["videos"], PersonalKind.CONTENT)
        rule = sql.SQL("d.removed_at <= %(removed_before)s") + stays
        rules.append(_rule("removed_text", "videos", own, types, rule))
    return rules


def _of_kind(columns: Sequence[PersonalColumn], kind: PersonalKind) -> list[PersonalColumn]:
    return [column for column in columns if column.kind is kind]


def _rule(
    clock: Clock,
    table: str,
    columns: Sequence[PersonalColumn],
    types: Mapping[Any, str],
    due: sql.Composed,
) -> _Rule:
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column.column), _empty(column, types))
        for column in columns
    )
    filled = sql.SQL(" OR ").join(_filled("d", column, types) for column in columns)
    return _Rule(clock, table, assignments, sql.SQL("{} AND ({})").format(due, filled))


def _filled(alias: str, column: PersonalColumn, types: Mapping[Any, str]) -> sql.Composed:
    name = sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(column.column))
    return sql.SQL("{} IS DISTINCT FROM {}").format(name, _empty(column, types))


def _empty(column: PersonalColumn, types: Mapping[Any, str]) -> sql.Composable:
    """What a cleared column holds: NULL, where it may be."""
    key = (column.table, column.column)
    if own := _CLEARED.get(key):
        return sql.SQL(own).format()
    if key not in types:
        return sql.SQL("NULL")
    return sql.SQL("'{{}}'").format() if types[key] in {"jsonb", "json"} else sql.SQL("''")
