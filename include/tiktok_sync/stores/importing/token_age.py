"""Are the tokens of a file older than those stored? Then they are dead: refresh tokens rotate.

Nothing in a token says when it was given, but its ends do. An access token's end tells when its
pair was given, since all live equally long; a refresh moves it. A grant's end tells when the
manager consented; no refresh moves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from psycopg.rows import class_row

from include.tiktok_sync.errors import ConfigurationError, StoreTokenStatus
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.importing.rows import RowGrant
from include.tiktok_sync.tokens.grant_table import GrantTable
from include.tiktok_sync.tokens.store import LOCK_TIMEOUT
from include.tiktok_sync.tokens.vault import TokenVault

SAME_CONSENT = timedelta(minutes=5)
"""Ends of one consent differ by so much at most: each is reckoned from when an answer arrived."""

# Locked until the import ends: what is compared is what is overwritten. A refresh that waits for
# its answer holds no lock, only a claim.
_STORED = """
SELECT store_code, access_expires_at, refresh_expires_at, refreshed_at, connected_at, status,
    refresh_token, coalesce(refresh_claimed_until > clock_timestamp(), false) AS claimed
FROM {grants} WHERE store_code = ANY(%s) ORDER BY store_code FOR UPDATE
"""


@dataclass(frozen=True)
class StoredGrant:
    """What a store has, its refresh token encrypted; see the comments of its table.

    ``claimed``: a refresh has sent the token, and its answer may still come.
    """

    store_code: str
    access_expires_at: datetime | None
    refresh_expires_at: datetime | None
    refreshed_at: datetime | None
    connected_at: datetime | None
    status: StoreTokenStatus
    refresh_token: bytes = field(repr=False)
    claimed: bool

    def opened(self, vault: TokenVault, table: GrantTable) -> str | None:
        """The refresh token; ``None`` = none of the keys opens it."""
        try:
            return vault.decrypt(self.refresh_token, store_code=self.store_code, kind=table.refresh)
        except ConfigurationError:
            return None


def stored_grants(
    conn: Connection, store_codes: Sequence[str], table: GrantTable
) -> dict[str, StoredGrant]:
    """The stores' grants for one API, locked until the surrounding transaction ends.

    Raises:
        psycopg.errors.LockNotAvailable: Another process held one of them for too long.
    """
    conn.execute(
        "SELECT set_config('lock_timeout', %s, true)",
        [str(int(LOCK_TIMEOUT.total_seconds() * 1000))],
    )
    with conn.cursor(row_factory=class_row(StoredGrant)) as cursor:
        rows = cursor.execute(table.sql(_STORED), [list(store_codes)]).fetchall()
    return {row.store_code: row for row in rows}


def older_than_stored(new: RowGrant, stored: StoredGrant) -> str | None:
    """Both dates that prove it, for people; ``None`` = the tokens are not older.

    A grant that ends later is a newer consent, whatever its access token says: it was given
    elsewhere, and the stored one was refreshed since. Of a living grant that is believed only if
    the access token outlasted the day on which the stored grant came: TikTok has shortened grants
    before, so that an old one may end later than the one that replaced it.
    """
    ends = stored.refresh_expires_at
    if ends is not None and new.refresh_expires_at > ends + SAME_CONSENT:
        came_before = (
            stored.status != "needs_consent"
            and stored.connected_at is not None
            and new.access_expires_at <= stored.connected_at
        )
        if not came_before:
            return None
    access_ends = stored.access_expires_at
    if access_ends is not None and new.access_expires_at != access_ends:
        return _both("access_expires_at", new.access_expires_at, access_ends)
    if stored.refreshed_at is not None and new.access_expires_at < stored.refreshed_at:
        # The stored pair's own end is not known.
        at = _text(stored.refreshed_at)
        return f"access_expires_at {_text(new.access_expires_at)}, stored tokens refreshed {at}"
    if ends is not None and new.refresh_expires_at < ends - SAME_CONSENT:
        return _both("refresh_expires_at", new.refresh_expires_at, ends)
    return None


def _both(column: str, new: datetime, stored: datetime) -> str | None:
    if new >= stored:
        return None
    return f"{column} {_text(new)}, stored {_text(stored)}"


def _text(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
