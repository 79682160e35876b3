"""The rows of a table of grants: read, claim for a refresh, replace, mark. Ciphertext only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from include.tiktok_sync.errors import NeedsConsentError, StoreTokenStatus
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok.http import Timeouts
from include.tiktok_sync.tiktok.oauth import longest_refresh
from include.tiktok_sync.tokens.grant_table import DISPLAY, GrantTable
from include.tiktok_sync.tokens.scopes import ACCOUNT_CONFLICT, split_scope

CLAIM_MARGIN = timedelta(seconds=10)
"""How much longer a claim lasts than the longest refresh, and how much longer others wait."""

LOCK_TIMEOUT = longest_refresh(Timeouts()) + 2 * CLAIM_MARGIN
"""How long to retry a row that a refresh has claimed: longer than any claim on it."""

_COLUMNS = """store_code, open_id, scope, access_token, refresh_token, access_expires_at,
    refresh_expires_at, status, status_reason, refresh_started_at, app_fingerprint,
    coalesce(status_reason = other_account_reason(), false) AS of_other_account"""

_READ = f"SELECT {_COLUMNS} FROM {{grants}} WHERE store_code = %s"  # noqa: S608 - a constant

# A row locked for a moment (by an import, a consent) counts as claimed, so that nobody queues.
_CLAIM = """
WITH free AS (
    SELECT store_code, refresh_started_at FROM {grants}
    WHERE store_code = %(store_code)s AND refresh_token = %(refresh_token)s
        AND access_token = %(access_token)s AND status = %(status)s
        AND (refresh_claimed_until IS NULL OR refresh_claimed_until <= clock_timestamp()
            -- made under a clock that was ahead and has been corrected
            OR refresh_claimed_until > clock_timestamp() + %(life)s)
    FOR UPDATE SKIP LOCKED
)
UPDATE {grants} AS t SET refresh_claim = %(claim)s,
    refresh_claimed_until = clock_timestamp() + %(life)s, refresh_started_at = clock_timestamp()
FROM free WHERE t.store_code = free.store_code
RETURNING free.refresh_started_at
"""

_RELEASE = """
UPDATE {grants} SET refresh_claim = NULL, refresh_claimed_until = NULL,
    refresh_started_at = CASE WHEN %(answered)s THEN %(before)s ELSE refresh_started_at END
WHERE store_code = %(store_code)s AND refresh_claim = %(claim)s
"""

# Only over the token that was sent. A rotated pair is kept whatever happened meanwhile, so this
# writes nothing that the database could refuse (an open_id); the status only changes from the one
# that the refresh began with.
_REPLACE = """
UPDATE {grants} SET scope = %(scope)s,
    access_token = %(access_token)s, refresh_token = %(refresh_token)s,
    access_expires_at = %(access_expires_at)s, refresh_expires_at = %(refresh_expires_at)s,
    app_fingerprint = %(app_fingerprint)s,
    status_since = CASE WHEN status = %(before)s AND status <> %(status)s THEN now()
        ELSE status_since END,
    status_reason = CASE WHEN status = %(before)s THEN %(status_reason)s ELSE status_reason END,
    status = CASE WHEN status = %(before)s THEN %(status)s ELSE status END,
    refreshed_at = now(), updated_at = now(), refresh_started_at = NULL,
    refresh_claim = NULL, refresh_claimed_until = NULL,
    refresh_run = %(run)s, refresh_ended_at = clock_timestamp(), refresh_refused = false
WHERE store_code = %(store_code)s AND refresh_token = %(sent)s
RETURNING status, status_reason
"""

_CORRECT_ACCOUNT = """
UPDATE {grants} AS own SET open_id = %(open_id)s, updated_at = now()
WHERE store_code = %(store_code)s AND refresh_token = %(refresh_token)s AND NOT EXISTS (
    SELECT FROM held_accounts(%(api)s) AS held
    WHERE held.open_id = %(open_id)s AND held.store_code <> own.store_code)
"""

_NAME_ACCOUNT_CONFLICT = """
UPDATE {grants} SET status_reason = %(reason)s, updated_at = now()
WHERE store_code = %(store_code)s AND refresh_token = %(refresh_token)s
    AND status <> 'needs_consent'
"""

_REFUSE = """
UPDATE {grants} SET refresh_started_at = NULL,
    refresh_claim = NULL, refresh_claimed_until = NULL,
    refresh_run = %(run)s, refresh_ended_at = clock_timestamp(), refresh_refused = %(refused)s
WHERE store_code = %(store_code)s AND refresh_token = %(sent)s AND status = %(before)s
"""

_MARK = """
UPDATE {grants} SET status_since = CASE WHEN status = %(status)s THEN status_since ELSE now() END,
    status = %(status)s, status_reason = %(reason)s, updated_at = now(), refresh_started_at = NULL
WHERE store_code = %(store_code)s
"""


@dataclass(frozen=True)
class StoredTokens:
    """One row; tokens encrypted.

    ``access_expires_at`` ``None`` = unknown, refresh first. ``refresh_started_at`` is set while a
    refresh has no stored answer; if it is left over, that answer was lost. ``app_fingerprint``
    names the app that the grant belongs to; ``None`` = not known. ``of_other_account`` = marked
    because the store has connected another account since; only a new consent takes that back.
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
    app_fingerprint: str | None
    of_other_account: bool

    @property
    def scopes(self) -> frozenset[str]:
        """The granted scopes."""
        return split_scope(self.scope)


