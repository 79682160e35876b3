"""How are all grants ended at TikTok at once? For a wipe, and for an incident."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import NeedsConsentError, SyncError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db import audit
from include.tiktok_sync.store_db.database import Connection, connect, database_errors
from include.tiktok_sync.stores.leaving import revoke
from include.tiktok_sync.tiktok.oauth import OAuthClient
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore
from include.tiktok_sync.tokens.vault import TokenVault

AT_ONCE = 8
"""Revocations under way: TikTok names no limit for its token endpoints, so a handful."""

NEXT_STEP = (
    "Ask the managers of these stores to remove the app in TikTok (Settings and privacy, Security &"
    " permissions, Apps and services permissions), or reset the app's client secret in TikTok's"
    " developer portal."
)
"""About grants that TikTok does not revoke when we ask it."""

_LIVING = """
SELECT 'display' AS api, store_code FROM store_tokens WHERE status <> 'needs_consent'
UNION ALL SELECT 'business', store_code FROM business_tokens WHERE status <> 'needs_consent'
ORDER BY 1 DESC, 2
"""
_UNANSWERED = """
SELECT attempt_id, api, store_code, access_token FROM connect_attempts
WHERE access_token IS NOT NULL ORDER BY begun_at
"""
_ANSWERED = """
UPDATE connect_attempts SET access_token = NULL, refresh_token = NULL, open_id = NULL,
    union_id = NULL, username = NULL, display_name = NULL,
    outcome = coalesce(outcome, 'declined'), finished_at = coalesce(finished_at, now())
WHERE attempt_id = %s
"""


@dataclass(frozen=True)
class Revocation:
    """One grant.

    Attributes:
        store_code: Whose.
        ok: Whether it works no longer.
        message: What was done, or the cause and the next step.
    """

    store_code: str
    ok: bool
    message: str


def living_grants(conn: Connection) -> list[str]:
    """Codes of the stores, removed ones too, whose grant is not known to have ended."""
    return [row[0] for row in conn.execute(_LIVING)]


def unanswered_consents(conn: Connection) -> int:
    """Consents that a manager gave and has not confirmed: TikTok gave tokens for them too."""
    return len(conn.execute(_UNANSWERED).fetchall())


def revoke_all(
    conn: Connection, settings: Settings, tiktok: TikTokApp, actor: str, reason: str
) -> list[Revocation]:
    """End every grant at TikTok, several at a time; doing it again goes on where it stopped.

    A grant that has ended is marked, so that no sync uses it. One that could not be revoked keeps
    its state, and is named.

    Args:
        conn: The database.
        settings: Its URL and the token keys.
        tiktok: The app that the grants were given to.
        actor: Who does it, for the audit.
        reason: Begins the status reason of the ended grants.

    Raises:
        ConfigurationError: The token keys are empty or wrong.
    """
    vault = TokenVault(settings.token_keys)
    url = settings.required("store_db_url")
    with tiktok.transport() as http, ThreadPoolExecutor(AT_ONCE) as pool:
        oauth = tiktok.oauth(http)

        def one(code: str) -> Revocation:
            return _revoke_one(code, url, vault, oauth, actor, reason)

        done = list(pool.map(one, living_grants(conn)))
        done += [
            _revoke_attempt(conn, row, vault, oauth) for row in conn.execute(_UNANSWERED).fetchall()
        ]
    return done


def _revoke_one(
    code: str, url: str, vault: TokenVault, oauth: OAuthClient, actor: str, reason: str
) -> Revocation:
    return _result(code, lambda: _with_connection(code, url, vault, oauth, actor, reason))


def _with_connection(
    code: str, url: str, vault: TokenVault, oauth: OAuthClient, actor: str, reason: str
) -> str:
    with connect(url, application_name="tiktok_sync:revoke") as conn, database_errors():
        tokens = TokenStore(conn)
        source = TokenSource(code, store=tokens, vault=vault, oauth=oauth)
        revoked = revoke(source, oauth)
        with conn.transaction():
            said = f"{reason} on {utc_now():%Y-%m-%d}. Connect the account again."
            tokens.mark(code, "needs_consent", said)
            audit.record(conn, "revoke", [code], actor=actor, details={"at_tiktok": True})
    return "revoked" if revoked else "TikTok had ended it before"


def _revoke_attempt(
    conn: Connection, row: tuple[object, str, bytes], vault: TokenVault, oauth: OAuthClient
) -> Revocation:
    number, code, sealed = row

    def work() -> str:
        try:
            oauth.revoke(vault.decrypt(sealed, store_code=code, kind="access"))
        except NeedsConsentError:
            said = "a consent that nobody confirmed: TikTok had ended it before"
        else:
            said = "a consent that nobody confirmed: revoked"
        conn.execute(_ANSWERED, [number])
        return said

    return _result(code, work)


def _result(code: str, work: Callable[[], str]) -> Revocation:
    try:
        return Revocation(code, ok=True, message=work())
    except SyncError as error:
        return Revocation(code, ok=False, message=str(error))
