"""What both consents share: unusable tokens, encryption for a store, giving an access back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Generic, Protocol, TypeVar

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from include.connect.database import Account, SealedTokens
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import RetriableError, SyncError
from include.tiktok_sync.tiktok.http import HttpTransport, Timeouts
from include.tiktok_sync.tiktok.models import BASIC_SCOPE
from include.tiktok_sync.tiktok.oauth import TokenGrant
from include.tiktok_sync.tokens.scopes import split_scope
from include.tiktok_sync.tokens.vault import TokenKind, TokenVault

log = structlog.get_logger(__name__)

TIMEOUTS = Timeouts(connect_s=5, read_s=10)  # a person waits

T = TypeVar("T")


class NoAccessError(SyncError):
    """TikTok's tokens are unusable: they lack the basic permission, or cannot be refreshed."""

    kind = "no_access"


@dataclass(frozen=True)
class GrantedConsent:
    """The result of exchanging a code.

    ``problem``: Why TikTok did not tell the account's names; its ``open_id`` is known all the same.
    """

    account: Account
    sealed: SealedTokens
    problem: SyncError | None = None


class Revoker(Protocol):
    """What ends a grant at TikTok."""

    def revoke(self, access_token: str) -> None:
        """End the whole grant that a living access token belongs to."""


OAuth = TypeVar("OAuth", bound=Revoker)


class Consent(ABC, Generic[OAuth]):
    """Sends browsers to TikTok and exchanges the codes they return with.

    Args:
        token_keys: Fernet keys, the first encrypts.
        app_fingerprint: Names the app that TikTok gives the tokens to.
    """

    kinds: ClassVar[tuple[TokenKind, TokenKind]]
    """Access and refresh token, as the vault seals them."""

    def __init__(self, token_keys: tuple[str, ...], app_fingerprint: str) -> None:
        self._vault = TokenVault(token_keys)
        self._app_fingerprint = app_fingerprint

    @abstractmethod
    def authorize_url(self, state: str, verifier: str) -> str:
        """TikTok's consent page for a state; also shown to a manager who has consented before."""

    @abstractmethod
    def exchange(self, code: str, verifier: str, store_code: str) -> GrantedConsent:
        """Exchange a code, ask whose account it is, and encrypt the tokens for one store.

        Raises:
            NoAccessError: The tokens are unusable.
            SyncError: TikTok refused the code or the app, did not answer, or did not say whose
                tokens these are. No grant is left.
        """

    def revoke(self, access_token: bytes, store_code: str) -> None:
        """Revoke an unwanted grant at TikTok; if TikTok refuses, that is only logged."""
        token = self._vault.decrypt(access_token, store_code=store_code, kind=self.kinds[0])
        with self._oauth() as (_, oauth):
            self._revoke(oauth, token, store_code)

    @abstractmethod
    def _oauth(self) -> AbstractContextManager[tuple[HttpTransport, OAuth]]:
        """Ask TikTok with this consent's own client."""

    @contextmanager
    def _given_back_on_error(
        self, oauth: OAuth, grant: TokenGrant, store_code: str
    ) -> Iterator[None]:
        """Revoke a grant that cannot be stored: nobody would know of it afterwards."""
        try:
            yield
        except SyncError:
            self._revoke(oauth, grant.access_token, store_code)
            raise

    @staticmethod
    def _usable(grant: TokenGrant) -> str:
        """The granted scopes, in one order.

        Raises:
            NoAccessError: The tokens are unusable.
        """
        scopes = split_scope(grant.scope or "")
        if BASIC_SCOPE not in scopes or not grant.refresh_token:
            message = "TikTok's tokens are unusable: no basic permission, or no refresh token."
            raise NoAccessError(message)
        return ",".join(sorted(scopes))

    @staticmethod
    def _revoke(oauth: OAuth, token: str, store_code: str) -> None:
        try:
            oauth.revoke(token)
        except SyncError as error:
            # The tokens are discarded in any case; only an entry at TikTok remains.
            log.warning(
                "connect.revoke_failed",
                store_code=store_code,
                reason=str(error),
                detail=error.detail,
            )

    def _consent(
        self, grant: TokenGrant, account: Account, store_code: str, problem: SyncError | None
    ) -> GrantedConsent:
        now, ends_in = utc_now(), grant.refresh_expires_in_s
        access, refresh = self.kinds
        sealed = SealedTokens(
            access_token=self._vault.encrypt(
                grant.access_token, store_code=store_code, kind=access
            ),
            access_expires_at=now + timedelta(seconds=grant.expires_in_s),
            refresh_token=self._vault.encrypt(
                grant.refresh_token or "", store_code=store_code, kind=refresh
            ),
            refresh_expires_at=None if ends_in is None else now + timedelta(seconds=ends_in),
            app_fingerprint=self._app_fingerprint,
        )
        return GrantedConsent(account, sealed, problem)


def patiently(ask: Callable[[], T]) -> T:
    """Ask TikTok for the account, again if that can help: the code is used up by now."""
    retry = Retrying(
        retry=retry_if_exception_type(RetriableError),
        stop=stop_after_attempt(3),
        wait=wait_fixed(1),
        reraise=True,
    )
    return retry(ask)
