"""A valid access token for one store, refreshed by exactly one process at a time.

Refresh tokens rotate and the old one dies at once (developers.tiktok.com, "Refresh a user access
token", Nov 2026), so a process claims the store's row before it sends the token, and stores the new
pair before it uses it. No transaction is open while TikTok is asked; other processes read the row
again until the new pair is there, or the claim has expired.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Protocol
from uuid import uuid4

import structlog

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import (
    NeedsConsentError,
    RetriableError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.store_db.audit import TIKTOK, record_grant_move
from include.tiktok_sync.tiktok.oauth import TokenGrant, answer_lost
from include.tiktok_sync.tokens.grant_app import other_app_error, refusal_error
from include.tiktok_sync.tokens.grant_table import GrantTable
from include.tiktok_sync.tokens.refusals import believe, lock_verdicts
from include.tiktok_sync.tokens.scopes import status_for_scope
from include.tiktok_sync.tokens.store import CLAIM_MARGIN, Claim, StoredTokens, TokenStore
from include.tiktok_sync.tokens.vault import TokenVault

log = structlog.get_logger(__name__)

EXPIRY_MARGIN = timedelta(minutes=5)
"""Refresh this long before the end, so that a token does not expire between check and use."""

_FIRST_LOOK_S, _LOOK_EVERY_S = 0.1, 1.0
"""Between two reads of a row that another process has claimed: most refreshes take a moment."""

IsStale = Callable[[StoredTokens], bool]


class Refresher(Protocol):
    """What is needed of the app's token endpoint.

    Attributes:
        app_fingerprint: Names the app.
        longest_refresh: How long a refresh may take.
    """

    app_fingerprint: str
    longest_refresh: timedelta

    def refresh(self, refresh_token: str) -> TokenGrant:
        """Exchange a refresh token for new tokens."""


class TokenSource:
    """Access tokens of one store.

    Args:
        store_code: The store.
        store: Reads and writes its row, in the table of one API.
        vault: Decrypts and encrypts.
        oauth: Refreshes.
        run: The run that asks (:attr:`include.tiktok_sync.jobs.RunKey.name`); ``None`` = none.
        actor: The person who has the grant refreshed, for the audit; ``None`` = no person.
        now: The clock, for tests.
    """

    def __init__(
        self,
        store_code: str,
        *,
        store: TokenStore,
        vault: TokenVault,
        oauth: Refresher,
        run: str | None = None,
        actor: str = TIKTOK,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store_code = store_code
        self._store, self._table = store, store.table
        self._vault = vault
        self._oauth = oauth
        self._run, self._actor = run, actor
        self._now = now
        self._tokens: StoredTokens | None = None
        self._of_other_account_too = False
        self.refreshes = 0

    def of_other_account_too(self) -> TokenSource:
        """One that also gives tokens of an account that the store had before: to revoke them."""
        source = copy(self)
        source._of_other_account_too = True  # noqa: SLF001 - of this class
        return source

    @property
    def table(self) -> GrantTable:
        """Of which API the tokens are."""
        return self._table

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that the store's manager granted, after a refresh if one is due anyway.

        Raises:
            See :meth:`access_token`.
        """
        return self._valid().scopes

    @property
    def open_id(self) -> str:
        """The account, after a refresh if one is due anyway.

        Raises:
            See :meth:`access_token`.
        """
        return self._valid().open_id

    def access_token(self) -> str:
        """A token that is valid for at least some minutes; refreshed if necessary.

        Raises:
            NeedsConsentError: The grant is dead: known before, or just found out from TikTok.
            RetriableError: TikTok or the database is in trouble, or another process has been
                refreshing for too long; nothing was marked.
            OtherAppError: It has to be refreshed, but the grant belongs to another app; TikTok was
                not asked.
            ImplausibleRefusalsError: TikTok refuses too many grants at once; nothing was marked.
            ConfigurationError: Wrong keys or app credentials.
        """
        return self._decrypt_access(self._valid())

    def ensure_valid_for(self, life: timedelta) -> datetime | None:
        """Refresh the token now if it would end within ``life``.

        Returns:
            When the access token ends; ``None`` if TikTok did not say.

        Raises:
            See :meth:`access_token`.
        """
        return self._valid(life).access_expires_at

    def is_valid_for(self, life: timedelta) -> bool:
        """Whether the stored token lasts that long; nothing is refreshed.

        Raises:
            NeedsConsentError: The grant is known to be dead.
            OtherAppError: It does not, and it could not be refreshed.
        """
        tokens = self._current()
        if not self._expiring(tokens, life):
            return True
        self.require_own_app(tokens)
        return False

    def replace_rejected(self, rejected: str) -> str:
        """A token other than ``rejected``, to which TikTok answered ``access_token_invalid``.

        Raises:
            See :meth:`access_token`.
        """
        tokens = self._refresh(is_stale=lambda found: self._decrypt_access(found) == rejected)
        return self._decrypt_access(tokens)

    def ask_again(self, *, any_app: bool = False) -> StoredTokens:
        """Refresh a grant that is marked as dead, to find out whether it is.

        Args:
            any_app: Also if it is recorded as another app's: an import may have been wrong. A
                refusal with the wrong app does the grant no harm.

        Raises:
            NeedsConsentError: TikTok refuses it; the mark stays.
            SyncError: See :meth:`access_token`.
        """
        return self._refresh(
            is_stale=lambda found: (
                found.status == "needs_consent" or (any_app and self.is_of_another_app(found))
            ),
            dead=True,
            any_app=any_app,
        )

    def is_of_another_app(self, tokens: StoredTokens) -> bool:
        """Whether the grant is recorded as given to another app than the configured one."""
        return tokens.app_fingerprint not in {None, self._oauth.app_fingerprint}

    def require_own_app(self, tokens: StoredTokens | None = None) -> None:
        """Refuse to call TikTok for a grant of another app.

        Raises:
            OtherAppError: The grant belongs to another app.
            NeedsConsentError: The store was never connected.
        """
        found = tokens or self._store.read(self._store_code)
        if self.is_of_another_app(found):
            raise other_app_error(self._store_code, self._table)

    def _valid(self, margin: timedelta = EXPIRY_MARGIN) -> StoredTokens:
        tokens = self._current()
        if not self._expiring(tokens, margin):
            return tokens
        return self._refresh(is_stale=lambda found: self._expiring(found, margin))

    def _current(self) -> StoredTokens:
        if self._tokens is None:
            self._tokens = self._store.read(self._store_code)
        self._require_consent(self._tokens)
        return self._tokens

    def _expiring(self, tokens: StoredTokens, margin: timedelta) -> bool:
        return tokens.access_expires_at is None or tokens.access_expires_at <= self._now() + margin

    def _refresh(
        self, *, is_stale: IsStale, dead: bool = False, any_app: bool = False
    ) -> StoredTokens:
        """Claim, refresh, store; or wait for the process that has the claim.

        A refresh whose answer was never stored (the process was killed, the answer was lost)
        leaves its announcement behind, which later explains why the grant is dead.

        Args:
            is_stale: Whether a row still needs a refresh.
            dead: Also refresh a grant that is marked as dead.
            any_app: Also refresh a grant that is recorded as another app's.
        """
        life = self._oauth.longest_refresh + CLAIM_MARGIN
        give_up_at = time.monotonic() + (life + CLAIM_MARGIN).total_seconds()
        pause_s = _FIRST_LOOK_S
        # The claim fails if the row has changed since it was read.
        found = self._tokens or self._store.read(self._store_code)
        while True:
            if not dead:
                self._require_consent(found)
            if not is_stale(found):
                self._tokens = found
                return found
            if not any_app:
                self.require_own_app(found)
            claim = self._store.claim(found, uuid4(), life)
            if claim is not None:
                renewed = self._ask(claim)
                if renewed is not None:
                    self._tokens = renewed
                    self._require_consent(renewed)
                    return renewed
            elif time.monotonic() >= give_up_at:
                message = "Another process held the store's token for too long. It is tried again."
                raise RetriableError(message, retry_after_s=30)
            else:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LOOK_EVERY_S)
            found = self._store.read(self._store_code)

    def _ask(self, claim: Claim) -> StoredTokens | None:
        """Send the claimed token, and store the result.

        Returns:
            The renewed row; ``None`` = the row has changed meanwhile and must be read again.
        """
        try:
            grant = self._oauth.refresh(self._decrypt_refresh(claim.tokens))
        except TikTokUnavailableError:
            self._store.release(claim, answered=False)
            raise
        except NeedsConsentError as error:
            self._refused(claim, error)
            return None
        except SyncError:
            self._store.release(claim, answered=True)
            raise
        # Any other way out (a killed task) leaves the claim to run out: the token is on its way.
        new = self._renewed(claim.tokens, grant)
        with self._store.conn.transaction():
            written = self._store.replace(claim, new, self._run)
            if written == (new.status, new.status_reason):
                record_grant_move(
                    self._store.conn,
                    self._store_code,
                    claim.tokens.status,
                    new.status,
                    actor=self._actor,
                    api=self._table.api,
                )
        if written is None:
            self._store.release(claim, answered=True)
            return None
        self.refreshes += 1
        status, reason = written
        new = replace(new, status=status, status_reason=reason)
        if (
            grant.open_id
            and grant.open_id != new.open_id
            and not self._store.correct_account(new, grant.open_id)
        ):
            log.warning("tokens_of_another_account", store_code=self._store_code)
        return new

    def _refused(self, claim: Claim, error: NeedsConsentError) -> None:
        """Record ``invalid_grant``, which counts only if the stored token still is the one sent.

        Raises:
            NeedsConsentError: It counts, and is believed.
            ImplausibleRefusalsError: It counts, and is not believed.
            OtherAppError: The grant, or most grants, belong to another app: it proves nothing.
        """
        conn, before = self._store.conn, claim.tokens.status
        own, given_by = self._oauth.app_fingerprint, claim.tokens.app_fingerprint
        others = refusal_error(conn, own, self._store_code, given_by, self._table)
        if others is not None:
            self._store.release(claim, answered=not error.explained)
            raise others
        explained = _explained(error, claim, self._now())
        if before == "needs_consent":  # known already: it proves nothing new
            self._store.release(claim, answered=True)
            raise explained or error
        implausible: SyncError | None = None
        with conn.transaction():
            if explained is None:
                lock_verdicts(conn)
            counts = self._store.refuse(claim, run=self._run, explained=explained is not None)
            if counts and explained is None:
                implausible = believe(conn, self._run, self._table)
            if counts and implausible is None:
                reason = (explained or error).message
                self._store.mark(self._store_code, "needs_consent", reason)
                record_grant_move(
                    conn, self._store_code, before, "needs_consent", reason, api=self._table.api
                )
        if not counts:
            self._store.release(claim, answered=True)
            return
        self._tokens = None
        raise implausible or explained or error

    def _decrypt_refresh(self, tokens: StoredTokens) -> str:
        return self._vault.decrypt(
            tokens.refresh_token, store_code=self._store_code, kind=self._table.refresh
        )

    def _renewed(self, old: StoredTokens, grant: TokenGrant) -> StoredTokens:
        now = self._now()
        scope = grant.scope or old.scope
        if not old.of_other_account:
            status = status_for_scope(scope, self._table.api)
            old = replace(old, status=status, status_reason=None)
        new = replace(
            old,
            app_fingerprint=self._oauth.app_fingerprint,
            scope=scope,
            access_token=self._vault.encrypt(
                grant.access_token, store_code=self._store_code, kind=self._table.access
            ),
            access_expires_at=now + timedelta(seconds=grant.expires_in_s),
        )
        if grant.refresh_token:
            new = replace(
                new,
                refresh_token=self._vault.encrypt(
                    grant.refresh_token, store_code=self._store_code, kind=self._table.refresh
                ),
            )
        if grant.refresh_expires_in_s is not None:
            new = replace(
                new, refresh_expires_at=now + timedelta(seconds=grant.refresh_expires_in_s)
            )
        return new

    def _decrypt_access(self, tokens: StoredTokens) -> str:
        return self._vault.decrypt(
            tokens.access_token, store_code=self._store_code, kind=self._table.access
        )

    def _require_consent(self, tokens: StoredTokens) -> None:
        if tokens.of_other_account and self._of_other_account_too:
            return
        if tokens.status == "needs_consent":
            raise NeedsConsentError(tokens.status_reason or "The store must be connected again.")


def _explained(error: NeedsConsentError, claim: Claim, now: datetime) -> NeedsConsentError | None:
    """The refusal with its cause, if we know it; ``None`` = only TikTok knows."""
    if error.explained:
        return error
    if claim.lost_at is not None:
        return answer_lost(error, claim.lost_at)
    ends_at = claim.tokens.refresh_expires_at
    if ends_at is not None and ends_at <= now:
        message = (
            f"The consent ended on {ends_at.astimezone(timezone.utc):%Y-%m-%d} (TikTok limits how"
            " long one lasts). The store's manager must connect the account again."
        )
        return NeedsConsentError(message, detail=error.detail, log_id=error.log_id)
    return None
