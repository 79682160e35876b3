"""How long are the connect app's records kept? Old attempts, links and webhook events are deleted.

Deleted after ``RETENTION_CONNECT_DAYS``: ended attempts, events of TikTok, hashes of erased
accounts, links that no longer open anything. Kept at any age, because something still needs them:

* attempts on a link that is still open, and attempts in progress (the connect app ends those);
* the newest attempt that connected a store, to either API: it shows which account the store had
  (``connect_known_account``), if no reading of the profile does;
* links of attempts that are kept.

TikTok repeats an event for 72 hours until it is answered ("Webhooks overview"), and the app refuses
a signature older than 73 (:data:`include.connect.webhook.TOLERANCE`): no event comes again after
that, so its row is no longer needed, nor is the hash of an erased account, by which late events
are dropped. ``store_audit`` and ``alerts`` are kept without a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from psycopg import sql
from typing_extensions import LiteralString

from include.tiktok_sync.store_db.database import Connection

BATCH = 5_000
"""Rows deleted in one transaction."""

_DECIDED: LiteralString = """
a.finished_at < %(before)s AND NOT EXISTS (
    SELECT FROM connect_links AS o JOIN stores AS s USING (store_code)
    WHERE o.link_hash = a.link_hash
        AND link_state(o.used_at, o.revoked_at, o.expires_at, s.is_active, %(now)s) = 'open')
AND (a.outcome NOT IN ('connected', 'missing_scope') OR EXISTS (
    SELECT FROM connect_attempts AS n
    WHERE n.store_code = a.store_code AND n.outcome IN ('connected', 'missing_scope')
        AND n.api = a.api
        AND (n.finished_at, n.attempt_id) > (a.finished_at, a.attempt_id)))
"""
_OVER: LiteralString = f"""
least(l.used_at, l.revoked_at, l.expires_at) < %(before)s AND NOT EXISTS (
    SELECT FROM connect_attempts AS a
    WHERE a.link_hash = l.link_hash AND ({_DECIDED}) IS NOT TRUE)
"""

# Table, its key, its name in the rule. Attempts first: a link goes after the last of its attempts.
_RULES: tuple[tuple[str, str, str, LiteralString], ...] = (
    ("connect_attempts", "attempt_id", "a", _DECIDED),
    ("connect_links", "link_hash", "l", _OVER),
    ("webhook_events", "event_hash", "e", "e.received_at < %(before)s"),
    ("erased_accounts", "account_hash", "x", "x.erased_at < %(before)s"),
)


log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Forgotten:
    """The rows of one table that were deleted, or would be."""

    table: str
    rows: int


def forget_connecting(
    conn: Connection, days: int, *, now: datetime, dry_run: bool, batch: int = BATCH
) -> list[Forgotten]:
    """Remove records that are past their retention period and no longer needed.

    Repeating it finds nothing more to do. Rows locked by others are left for the next time, so
    nobody waits for it.

    Args:
        conn: Autocommit, as the owner of the tables.
        days: How long it is kept; 0 = forever.
        now: The time from which the days are counted.
        dry_run: Change nothing, count what would be deleted.
        batch: Maximum of rows in one transaction.

    Returns:
        The tables from which rows are deleted.
    """
    if not days:
        return []
    moments = {"now": now, "before": now - timedelta(days=days)}
    found = []
    for table, key, alias, rule in _RULES:
        old = sql.SQL("FROM {} AS {} WHERE ").format(
            sql.Identifier(table), sql.Identifier(alias)
        ) + sql.SQL(rule)
        rows = (
            _count(conn, old, moments)
            if dry_run
            else _delete(conn, table, key, old, {**moments, "batch": batch})
        )
        if rows:
            log.info("Would go" if dry_run else "Gone", table=table, rows=rows)
            found.append(Forgotten(table, rows))
    return found


def _count(conn: Connection, old: sql.Composed, values: Mapping[str, object]) -> int:
    row = conn.execute(sql.SQL("SELECT count(*) ") + old, values).fetchone()
    return int(row[0]) if row else 0


def _delete(
    conn: Connection, table: str, key: str, old: sql.Composed, values: Mapping[str, object]
) -> int:
    begin = sql.SQL("DELETE FROM {} WHERE {} IN (SELECT {} ").format(
        sql.Identifier(table), sql.Identifier(key), sql.Identifier(key)
    )
    statement = begin + old + sql.SQL(" LIMIT %(batch)s FOR UPDATE SKIP LOCKED)")
    gone = 0
    while rows := conn.execute(statement, values).rowcount:
        gone += rows
    return gone
