"""Which parts of a fault plan survive a restart? Its rules, and how far its schedule has got."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.sandbox.world.state_file import StateFile

# Counts carry the number of their plan, so that one statement replaces a plan whole.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS fault_plan (
    one INTEGER PRIMARY KEY CHECK (one = 1), plan INTEGER NOT NULL, body TEXT
);
CREATE TABLE IF NOT EXISTS fault_calls (
    plan INTEGER, store_code TEXT, endpoint TEXT, n INTEGER NOT NULL,
    PRIMARY KEY (plan, store_code, endpoint)
);
CREATE TABLE IF NOT EXISTS fault_hits (
    plan INTEGER, rule INTEGER, store_code TEXT, n INTEGER NOT NULL,
    PRIMARY KEY (plan, rule, store_code)
);
"""


class FaultFile:
    """The SQLite side of the fault plan; every write is committed when its method returns.

    Args:
        state: The open state file.
    """

    def __init__(self, state: StateFile) -> None:
        self._db = state.db
        self._db.executescript(_SCHEMA)
        row = self._db.execute("SELECT plan, body FROM fault_plan").fetchone()
        self._plan: int = row[0] if row else 0
        self._body: str | None = row[1] if row else None

    def load(self) -> dict[str, Any] | None:
        """The plan as it was given to `replace`, None if there is none."""
        return None if self._body is None else dict(json.loads(self._body))

    def calls(self) -> dict[tuple[str, str], int]:
        """(store, endpoint) -> calls under the plan."""
        query = "SELECT store_code, endpoint, n FROM fault_calls WHERE plan = ?"
        return {(code, name): n for code, name, n in self._db.execute(query, (self._plan,))}

    def hits(self) -> dict[tuple[int, str], int]:
        """(number of the rule, store) -> hits under the plan."""
        query = "SELECT rule, store_code, n FROM fault_hits WHERE plan = ?"
        return {(rule, code): n for rule, code, n in self._db.execute(query, (self._plan,))}

    def replace(self, plan: Mapping[str, Any] | None) -> None:
        """Keeps another plan, whose counts begin at 0; None keeps none."""
        self._plan += 1
        self._body = None if plan is None else json.dumps(plan)
        self._db.execute(
            "INSERT OR REPLACE INTO fault_plan VALUES (1, ?, ?)", (self._plan, self._body)
        )
        for table in ("fault_calls", "fault_hits"):
            self._db.execute(f"DELETE FROM {table} WHERE plan <> ?", (self._plan,))  # noqa: S608 (fixed names)

    def save_calls(self, store_code: str, endpoint: str, n: int) -> None:
        """Keeps how many calls a store has made to an endpoint."""
        self._db.execute(
            "INSERT OR REPLACE INTO fault_calls VALUES (?, ?, ?, ?)",
            (self._plan, store_code, endpoint, n),
        )

    def save_hits(self, rule: int, store_code: str, n: int) -> None:
        """Keeps how often a rule has hit a store."""
        self._db.execute(
            "INSERT OR REPLACE INTO fault_hits VALUES (?, ?, ?, ?)",
            (self._plan, rule, store_code, n),
        )
