"""A store leaves: take its access back at TikTok, and erase what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import (
    ConfigurationError,
    DataError,
    NeedsConsentError,
    RetriableError,
    SyncError,
)
from include.tiktok_sync.store_db import audit, store_tables
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.kept_reports import forget_gone
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.stores.erasure.personal_texts import hide_in_kept_rows, redactor_for
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.tokens.grant_table import BUSINESS, DISPLAY, GRANT_TABLES, GrantTable
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore

_ACCOUNTS = """
SELECT open_id FROM store_tokens WHERE store_code = %(code)s
UNION SELECT open_id FROM business_tokens WHERE store_code = %(code)s
UNION SELECT open_id FROM connect_attempts WHERE store_code = %(code)s AND open_id IS NOT NULL
"""
_LEAVE_TRACE = f"""
INSERT INTO erased_accounts (account_hash)
SELECT erased_account_hash(open_id) FROM ({_ACCOUNTS}) AS own
ON CONFLICT (account_hash) DO UPDATE SET erased_at = now()
"""  # noqa: S608 - our own query
# Their account was no store's when they came, and was kept then (before migration 0010).
_FORGET_EVENTS = f"""
DELETE FROM webhook_events WHERE store_code IS NULL AND open_id IN ({_ACCOUNTS})
"""  # noqa: S608 - our own query

_NO_BUSINESS_APP = (
    "Its grant of the Accounts API is not revoked: TIKTOK_BUSINESS_APP_ID and"
    " TIKTOK_BUSINESS_SECRET are not set. Set them and run the command again, or give --no-revoke."
)

ENDED_BEFORE = "removed; TikTok had ended its grant before"


class Revoker(Protocol):
    """A token endpoint, as far as it ends grants."""

    def revoke(self, access_token: str) -> None:
        """End the whole grant that a living access token belongs to."""


@dataclass(frozen=True)
class Grant:
    """What ends one of a store's grants at TikTok.

    Attributes:
        source: Its tokens.
        oauth: The token endpoint of the app that it was given to.
    """

    source: TokenSource
    oauth: Revoker


def disconnect(
    code: str,
    lifecycle: Lifecycle,
    *,
    source: TokenSource | None,
    oauth: Revoker | None,
    business: Grant | None = None,
) -> str:
    """Remove a store from the syncs, then revoke its grants at TikTok.

    In this order, so that TikTok's trouble never keeps a store in. Doing it again goes on where it
    stopped.

    Args:
        code: Which store.
        lifecycle: Moves it.
        source: Its tokens; ``None`` = leave the grants at TikTok alone.
        oauth: Revokes; with ``source``.
        business: Its grant of the Accounts API; ``None`` = that API is not set up.

    Returns:
        A message for people that says what was done.

    Raises:
        SyncError: The store is removed, but a grant could not be revoked.
    """
    lifecycle.remove(code)
    if not _lives(lifecycle.conn, code, BUSINESS):
        return _end(code, lifecycle, DISPLAY, _grant(source, oauth))
    outcomes, problems = [], []
    asked = source is not None
    for table, grant in ((DISPLAY, _grant(source, oauth)), (BUSINESS, business if asked else None)):
        try:
            if table is BUSINESS and asked and grant is None:
                raise ConfigurationError(_NO_BUSINESS_APP)
            outcomes.append(_end(code, lifecycle, table, grant))
        except SyncError as error:  # the other grant must not live on for it
            problems.append(error)
    if problems:
        raise problems[0]
    return f"{outcomes[0]}; Accounts API: {outcomes[1].removeprefix('removed').lstrip('; ')}"


def _grant(source: TokenSource | None, oauth: Revoker | None) -> Grant | None:
    return Grant(source, oauth) if source and oauth else None


def _end(code: str, lifecycle: Lifecycle, table: GrantTable, grant: Grant | None) -> str:
    """End one grant of a removed store; says what was done."""
    conn = lifecycle.conn
    if not _lives(conn, code, table):
        return "removed; it had no living grant"
    if other := accounts.other_holder(conn, code, [table]):
        # TikTok takes an account's access back as a whole, whichever token it is shown.
        outcome = f"removed; its grant was left alone: store {other} has the same account"
        left_alone = True
    elif grant is None:
        outcome, left_alone = "removed; its grant at TikTok was left alone", True
    else:
        revoked = revoke(grant.source, grant.oauth)
        outcome = "removed and its grant revoked at TikTok" if revoked else ENDED_BEFORE
        left_alone = False
    with conn.transaction():
        reason = f"Disconnected on {utc_now():%Y-%m-%d}" + (", not revoked" if left_alone else "")
        TokenStore(conn, table).mark(code, "needs_consent", f"{reason}. Connect the account again.")
        details: dict[str, object] = {"at_tiktok": not left_alone}
        if table is BUSINESS:
            details["api"] = table.api
        audit.record(conn, "revoke", [code], actor=lifecycle.actor, details=details)
    return outcome


def revoke(source: TokenSource, oauth: Revoker) -> bool:
    """Revoke with a token that lives for sure; False = the grant was dead already.

    Raises:
        OtherAppError: Only the app that the grant was given to can end it.
    """
    source = source.of_other_account_too()
    source.require_own_app()
    try:
        token = source.access_token()
        try:
            oauth.revoke(token)
        except NeedsConsentError:
            # "invalid_grant" may also mean an expired token: only a fresh one proves anything.
            token = source.replace_rejected(token)
        else:
            return True
    except NeedsConsentError:
        return False
    try:
        oauth.revoke(token)
    except NeedsConsentError as error:
        message = "TikTok does not revoke a grant whose token it has just renewed. Try again."
        raise RetriableError(message, detail=error.detail, log_id=error.log_id) from error
    return True


def erase(
    code: str, lifecycle: Lifecycle, *, on_table: Callable[[str, int], None] | None = None
) -> dict[str, int]:
    """Delete every row of a removed store, in one transaction; its audit rows stay.

    In rows that stay (its audit, the summaries and alerts of whole runs) its account's ids, names
    and texts are hidden; the lines about it are taken out of weekly reports. A keyed hash of its
    account is kept, so that a late notice of TikTok leaves no row either.

    Args:
        code: Which store.
        lifecycle: Allows it, and says who.
        on_table: Called with each table and its deleted rows, for a progress display.

    Returns:
        Deleted rows by table.

    Raises:
        DataError: The store was not disconnected, or its grant is not revoked yet.
        ConfigurationError: There is no such store.
    """
    conn = lifecycle.conn
    with conn.transaction():
        check_erasable(code, lifecycle)
        # From here on nothing can be written for it: a row that refers to it needs this lock.
        conn.execute("SELECT FROM stores WHERE store_code = %s FOR UPDATE", [code])
        redactor = redactor_for(conn, code)
        conn.execute(_LEAVE_TRACE, {"code": code})
        conn.execute(_FORGET_EVENTS, {"code": code})
        deleted = {}
        for table in store_tables.tables(conn):
            deleted[table.name] = store_tables.delete(conn, table, code)
            if on_table:
                on_table(table.name, deleted[table.name])
        hidden = hide_in_kept_rows(conn, code, redactor)
        if reports := forget_gone(conn):
            hidden["weekly_reports"] = reports
        details = {"rows": deleted, **({"hidden": hidden} if hidden else {})}
        audit.record(conn, "erase", [code], actor=lifecycle.actor, details=details)
    return deleted


def check_erasable(code: str, lifecycle: Lifecycle) -> None:
    """Refuse unless the store was disconnected and its grant has ended; hold its row.

    Raises:
        DataError: It was not.
        ConfigurationError: There is no such store.
    """
    lifecycle.locked_for("erase", code)
    if any(_lives(lifecycle.conn, code, table) for table in GRANT_TABLES.values()):
        message = (
            f"Store {code} is removed, but its grant is not revoked yet, and without its tokens it"
            " never could be. Run stores disconnect again first."
        )
        raise DataError(message)


def _lives(conn: Connection, code: str, table: GrantTable) -> bool:
    query = table.sql(
        "SELECT FROM {grants} WHERE store_code = %s AND lives_at_tiktok(status, status_reason)"
    )
    return conn.execute(query, [code]).fetchone() is not None
