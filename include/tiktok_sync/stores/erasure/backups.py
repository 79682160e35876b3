"""Which backups still hold a store, and until when? From the table ``backups``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from include.tiktok_sync.store_db.database import Connection

DEFAULT_KEEP = 14
"""As in ``deploy/backup.sh``."""

_VARIABLE = "BACKUP_KEEP"

_KEPT = """
SELECT file_name, finished_at FROM (
    SELECT * FROM backups ORDER BY finished_at DESC, id DESC LIMIT %(keep)s) AS kept
WHERE finished_at >= %(since)s AND finished_at <= %(until)s
ORDER BY finished_at
"""
_FIRST = """
SELECT least(
    (SELECT created_at FROM stores WHERE store_code = %(code)s),
    (SELECT min(happened_at) FROM store_audit WHERE store_code = %(code)s))
"""
_ERASED = "SELECT max(happened_at) FROM store_audit WHERE store_code = %s AND action = 'erase'"


@dataclass(frozen=True)
class Backups:
    """Dumps that were made while the store was in the database, and are still kept.

    Attributes:
        files: Their names, the oldest first.
        gone_by: When the last of them has been replaced, at one dump a day; ``None`` = there is
            none.
        keep: How many dumps are kept.
    """

    files: tuple[str, ...]
    gone_by: datetime | None
    keep: int

    def said(self) -> str:
        """For people."""
        elsewhere = " Copies made elsewhere, or dumps that were renamed, are not known here."
        if self.gone_by is None:
            return f"Backups: none noted in the table backups holds it.{elsewhere}"
        count = len(self.files)
        dumps = "1 dump holds" if count == 1 else f"{count} dumps hold"
        return (
            f"Backups: {dumps} it, the newest is {self.files[-1]}. The last goes by"
            f" {self.gone_by:%Y-%m-%d}, at one dump a day ({_VARIABLE}={self.keep})."
            f"{elsewhere} A restored dump brings the store back: erase it again."
        )


def backups_with(conn: Connection, code: str, env: Mapping[str, str]) -> Backups:
    """The backups that hold the store's rows, whether it is still here or erased."""
    keep = _keep(env)
    since = _moment(conn, _FIRST, {"code": code})
    # A row without columns is an empty tuple, which Python takes for false.
    there = conn.execute("SELECT FROM stores WHERE store_code = %s", [code]).fetchone()
    erased = _moment(conn, _ERASED, [code]) if there is None else None
    until = erased or datetime.now(timezone.utc)
    if since is None:
        return Backups((), None, keep)
    return _kept(conn, keep, {"keep": keep, "since": since, "until": until})


def _keep(env: Mapping[str, str]) -> int:
    text = env.get(_VARIABLE, "").strip()
    return int(text) if text.isdecimal() and int(text) else DEFAULT_KEEP


def _kept(conn: Connection, keep: int, values: Mapping[str, object]) -> Backups:
    rows = conn.execute(_KEPT.encode(), values).fetchall()
    gone_by = rows[-1][1].astimezone(timezone.utc) + timedelta(days=keep) if rows else None
    return Backups(tuple(name for name, _ in rows), gone_by, keep)


def all_backups(conn: Connection, env: Mapping[str, str]) -> Backups:
    """Every backup that is still kept."""
    keep = _keep(env)
    now = datetime.now(timezone.utc)
    values = {"keep": keep, "since": datetime.min.replace(tzinfo=timezone.utc), "until": now}
    return _kept(conn, keep, values)


def was_erased(conn: Connection, code: str) -> bool:
    """Whether there was such a store, which may be back."""
    return _moment(conn, _ERASED, [code]) is not None


def _moment(conn: Connection, query: str, values: Any) -> datetime | None:
    row = conn.execute(query.encode(), values).fetchone()
    return row[0] if row else None
