"""Which of the accounts' data survives a restart? Tokens, grants, codes and client secrets."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from include.sandbox.accounts.records import Code, Grant, Token
    from include.sandbox.world.state_file import StateFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    value TEXT PRIMARY KEY, kind TEXT NOT NULL, store_code TEXT NOT NULL,
    generation INTEGER NOT NULL, expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS grants (
    store_code TEXT PRIMARY KEY, scope TEXT NOT NULL,
    generation INTEGER NOT NULL, dead_through INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS codes (
    value TEXT PRIMARY KEY, store_code TEXT NOT NULL, scope TEXT NOT NULL,
    redirect_uri TEXT, expires_at REAL NOT NULL, used INTEGER NOT NULL, code_challenge TEXT
);
CREATE TABLE IF NOT EXISTS client_secrets (value TEXT PRIMARY KEY);
"""

TokenRow = tuple[str, str, str, int, float]
GrantRow = tuple[str, str, int, int]
CodeRow = tuple[str, str, str, "str | None", float, int, "str | None"]


class TokenFile:
    """The SQLite side of the tokens: every write is committed when its method returns.

    Args:
        state: The open state file.
    """

    def __init__(self, state: StateFile) -> None:
        self._db = state.db
        self._db.executescript(_SCHEMA)
        columns = [row[1] for row in self._db.execute("PRAGMA table_info(codes)")]
        if "code_challenge" not in columns:  # a file of an older sandbox
            self._db.execute("ALTER TABLE codes ADD COLUMN code_challenge TEXT")

    def tokens(self) -> list[TokenRow]:
        """(value, kind, store_code, generation, expires_at) of every token ever issued."""
        query = "SELECT value, kind, store_code, generation, expires_at FROM tokens ORDER BY rowid"
        return self._db.execute(query).fetchall()

    def grants(self) -> list[GrantRow]:
        """(store_code, scope, generation, dead_through) of every store."""
        query = "SELECT store_code, scope, generation, dead_through FROM grants"
        return self._db.execute(query).fetchall()

    def codes(self) -> list[CodeRow]:
        """Every code ever minted, its fields as in `Code`."""
        query = (
            "SELECT value, store_code, scope, redirect_uri, expires_at, used, code_challenge"
            " FROM codes"
        )
        return self._db.execute(query).fetchall()

    def client_secrets(self) -> list[str]:
        """Every client secret this state has been used with."""
        return [row[0] for row in self._db.execute("SELECT value FROM client_secrets")]

    def save(
        self,
        *,
        tokens: Iterable[Token] = (),
        grants: Iterable[Grant] = (),
        codes: Iterable[Code] = (),
        client_secret: str | None = None,
    ) -> None:
        """Writes new or changed rows in one transaction, all or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(
                "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?)",
                ((t.value, t.kind, t.store_code, t.generation, t.expires_at) for t in tokens),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?)",
                ((g.store_code, g.scope, g.generation, g.dead_through) for g in grants),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO codes VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((*dataclasses.astuple(c)[:5], int(c.used), c.code_challenge) for c in codes),
            )
            if client_secret is not None:
                self._db.execute(
                    "INSERT OR IGNORE INTO client_secrets VALUES (?)", (client_secret,)
                )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
