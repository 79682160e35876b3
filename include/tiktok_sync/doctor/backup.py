"""The doctor's checks of backups: how old they are, and what they leave out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone

from include.tiktok_sync.doctor.finding import Finding
from include.tiktok_sync.store_db.database import Connection

DEFAULT_WARN_HOURS = 26
"""A day and two hours: backups are daily, after the night."""

_VARIABLE = "BACKUP_WARN_HOURS"
_NEXT_STEP = (
    "Run docker compose run --rm backup (deploy/backup.sh) and see what it says, then whether cron"
    f" runs it daily. If something else backs this database up, set {_VARIABLE}=0."
)


def check(conn: Connection, env: Mapping[str, str]) -> Iterator[Finding]:
    """How old the newest backup is, and whether the database holds what backups leave out.

    ``deploy/backup.sh`` notes each dump that it has read back in the table ``backups``.
    """
    yield _age(conn, env.get(_VARIABLE, "").strip())
    rows = conn.execute(
        "SELECT DISTINCT lomowner::regrole::text FROM pg_largeobject_metadata ORDER BY 1"
    ).fetchall()
    if rows:
        yield Finding(
            "large objects",
            "warn",
            f"there are some, of {', '.join(row[0] for row in rows)}; backups leave them out",
            "The product makes none. Find out why, then: SELECT lo_unlink(oid) FROM"
            " pg_largeobject_metadata, and db prepare, which removes the right.",
        )


def _age(conn: Connection, hours: str) -> Finding:
    if hours and not hours.isdecimal():
        todo = (
            f"Set {_VARIABLE} to hours ({DEFAULT_WARN_HOURS}), or 0 if backups are made elsewhere."
        )
        return Finding("backup", "fail", f"{_VARIABLE} is not a whole number: {hours!r}", todo)
    limit = int(hours or DEFAULT_WARN_HOURS)
    if not limit:
        return Finding("backup", "ok", f"not watched: {_VARIABLE} is 0")
    row = conn.execute(
        "SELECT finished_at, file_name FROM backups ORDER BY finished_at DESC LIMIT 1"
    ).fetchone()
    since = datetime.now(timezone.utc) - timedelta(hours=limit)
    if row is None:
        # An installation made today has had no night yet, and so has nothing to lose.
        oldest = conn.execute("SELECT min(run_time) FROM sync_logs").fetchone()
        if oldest is None or oldest[0] is None or oldest[0] > since:
            return Finding("backup", "ok", f"none yet; a warning from {limit} hours of syncs on")
        return Finding("backup", "warn", "this database was never backed up", _NEXT_STEP)
    finished, name = row
    age = (datetime.now(timezone.utc) - finished) / timedelta(hours=1)
    text = f"{name}, {age:.0f} hours old"
    if finished >= since:
        return Finding("backup", "ok", text)
    return Finding("backup", "warn", f"the newest is {text}", _NEXT_STEP)
