"""Who am I? A valid access token for one store, refreshed by exactly one process at a time.

Refresh tokens rotate and the old one dies at once (developers.tiktok.com, "Refresh a user access
token", Nov 2026), so a refresh happens under the row lock of the store, after reading again, and
the new pair is committed before it is first used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from include.tiktok_sync.audit import record_grant_move
from include.tiktok_sync.errors import NeedsConsentError, SyncError, TikTokUnavailableError
from include.tiktok_sync.oauth import OAuthClient, TokenGrant, answer_lost
from include.tiktok_sync.snapshot import utc_now
from include.tiktok_sync.token_store import StoredTokens, TokenStore, status_for_scope
from include.tiktok_sync.vault import TokenVault

EXPIRY_MARGIN = timedelta(minutes=5)
"""Refresh this long before the end, so that a token does not die between check and use."""


class TokenSource:
    """Access tokens of one store.

    Args:
        store_code: Which store.
        store: Its row.
        vault: Decrypts and encrypts.
        oauth: Refreshes.
        now: The clock, for tests.
    """

    def __init__(
        self,
        store_code: str,
        *,
        store: TokenStore,
        vault: TokenVault,
        oauth: OAuthClient,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store_code = store_code
        self._store = store
        self._vault = vault
        self._oauth = oauth
        self._now = now
        self._tokens: StoredTokens | None = None
        self.refreshes = 0

    @property
    def scopes(self) -> frozenset[str]:
        """What the store's manager granted; read off a fresh token answer if one is due anyway.

        Raises:
            See :meth:`access_token`.
        """
        return self._valid().scopes

    def access_token(self) -> str:
        """A token that is valid for some minutes yet; refreshed if need be.

        Raises:
            NeedsConsentError: The grant is dead, as known before or as TikTok just said.
            RetriableError: TikTok or the database is in trouble; nothing was marked.
            ConfigurationError: Wrong keys or app credentials.
        """
        return self._decrypt_access(self._valid())

    def ensure_valid_for(self, life: timedelta) -> datetime | None:
        """Refresh now what would end within ``life``.

        Returns:
            When the access token ends; ``None`` if TikTok did not say.

        Raises:
            See :meth:`access_token`.
        """
        return self._valid(life).access_expires_at

    def is_valid_for(self, life: timedelta) -> bool:
        """Whether the stored token lasts so long; nothing is refreshed.

        Raises:
            NeedsConsentError: The grant is known to be dead.
        """
        return not self._expiring(self._current(), life)

    def replace_rejected(self, rejected: str) -> str:
        """A token other than ``rejected``, which TikTok answered with ``access_token_invalid``.

        Raises:
            See :meth:`access_token`.
        """
        tokens = self._refresh(is_stale=lambda found: self._decrypt_access(found) == rejected)
        return self._decrypt_access(tokens)

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

    def _refresh(self, *, is_stale: Callable[[StoredTokens], bool]) -> StoredTokens:
        """Announce, commit, refresh, commit: each under the row lock and after reading again.

        A refresh whose answer was never stored (the process was killed, the answer was lost)
        leaves its announcement behind, so that the death of the grant can be explained.
        """
        conn, code = self._store.conn, self._store_code
        with conn.transaction():
            found = self._locked()
            if not is_stale(found):  # another process refreshed while we waited for the lock
                self._tokens = found
                return found
            self._store.begin_refresh(code)
        refused: SyncError | None = None
        with conn.transaction():
            tokens = self._locked()
            if is_stale(tokens):
                before = tokens.status
                try:
                    tokens = self._renewed(
                        tokens, self._oauth.refresh(self._decrypt_refresh(tokens))
                    )
                except TikTokUnavailableError:
                    raise  # the pair may have rotated all the same: the announcement stays
                except NeedsConsentError as error:
                    # The row is locked, so the stored token still is the one that was sent.
                    begun = found.refresh_started_at
                    refused = error if begun is None else answer_lost(error, begun)
                    self._store.mark(code, "needs_consent", refused.message)
                    record_grant_move(conn, code, before, "needs_consent", refused.message)
                except SyncError as error:
                    refused = error
                    self._store.end_refresh(code)
                else:
                    self._store.replace(tokens)
                    record_grant_move(conn, code, before, tokens.status)
                    self.refreshes += 1
        if refused is not None:
            raise refused
        self._tokens = tokens
        return tokens

    def _locked(self) -> StoredTokens:
        tokens = self._store.read(self._store_code, lock=True)
        self._require_consent(tokens)
        return tokens

    def _decrypt_refresh(self, tokens: StoredTokens) -> str:
        return self._vault.decrypt(
            tokens.refresh_token, store_code=self._store_code, kind="refresh"
        )

    def _renewed(self, old: StoredTokens, grant: TokenGrant) -> StoredTokens:
        now = self._now()
        scope = grant.scope or old.scope
        new = replace(
            old,
            open_id=grant.open_id or old.open_id,
            scope=scope,
            status=status_for_scope(scope),
            status_reason=None,
            access_token=self._vault.encrypt(
                grant.access_token, store_code=self._store_code, kind="access"
            ),
            access_expires_at=now + timedelta(seconds=grant.expires_in_s),
        )
        if grant.refresh_token:
            new = replace(
                new,
                refresh_token=self._vault.encrypt(
                    grant.refresh_token, store_code=self._store_code, kind="refresh"
                ),
            )
        if grant.refresh_expires_in_s is not None:
            new = replace(
                new, refresh_expires_at=now + timedelta(seconds=grant.refresh_expires_in_s)
            )
        return new

    def _decrypt_access(self, tokens: StoredTokens) -> str:
        return self._vault.decrypt(tokens.access_token, store_code=self._store_code, kind="access")

    @staticmethod
    def _require_consent(tokens: StoredTokens) -> None:
        if tokens.status == "needs_consent":
            raise NeedsConsentError(tokens.status_reason or "The store must be connected again.")
