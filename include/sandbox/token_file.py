"""What survives a restart: tokens, grants and codes in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from include.sandbox.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from include.sandbox.tokens import Code, Grant, Token

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
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
    redirect_uri TEXT, expires_at REAL NOT NULL, used INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS client_secrets (value TEXT PRIMARY KEY);
"""

# Variables that the errors name: only a person's settings can be wrong here.
_STATE = "SANDBOX_STATE"
_SEED = "SANDBOX_SEED"

TokenRow = tuple[str, str, str, int, float]
GrantRow = tuple[str, str, int, int]
CodeRow = tuple[str, str, str, "str | None", float, int]


class TokenFile:
    """The SQLite side of the tokens: every write is committed when its method returns.

    Args:
        path: File to use, None for memory. It is created readable by its owner only.
        seed: Seed of the world the tokens belong to.

    Raises:
        SettingsError: The file cannot be used, is in use by another sandbox, or belongs to a
            world with another seed (its accounts would not be these).
    """

    def __init__(self, path: Path | None, seed: int) -> None:
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            # One event loop does all the work, but it may run in another thread than this one.
            self._db = sqlite3.connect(
                path or ":memory:", timeout=1.0, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            reason = f"cannot open the file ({error})"
            raise SettingsError(_STATE, reason) from None
        try:
            self._prepare(seed)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, seed: int) -> None:
        try:
            # Tokens are answered from memory, so a second process on the file must not start.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            # Survives the end of the process; only a power cut could undo the last commits.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('seed', ?)", (str(seed),))
            found = self._db.execute("SELECT value FROM meta WHERE name = 'seed'").fetchone()[0]
        except sqlite3.Error as error:
            reason = f"cannot be used: {error} (another sandbox may have it open)"
            raise SettingsError(_STATE, reason) from None
        if found != str(seed):
            reason = f"the state file was made with seed {found}; use that, or another file"
            raise SettingsError(_SEED, reason)

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def tokens(self) -> list[TokenRow]:
        """(value, kind, store_code, generation, expires_at) of every token ever issued."""
        query = "SELECT value, kind, store_code, generation, expires_at FROM tokens ORDER BY rowid"
        return self._db.execute(query).fetchall()

    def grants(self) -> list[GrantRow]:
        """(store_code, scope, generation, dead_through) of every store."""
        query = "SELECT store_code, scope, generation, dead_through FROM grants"
        return self._db.execute(query).fetchall()

    def codes(self) -> list[CodeRow]:
        """(value, store_code, scope, redirect_uri, expires_at, used) of every code ever minted."""
        query = "SELECT value, store_code, scope, redirect_uri, expires_at, used FROM codes"
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
                "INSERT OR REPLACE INTO codes VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (c.value, c.store_code, c.scope, c.redirect_uri, c.expires_at, int(c.used))
                    for c in codes
                ),
            )
            if client_secret is not None:
                self._db.execute(
                    "INSERT OR IGNORE INTO client_secrets VALUES (?)", (client_secret,)
                )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
