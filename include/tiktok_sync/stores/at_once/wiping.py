"""Everything that came from TikTok is deleted, of all stores, in every table.

A table is emptied unless it is named in :data:`KEPT`, so one that a later migration adds is emptied
too. In those that are kept, personal columns (the marks in their comments) are cleared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from graphlib import TopologicalSorter

import psycopg
from psycopg import sql

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.jobs import ALL_DAGS
from include.tiktok_sync.store_db import audit
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import personal_columns
from include.tiktok_sync.stores.at_once.revoking import living_grants, unanswered_consents

KEPT = frozenset(
    {
        "alembic_version",
        "backups",
        "erased_accounts",
        "erasure_key",
        "privacy_notices",
        "rate_limit_grants",
        "rate_limits",
        "store_audit",
        "stores",
        "sync_calendar",
    }
)
"""The retailer's own (stores, notices, audit), and the product's own state; none of TikTok's."""

NOT_CLEARED = frozenset({("store_audit", "actor"), ("erased_accounts", "account_hash")})
"""Who did something, an operator; and the keyed hash that lets late notices be dropped."""

BATCH = 10_000
"""Rows deleted in one transaction."""

QUIET = timedelta(minutes=10)
"""A run that wrote a row within this time and has no summary is going on."""

BEGUN, DONE = "wipe_begun", "wipe"

# A row that was added or changed has a newer xmin, one that was deleted is not counted.
_STATE = "SELECT count(*), coalesce(max(xmin::text::bigint), 0) FROM {}"

_TABLES = """
SELECT c.relname::text, c.relkind = 'p',
    ARRAY(SELECT i.inhrelid::regclass::text FROM pg_inherits AS i WHERE i.inhparent = c.oid),
    ARRAY(SELECT f.confrelid::regclass::text FROM pg_constraint AS f
        WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid)
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1
"""
_DELETE = """
DELETE FROM {0} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {0} LIMIT {1}))
"""
_LEAVE_TRACE = """
INSERT INTO erased_accounts (account_hash)
SELECT DISTINCT erased_account_hash(open_id) FROM (
    SELECT open_id FROM store_tokens
    UNION SELECT open_id FROM business_tokens
    UNION SELECT open_id FROM connect_attempts WHERE open_id IS NOT NULL
) AS own
ON CONFLICT (account_hash) DO UPDATE SET erased_at = now()
"""
_EMPTY = """
SELECT a.attname::text, CASE WHEN NOT a.attnotnull THEN NULL
    WHEN a.atttypid = 'jsonb'::regtype THEN '{}' ELSE '' END
FROM pg_attribute AS a WHERE a.attrelid = %s::regclass AND a.attname = ANY(%s)
"""
_IN_PROGRESS = """
SELECT DISTINCT job_name || ' ' || run_id FROM sync_logs AS l
WHERE store_code IS NOT NULL AND run_time > clock_timestamp() - %s AND job_name = ANY(%s)
    AND NOT EXISTS (SELECT FROM sync_logs AS s WHERE s.store_code IS NULL
        AND s.job_name = l.job_name AND s.run_id = l.run_id)
ORDER BY 1
"""
_RUNNING = """
SELECT dag_id || ' ' || run_id FROM dag_run WHERE state = 'running' AND dag_id = ANY(%s) ORDER BY 1
"""


@dataclass(frozen=True)
class Plan:
    """What a wipe would do now.

    Attributes:
        rows: Table -> rows that would be deleted.
        cleared: Column of a kept table -> rows in which it would be cleared.
        grants: Grants that would be revoked at TikTok first.
        code: Names all of it; changes when any of it changes.
    """

    rows: Mapping[str, int]
    cleared: Mapping[str, int]
    grants: int
    code: str


def plan(conn: Connection) -> Plan:
    """Count what there is; nothing is changed."""
    seal = hashlib.sha256()
    rows: dict[str, int] = {}
    for (database,) in conn.execute("SELECT current_database()"):
        seal.update(str(database).encode())
    for table in _wiped(conn):
        query = sql.SQL(_STATE).format(sql.Identifier(table))
        count, newest = conn.execute(query).fetchall()[0]
        rows[table] = count
        seal.update(f"{table} {count} {newest};".encode())
    cleared = _clear(conn, dry_run=True)
    seal.update(repr(sorted(cleared.items())).encode())
    grants = len(living_grants(conn)) + unanswered_consents(conn)
    digest = seal.hexdigest()
    return Plan(rows, cleared, grants, f"{digest[:4]}-{digest[4:8]}")


