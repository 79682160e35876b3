"""How are all grants ended at TikTok at once? For a wipe, and for an incident."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from include.tiktok_sync.app import BusinessApp, TikTokApp
from include.tiktok_sync.business.oauth import BusinessOAuth
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import ConfigurationError, NeedsConsentError, SyncError
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db import audit
from include.tiktok_sync.store_db.database import Connection, connect, database_errors
from include.tiktok_sync.stores.leaving import revoke
from include.tiktok_sync.tiktok.oauth import OAuthClient
from include.tiktok_sync.tokens.grant_table import GRANT_TABLES
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
SELECT 'display' AS api, store_code FROM store_tokens
WHERE lives_at_tiktok(status, status_reason)
UNION ALL SELECT 'business', store_code FROM business_tokens
WHERE lives_at_tiktok(status, status_reason)
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
        api: For which of TikTok's APIs it was given.
    """

    store_code: str
    ok: bool
    message: str
    api: Api = "display"


@dataclass(frozen=True)
class _Ending:
    """What ends grants: where they are, and whose word counts."""

    url: str
    vault: TokenVault
    actor: str
    reason: str


def living_grants(conn: Connection) -> list[tuple[Api, str]]:
    """API and store of every grant, removed stores' too, that is not known to have ended."""
    return conn.execute(_LIVING).fetchall()


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
        settings: Its URL, the token keys, and the app of the Accounts API.
        tiktok: The app that the grants of the Display API were given to.
        actor: Who does it, for the audit.
        reason: Begins the status reason of the ended grants.

    Raises:
        ConfigurationError: The token keys are empty or wrong.
    """
    ending = _Ending(
        settings.required("store_db_url"), TokenVault(settings.token_keys), actor, reason
    )
    with ExitStack() as stack:
        display = tiktok.oauth(stack.enter_context(tiktok.transport()))
        business = _business_oauth(settings, stack)
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))

        def oauth_of(api: Api) -> OAuthClient | BusinessOAuth:
            if api == "display":
                return display
            if isinstance(business, ConfigurationError):
                raise business
            return business

        def one(grant: tuple[Api, str]) -> Revocation:
            api, code = grant
            return _result(api, code, lambda: _revoke_one(api, code, ending, oauth_of(api)))

        done = list(pool.map(one, living_grants(conn)))
        for number, api, code, sealed in conn.execute(_UNANSWERED).fetchall():
            work = partial(_revoke_attempt, conn, number, api, code, sealed, ending.vault, oauth_of)
            done.append(_result(api, code, work))
    return done


def _business_oauth(settings: Settings, stack: ExitStack) -> BusinessOAuth | ConfigurationError:
    """The app of the Accounts API, or why there is none: the other grants end all the same."""
    try:
        app = BusinessApp.from_settings(settings)
    except ConfigurationError as error:
        return error
    return app.oauth(stack.enter_context(app.transport()))


def _revoke_one(api: Api, code: str, ending: _Ending, oauth: OAuthClient | BusinessOAuth) -> str:
    with connect(ending.url, application_name="tiktok_sync:revoke") as conn, database_errors():
        tokens = TokenStore(conn, GRANT_TABLES[api])
        source = TokenSource(code, store=tokens, vault=ending.vault, oauth=oauth)
        revoked = revoke(source, oauth)
        with conn.transaction():
            said = f"{ending.reason} on {utc_now():%Y-%m-%d}. Connect the account again."
            tokens.mark(code, "needs_consent", said)
            details: dict[str, object] = {"at_tiktok": True}
            if api != "display":
                details["api"] = api
            audit.record(conn, "revoke", [code], actor=ending.actor, details=details)
    return "revoked" if revoked else "TikTok had ended it before"


def _revoke_attempt(
    conn: Connection,
    number: object,
    api: Api,
    code: str,
    sealed: bytes,
    vault: TokenVault,
    oauth_of: Callable[[Api], OAuthClient | BusinessOAuth],
) -> str:
    try:
        kind = GRANT_TABLES[api].access
        oauth_of(api).revoke(vault.decrypt(sealed, store_code=code, kind=kind))
    except NeedsConsentError:
        said = "a consent that nobody confirmed: TikTok had ended it before"
    else:
        said = "a consent that nobody confirmed: revoked"
    conn.execute(_ANSWERED, [number])
    return said


def _result(api: Api, code: str, work: Callable[[], str]) -> Revocation:
    try:
        ok, said = True, work()
    except SyncError as error:
        ok, said = False, str(error)
    return Revocation(code, ok, said if api == "display" else f"Accounts API: {said}", api)
