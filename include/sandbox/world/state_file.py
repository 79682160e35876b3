"""Where is the state that survives a restart? In one SQLite file, used by one process at a time."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
from typing import TYPE_CHECKING

from include.sandbox.setting_checks import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

# Variables that the errors name: only a person's settings can be wrong here.
_STATE = "SANDBOX_STATE"
_SEED = "SANDBOX_SEED"


class StateFile:
    """The open file. Each part of the sandbox keeps its own tables in it.

    Args:
        path: File to use, None for memory. It is created readable by its owner only.
        seed: Seed of the world the file belongs to.

    Attributes:
        db: The connection, in autocommit: what is written outside `BEGIN` is committed at once.

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
            self.db = sqlite3.connect(
                path or ":memory:", timeout=1.0, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            reason = f"cannot open the file ({error})"
            raise SettingsError(_STATE, reason) from None
        try:
            self._prepare(seed)
        except BaseException:
            self.db.close()
            raise

    def _prepare(self, seed: int) -> None:
        try:
            # Tokens are answered from memory, so a second process on the file must not start.
            self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.db.execute("PRAGMA journal_mode = WAL")
            # Survives the end of the process; only a power cut could undo the last commits.
            self.db.execute("PRAGMA synchronous = NORMAL")
            self.db.execute(
                "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
            )
            self.db.execute("INSERT OR IGNORE INTO meta VALUES ('seed', ?)", (str(seed),))
            found = self.db.execute("SELECT value FROM meta WHERE name = 'seed'").fetchone()[0]
        except sqlite3.Error as error:
            reason = f"cannot be used: {error} (another sandbox may have it open)"
            raise SettingsError(_STATE, reason) from None
        if found != str(seed):
            reason = f"the state file was made with seed {found}; use that, or another file"
            raise SettingsError(_SEED, reason)

    def first_day(self, today: dt.date) -> dt.date:
        """The day this file was first asked for it, which is `today` the first time."""
        self.db.execute("INSERT OR IGNORE INTO meta VALUES ('first_day', ?)", (today.isoformat(),))
        query = "SELECT value FROM meta WHERE name = 'first_day'"
        return dt.date.fromisoformat(self.db.execute(query).fetchone()[0])

    def close(self) -> None:
        """Closes the file."""
        self.db.close()
