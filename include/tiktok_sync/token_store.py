"""The rows of ``store_tokens``: read, lock, replace, mark. Ciphertext only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg.rows import class_row

from include.tiktok_sync.database import Connection
from include.tiktok_sync.errors import NeedsConsentError, StoreTokenStatus
from include.tiktok_sync.models import BASIC_SCOPE, KNOWN_SCOPES, VIDEO_SCOPE

LOCK_TIMEOUT = timedelta(seconds=60)
"""Longer than a refresh with its one repetition may take, so that waiting usually succeeds."""

_READ = """
SELECT store_code, open_id, scope, access_token, refresh_token, access_expires_at,
    refresh_expires_at, status, status_reason, refresh_started_at
FROM store_tokens WHERE store_code = %s
"""
_READ_LOCKED = _READ + " FOR UPDATE"


@dataclass(frozen=True)
class StoredTokens:
    """One row; tokens encrypted.

    ``access_expires_at`` ``None`` = unknown, refresh first. ``refresh_started_at`` is set while a
    refresh has no stored answer; left over from before, that answer was lost.
    """

    store_code: str
    open_id: str
    scope: str
    access_token: bytes = field(repr=False)
    refresh_token: bytes = field(repr=False)
    access_expires_at: datetime | None
    refresh_expires_at: datetime | None
    status: StoreTokenStatus
    status_reason: str | None
    refresh_started_at: datetime | None

    @property
    def scopes(self) -> frozenset[str]:
        """The granted scopes."""
        return split_scope(self.scope)


def split_scope(scope: str) -> frozenset[str]:
    """Scopes of a list separated by commas or blanks."""
    return frozenset(scope.replace(",", " ").split())


def status_for_scope(scope: str) -> StoreTokenStatus:
    """``missing_scope`` where a scope that this product reads was not granted."""
    return "active" if split_scope(scope) >= KNOWN_SCOPES else "missing_scope"


_LEFT_OUT = {
    "user.info.profile": "user name and bio",
    "user.info.stats": "followers and other counts",
}
"""Scope -> what the profile has not without it."""


def why_in_state(status: str | None, reason: str | None, scope: str | None) -> str | None:
    """Why a grant is in its state, for people; of one that lacks permissions, what is synced.

    Args:
        status: As in ``store_tokens``; ``None`` = never connected.
        reason: As in ``store_tokens``.
        scope: Likewise.
    """
    if status is None:
        return "The store was never connected."
    if status != "missing_scope":
        return reason
    granted = split_scope(scope or "")
    if BASIC_SCOPE in granted:
        left_out = [name for lacking, name in _LEFT_OUT.items() if lacking not in granted]
        profile = "Its profile is synced" + (f", without {', '.join(left_out)}" if left_out else "")
    else:
        profile = "Its profile is not synced"
    videos = "its videos are" + ("" if VIDEO_SCOPE in granted else " not")
    missing = ", ".join(sorted(KNOWN_SCOPES - granted)) or "unknown"
    return (
        f"Not granted: {missing}. {profile}; {videos}. For the rest its manager must connect the"
        " account again and allow every permission."
    )


class TokenStore:
    """Access to ``store_tokens`` on one autocommit connection."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn

    def read(self, store_code: str, *, lock: bool = False) -> StoredTokens:
        """The store's row.

        Args:
            store_code: Which store.
            lock: Hold the row until the surrounding transaction ends.

        Raises:
            NeedsConsentError: The store was never connected.
            psycopg.errors.LockNotAvailable: The row was not to be had within ``LOCK_TIMEOUT``.
        """
        if lock:
            self.conn.execute(
                "SELECT set_config('lock_timeout', %s, true)",
                [str(int(LOCK_TIMEOUT.total_seconds() * 1000))],
            )
        with self.conn.cursor(row_factory=class_row(StoredTokens)) as cursor:
            row = cursor.execute(_READ_LOCKED if lock else _READ, [store_code]).fetchone()
        if row is None:
            message = (
                f"Store {store_code} was never connected. Send its manager a link (stores link), or"
                " import its tokens (stores import)."
            )
            raise NeedsConsentError(message)
        return row

    def begin_refresh(self, store_code: str) -> None:
        """Record that a refresh is about to be sent, for whoever finds it without an answer."""
        self.conn.execute(
            "UPDATE store_tokens SET refresh_started_at = now() WHERE store_code = %s",
            [store_code],
        )

    def end_refresh(self, store_code: str) -> None:
        """Take the announcement back: TikTok refused, so nothing was rotated."""
        self.conn.execute(
            "UPDATE store_tokens SET refresh_started_at = NULL WHERE store_code = %s",
            [store_code],
        )

    def replace(self, tokens: StoredTokens) -> None:
        """Write a refreshed pair and what came with it."""
        self.conn.execute(
            "UPDATE store_tokens SET open_id = %(open_id)s, scope = %(scope)s,"
            " access_token = %(access_token)s, refresh_token = %(refresh_token)s,"
            " access_expires_at = %(access_expires_at)s,"
            " refresh_expires_at = %(refresh_expires_at)s, status = %(status)s,"
            " status_reason = %(status_reason)s,"
            " status_since = CASE WHEN status = %(status)s THEN status_since ELSE now() END,"
            " refreshed_at = now(), updated_at = now(), refresh_started_at = NULL"
            " WHERE store_code = %(store_code)s",
            vars(tokens),
        )

    def mark(self, store_code: str, status: StoreTokenStatus, reason: str) -> None:
        """Record why the store cannot be synced."""
        self.conn.execute(
            "UPDATE store_tokens SET status_since ="
            " CASE WHEN status = %(status)s THEN status_since ELSE now() END,"
            " status = %(status)s, status_reason = %(reason)s, updated_at = now(),"
            " refresh_started_at = NULL"
            " WHERE store_code = %(store_code)s",
            {"store_code": store_code, "status": status, "reason": reason},
        )
