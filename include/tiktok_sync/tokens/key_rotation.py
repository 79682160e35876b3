"""Re-encrypts every token with the first key, while syncs run.

A row is locked only for the milliseconds of its batch; a row that a refresh has claimed is skipped
and retried later. The rows themselves show what is left, so an interrupted rotation is simply run
again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from psycopg import sql

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tokens.sealed_rows import (
    SEALED_TABLES,
    SealedRow,
    SealedTable,
    lock_free_ones,
    read_pages,
)
from include.tiktok_sync.tokens.store import LOCK_TIMEOUT
from include.tiktok_sync.tokens.vault import TokenVault

BATCH = 20
"""Rows locked together: some 3 ms."""

PAUSE_S = 0.2
"""Between two rounds for rows that a refresh has claimed."""


@dataclass
class Rotation:
    """Result of a rotation.

    Attributes:
        renewed: Rows that were re-encrypted.
        unreadable: Store -> why its row was left as it is.
        busy: Stores whose row stayed locked or claimed until the time was up.
    """

    renewed: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    busy: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether no row is left under another key."""
        return not self.unreadable and not self.busy


def rotate_keys(
    conn: Connection,
    vault: TokenVault,
    *,
    on_progress: Callable[[int], None] | None = None,
    patience_s: float = LOCK_TIMEOUT.total_seconds(),
) -> Rotation:
    """Re-encrypt every row that is not under the first key.

    Args:
        conn: Autocommit connection.
        vault: The first of its keys encrypts.
        on_progress: Called with the number of rows just checked and done.
        patience_s: How long to retry rows that others have locked.
    """
    done = Rotation()
    tell = on_progress or (lambda _: None)
    busy: dict[SealedTable, list[object]] = {}
    for table in SEALED_TABLES:
        for page in read_pages(conn, table):
            due = [row.key for row in page if row.place(vault) != 0]
            tell(len(page) - len(due))
            left = _renew(conn, table, due, vault, done)
            tell(len(due) - len(left))
            if left:
                busy[table] = busy.get(table, []) + left
    _retry_busy(conn, busy, vault, done, tell=tell, patience_s=patience_s)
    return done


def _retry_busy(
    conn: Connection,
    busy: dict[SealedTable, list[object]],
    vault: TokenVault,
    done: Rotation,
    *,
    tell: Callable[[int], None],
    patience_s: float,
) -> None:
    deadline = time.monotonic() + patience_s
    while busy and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        for table, keys in list(busy.items()):
            left = _renew(conn, table, keys, vault, done)
            tell(len(keys) - len(left))
            busy[table] = left
        busy = {table: keys for table, keys in busy.items() if keys}
    done.busy = tuple(str(key) for keys in busy.values() for key in keys)


def _renew(
    conn: Connection, table: SealedTable, keys: list[object], vault: TokenVault, done: Rotation
) -> list[object]:
    """Re-encrypt some rows; returns the keys of those that are locked or claimed."""
    left: list[object] = []
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        with conn.transaction():
            rows = lock_free_ones(conn, table, batch)
            for row in rows:
                _renew_row(conn, table, row, vault, done)
        free = {row.key for row in rows}
        left += [key for key in batch if key not in free]
    # A row that no longer exists is not locked by anybody.
    return [key for key in left if _exists(conn, table, key)]


def _renew_row(
    conn: Connection, table: SealedTable, row: SealedRow, vault: TokenVault, done: Rotation
) -> None:
    if row.place(vault) == 0:
        return  # refreshed in the meantime, by a process that has the new key
    try:
        fresh = {
            column: vault.renew(sealed, store_code=row.store_code, kind=table.columns[column])
            for column, sealed in row.sealed.items()
        }
    except ConfigurationError as error:
        done.unreadable[row.store_code] = str(error)
        return
    # updated_at stays: what the store's manager granted has not changed.
    conn.execute(
        sql.SQL("UPDATE {} SET {} WHERE {} = %(row_key)s").format(
            sql.Identifier(table.name),
            sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder(column))
                for column in fresh
            ),
            sql.Identifier(table.key),
        ),
        {**fresh, "row_key": row.key},
    )
    done.renewed += 1


def _exists(conn: Connection, table: SealedTable, key: object) -> bool:
    query = sql.SQL("SELECT FROM {} WHERE {} = %s").format(
        sql.Identifier(table.name), sql.Identifier(table.key)
    )
    return conn.execute(query, [key]).fetchone() is not None