def require_quiet(conn: Connection, airflow: Connection | None) -> None:
    """Refuse while a run is in progress: it would write rows again behind the wipe.

    Args:
        conn: The database.
        airflow: Airflow's, if it can be reached.

    Raises:
        DataError: Names the runs.
    """
    running = {row[0] for row in conn.execute(_IN_PROGRESS, [QUIET, list(ALL_DAGS)])}
    if airflow is not None:
        running |= {row[0] for row in airflow.execute(_RUNNING, [list(ALL_DAGS)])}
    if running:
        message = (
            f"A run is in progress ({', '.join(sorted(running))}), so nothing was wiped. Pause the"
            " Dags, wait until it has ended or mark it as failed, then start again with a dry run."
            f" A run without Airflow that was stopped counts for {QUIET.seconds // 60} minutes"
            " after its last store."
        )
        raise DataError(message)


def begin(conn: Connection, actor: str, found: Plan) -> None:
    """Note that it begins, and keep the hashes by which TikTok's late notices are recognised."""
    with conn.transaction():
        conn.execute(_LEAVE_TRACE)
        details = {"rows": dict(found.rows), "grants": found.grants}
        audit.record(conn, BEGUN, _stores(conn), actor=actor, details=details)


def wipe(conn: Connection, actor: str, *, revoked: int, not_revoked: int) -> dict[str, int]:
    """Delete it, in batches; after a crash, doing it again goes on where it stopped.

    The grants should be revoked before, and Airflow's history searched: afterwards nobody knows
    the tokens and the names.

    Args:
        conn: Autocommit connection of the owner.
        actor: Who does it, for the audit.
        revoked: Grants that were ended at TikTok before, for the audit.
        not_revoked: Grants that could not be.

    Returns:
        Deleted rows by table.
    """
    deleted = {
        table: sum(_delete(conn, part) for part in parts) for table, parts in _wiped(conn).items()
    }
    with conn.transaction():
        _clear(conn, dry_run=False)
        details = {"rows": deleted, "revoked": revoked, "not_revoked": not_revoked}
        audit.record(conn, DONE, _stores(conn), actor=actor, details=details)
    return deleted


def left_over(conn: Connection) -> int:
    """Rows that are there although they were deleted: something wrote them meanwhile."""
    return sum(plan(conn).rows.values())


def _stores(conn: Connection) -> list[str]:
    codes = [row[0] for row in conn.execute("SELECT store_code FROM stores ORDER BY 1")]
    return codes or ["*"]


def _wiped(conn: Connection) -> dict[str, list[str]]:
    """Tables to empty, each before those it refers to, with the parts that hold their rows."""
    found = {name: row for name, *row in conn.execute(_TABLES).fetchall()}
    order: TopologicalSorter[str] = TopologicalSorter()
    for name, (_, _, targets) in found.items():
        order.add(name)
        for target in targets:
            order.add(target, name)
    return {
        name: found[name][1] if found[name][0] else [name]
        for name in order.static_order()
        if name in found and name not in KEPT
    }


def _delete(conn: Connection, table: str) -> int:
    # Names come from the catalogue; those of partitions are quoted there (regclass).
    query = sql.SQL(_DELETE).format(sql.SQL(table), sql.Literal(BATCH))
    deleted = 0
    while True:
        try:
            rows = conn.execute(query).rowcount
        except psycopg.errors.UndefinedTable:  # retention has dropped the month meanwhile
            return deleted
        deleted += rows
        if rows < BATCH:
            return deleted


def _clear(conn: Connection, *, dry_run: bool) -> dict[str, int]:
    """Empty the personal columns of the tables that are kept."""
    cleared: dict[str, int] = {}
    by_table: dict[str, list[str]] = {}
    for found in personal_columns(conn):
        if found.table in KEPT and (found.table, found.column) not in NOT_CLEARED:
            by_table.setdefault(found.table, []).append(found.column)
    for table, columns in by_table.items():
        for column, empty in conn.execute(_EMPTY, [table, columns]).fetchall():
            names = {
                "table": sql.Identifier(table),
                "column": sql.Identifier(column),
                "empty": sql.Literal(empty),
            }
            ours: sql.Composable = sql.SQL("")
            if table == "store_audit":  # counts of rows alone, and how a wipe is proved
                ours = sql.SQL(" AND action NOT IN ({}, {})").format(BEGUN, DONE)
            query = "SELECT FROM {table}" if dry_run else "UPDATE {table} SET {column} = {empty}"
            where = " WHERE {column} IS DISTINCT FROM {empty}"
            statement = sql.SQL(query + where).format(**names) + ours
            if rows := conn.execute(statement).rowcount:
                cleared[f"{table}.{column}"] = rows
    return cleared