@dataclass(frozen=True)
class Claim:
    """The right to send one store's refresh token, until it is released or expires.

    Attributes:
        key: Identifies the claim.
        tokens: The claimed row; its refresh token is the one that is sent.
        lost_at: When a refresh began whose answer was never stored; ``None`` = none is missing.
    """

    key: UUID
    tokens: StoredTokens
    lost_at: datetime | None


class TokenStore:
    """Access to one of the tables on one autocommit connection."""

    def __init__(self, conn: Connection, table: GrantTable = DISPLAY) -> None:
        self.conn = conn
        self.table = table

    def read(self, store_code: str) -> StoredTokens:
        """The store's row.

        Raises:
            NeedsConsentError: The store was never connected.
        """
        with self.conn.cursor(row_factory=class_row(StoredTokens)) as cursor:
            row = cursor.execute(self.table.sql(_READ).encode(), [store_code]).fetchone()
        if row is None:
            for_api, option = (
                ("", "") if self.table is DISPLAY else (" for the Accounts API", " --business")
            )
            message = (
                f"Store {store_code} was never connected{for_api}. Send its manager a link (stores"
                f" link{option}), or import its tokens (stores import)."
            )
            raise NeedsConsentError(message)
        return row

    def claim(self, tokens: StoredTokens, key: UUID, life: timedelta) -> Claim | None:
        """Claim the store's refresh, and announce it.

        A claim and not a lock: no transaction is open while TikTok is asked, so a token endpoint
        that hangs blocks no connection of a pool. The announcement (``refresh_started_at``)
        outlives the claim if the answer is never stored, and later explains why the grant is dead.

        Args:
            tokens: The row as it was read.
            key: Names the claim.
            life: When it expires by itself if this process dies.

        Returns:
            ``None``: another process is refreshing, or the row has changed; read again.
        """
        values = {**vars(tokens), "claim": key, "life": life}
        row = self.conn.execute(self.table.sql(_CLAIM), values).fetchone()
        return None if row is None else Claim(key, tokens, row[0])

    def release(self, claim: Claim, *, answered: bool) -> None:
        """Release the claim, so that others can refresh.

        Args:
            claim: The claim.
            answered: TikTok answered and did not renew the token, so the announcement is removed.
                Without an answer it stays: the pair may have rotated nevertheless.
        """
        values = {
            "store_code": claim.tokens.store_code,
            "claim": claim.key,
            "answered": answered,
            "before": claim.lost_at,
        }
        self.conn.execute(self.table.sql(_RELEASE), values)

    def replace(
        self, claim: Claim, tokens: StoredTokens, run: str | None
    ) -> tuple[StoreTokenStatus, str | None] | None:
        """Write a refreshed pair and what came with it, and release the claim.

        Args:
            claim: The claim, with the token that was sent.
            tokens: The new row.
            run: The run that refreshed it.

        Returns:
            The row's status and reason: those of ``tokens``, or the mark if the store was marked
            meanwhile. ``None``: the token that was sent is no longer the stored one, and nothing
            was written.
        """
        before = claim.tokens
        values = {**vars(tokens), "sent": before.refresh_token, "before": before.status, "run": run}
        return self.conn.execute(self.table.sql(_REPLACE), values).fetchone()

    def correct_account(self, tokens: StoredTokens, open_id: str) -> bool:
        """Store the account that TikTok names with a refreshed pair, unless another store holds it.

        Separate from :meth:`replace`: a problem with the account must not cost the pair.

        Args:
            tokens: The row with the refreshed pair.
            open_id: The account.

        Returns:
            False: another store holds it. The stored account stays, and the row's reason says so.
        """
        values = {**vars(tokens), "open_id": open_id, "reason": ACCOUNT_CONFLICT}
        values["api"] = self.table.api
        with self.conn.transaction():
            self.conn.execute("SELECT lock_accounts()")
            if self.conn.execute(self.table.sql(_CORRECT_ACCOUNT), values).rowcount:
                return True
            return self.conn.execute(self.table.sql(_NAME_ACCOUNT_CONFLICT), values).rowcount == 0

    def refuse(self, claim: Claim, *, run: str | None, explained: bool) -> bool:
        """Record that TikTok refused the token that was sent, and release the claim.

        Returns:
            False: it is no longer the stored token, or the store was marked meanwhile; nothing was
            written.
        """
        values = {
            "store_code": claim.tokens.store_code,
            "sent": claim.tokens.refresh_token,
            "before": claim.tokens.status,
            "refused": not explained,
            "run": run,
        }
        return self.conn.execute(self.table.sql(_REFUSE), values).rowcount == 1

    def mark(self, store_code: str, status: StoreTokenStatus, reason: str) -> None:
        """Record why the store cannot be synced."""
        self.conn.execute(
            self.table.sql(_MARK),
            {"store_code": store_code, "status": status, "reason": reason},
        )
