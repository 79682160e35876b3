"""Which of the accounts' data survives a restart? Tokens, grants, codes and client secrets."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from include.sandbox.accounts.records import Code, Grant, Token
    from include.sandbox.world.state_file import StateFile

# `{app}` is empty for the Display app.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS {app}tokens (
    value TEXT PRIMARY KEY, kind TEXT NOT NULL, store_code TEXT NOT NULL,
    generation INTEGER NOT NULL, expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS {app}grants (
    store_code TEXT PRIMARY KEY, scope TEXT NOT NULL,
    generation INTEGER NOT NULL, dead_through INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS {app}codes (
    value TEXT PRIMARY KEY, store_code TEXT NOT NULL, scope TEXT NOT NULL,
    redirect_uri TEXT, expires_at REAL NOT NULL, used INTEGER NOT NULL, code_challenge TEXT
);
CREATE TABLE IF NOT EXISTS {app}client_secrets (value TEXT PRIMARY KEY);
"""

TokenRow = tuple[str, str, str, int, float]
GrantRow = tuple[str, str, int, int]
CodeRow = tuple[str, str, str, "str | None", float, int, "str | None"]


class TokenFile:
    """The SQLite side of the tokens: every write is committed when its method returns.

    Args:
        state: The open state file.
        app: What the names of its tables begin with.
    """

    def __init__(self, state: StateFile, app: str = "") -> None:
        self._db, self._app = state.db, app
        self._db.executescript(_SCHEMA.format(app=app))
        columns = [row[1] for row in self._db.execute(f"PRAGMA table_info({app}codes)")]
        if "code_challenge" not in columns:  # a file of an older sandbox
            self._db.execute(f"ALTER TABLE {app}codes ADD COLUMN code_challenge TEXT")

    def tokens(self) -> list[TokenRow]:
        """(value, kind, store_code, generation, expires_at) of every token ever issued."""
        columns = "value, kind, store_code, generation, expires_at"
        return self._rows("tokens", columns, "ORDER BY rowid")

    def grants(self) -> list[GrantRow]:
        """(store_code, scope, generation, dead_through) of every store."""
        return self._rows("grants", "store_code, scope, generation, dead_through")

    def codes(self) -> list[CodeRow]:
        """Every code ever minted, its fields as in `Code`."""
        columns = "value, store_code, scope, redirect_uri, expires_at, used, code_challenge"
        return self._rows("codes", columns)

    def client_secrets(self) -> list[str]:
        """Every client secret this state has been used with."""
        return [row[0] for row in self._rows("client_secrets", "value")]

    def save(
        self,
        *,
        tokens: Iterable[Token] = (),
        grants: Iterable[Grant] = (),
        codes: Iterable[Code] = (),
        client_secret: str | None = None,
    ) -> None:
        """Writes new or changed rows in one transaction, all or nothing."""
        app = self._app
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(
                f"INSERT OR REPLACE INTO {app}tokens VALUES (?, ?, ?, ?, ?)",  # noqa: S608 (fixed names)
                ((t.value, t.kind, t.store_code, t.generation, t.expires_at) for t in tokens),
            )
            self._db.executemany(
                f"INSERT OR REPLACE INTO {app}grants VALUES (?, ?, ?, ?)",  # noqa: S608 (fixed names)
                ((g.store_code, g.scope, g.generation, g.dead_through) for g in grants),
            )
            self._db.executemany(
                f"INSERT OR REPLACE INTO {app}codes VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (fixed names)
                ((*dataclasses.astuple(c)[:5], int(c.used), c.code_challenge) for c in codes),
            )
            if client_secret is not None:
                self._db.execute(
                    f"INSERT OR IGNORE INTO {app}client_secrets VALUES (?)",  # noqa: S608 (fixed names)
                    (client_secret,),
                )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _rows(self, table: str, columns: str, order: str = "") -> list[Any]:
        query = f"SELECT {columns} FROM {self._app}{table} {order}"  # noqa: S608 (fixed names)
        return self._db.execute(query).fetchall()
