"""Is a grant that is marked as dead really dead? TikTok is asked once more."""

from __future__ import annotations

from datetime import datetime, timezone

from include.tiktok_sync.errors import DataError, NeedsConsentError
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tokens.grant_table import DISPLAY, GrantTable
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore

_MARKED = """
SELECT store_code FROM {grants} JOIN stores USING (store_code)
WHERE status = 'needs_consent' AND removed_at IS NULL
ORDER BY store_code
"""

_HAS_LEFT = "SELECT FROM stores WHERE store_code = %s AND removed_at IS NOT NULL"


def marked_stores(conn: Connection, table: GrantTable = DISPLAY) -> list[str]:
    """Codes of the stores whose grant is marked as dead, except those that have left."""
    return [row[0] for row in conn.execute(table.sql(_MARKED)).fetchall()]


def recheck(
    code: str, source: TokenSource, conn: Connection, now: datetime, *, any_app: bool = False
) -> str:
    """Refresh a marked grant once; if TikTok renews it, the store is back in the syncs.

    ``any_app`` is for stores that the operator named: the app that an import recorded is a claim,
    which TikTok's answer proves or disproves.

    Args:
        code: The store.
        source: Its tokens.
        conn: Autocommit connection.
        now: The time.
        any_app: Also ask if the grant, dead or not, is recorded as another app's.

    Returns:
        A message for people that says what was done.

    Raises:
        NeedsConsentError: TikTok refuses it, it has ended, the store has connected another account
            since, or was never connected.
        DataError: The store has left.
        SyncError: See :meth:`TokenSource.access_token`; the mark stays.
    """
    if conn.execute(_HAS_LEFT, [code]).fetchone() is not None:
        message = f"the store has left; to take it back in: stores resume {code}"
        raise DataError(message)
    tokens = TokenStore(conn, source.table).read(code)
    if tokens.of_other_account:
        message = f"TikTok was not asked: this grant is another account's. {tokens.status_reason}"
        raise NeedsConsentError(message)
    corrected = any_app and source.is_of_another_app(tokens)
    if tokens.status != "needs_consent" and not corrected:
        return f"its grant is not marked as dead ({tokens.status}); TikTok was not asked"
    ends_at = tokens.refresh_expires_at
    if ends_at is not None and ends_at <= now:
        message = (
            f"its consent ended on {ends_at.astimezone(timezone.utc):%Y-%m-%d}; send its manager a"
            f" link (stores link {code})"
        )
        raise NeedsConsentError(message)
    try:
        renewed = source.ask_again(any_app=any_app)
    except NeedsConsentError as error:
        message = f"still refused. {error.message}"
        raise NeedsConsentError(message, detail=error.detail, log_id=error.log_id) from error
    if corrected and tokens.status != "needs_consent":
        return f"its grant belongs to the configured app, which is now recorded ({renewed.status})"
    return f"restored, its grant is still valid ({renewed.status})"
