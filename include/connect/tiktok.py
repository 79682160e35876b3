"""TikTok's side of a consent: where to send the browser, and which tokens its code gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlencode

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from include.connect.cookies import code_challenge
from include.connect.database import Account, SealedTokens
from include.connect.settings import ConnectSettings
from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import SyncError, TikTokUnavailableError
from include.tiktok_sync.tiktok.http import HttpTransport, Timeouts
from include.tiktok_sync.tiktok.models import BASIC_SCOPE, USER_FIELD_SCOPES, UserProfile
from include.tiktok_sync.tiktok.oauth import OAuthClient, TokenGrant
from include.tiktok_sync.tokens.scopes import split_scope
from include.tiktok_sync.tokens.vault import TokenVault

log = structlog.get_logger(__name__)

_IDENTITY = ("open_id", "union_id", "display_name", "username")
_TIMEOUTS = Timeouts(connect_s=5, read_s=10)  # a person waits


class NoAccessError(SyncError):
    """TikTok's tokens are unusable: they lack the basic permission, or cannot be refreshed."""

    kind = "no_access"


@dataclass(frozen=True)
class GrantedConsent:
    """The result of exchanging a code. ``access_token`` is for revoking only; use ``sealed``."""

    account: Account
    sealed: SealedTokens
    access_token: str = field(repr=False)


class TikTokConsent:
    """Sends browsers to TikTok and exchanges the codes they return with.

    Args:
        settings: App, addresses and keys.
    """

    def __init__(self, settings: ConnectSettings) -> None:
        self._settings = settings
        self._vault = TokenVault(settings.token_keys)
        self._app = TikTokApp(
            settings.api_url, settings.client_key, settings.client_secret, _TIMEOUTS
        )

    def authorize_url(self, state: str, verifier: str) -> str:
        """TikTok's consent page for a state; also shown to a manager who has consented before."""
        query = {
            "client_key": self._settings.client_key,
            "scope": ",".join(sorted(self._settings.scopes)),
            "response_type": "code",
            "redirect_uri": self._settings.redirect_uri,
            "state": state,
            "disable_auto_auth": "1",
            "code_challenge": code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        return f"{self._settings.authorize_url}?{urlencode(query)}"

    def exchange(self, code: str, verifier: str, store_code: str) -> GrantedConsent:
        """Exchange a code, ask whose account it is, and encrypt the tokens for one store.

        Raises:
            NoAccessError: The tokens are unusable.
            SyncError: TikTok refused the code or the app, or did not answer.
        """
        with self._oauth() as (http, oauth):
            grant = oauth.exchange(
                code, redirect_uri=self._settings.redirect_uri, code_verifier=verifier
            )
            scope = ",".join(sorted(split_scope(grant.scope or "")))
            if BASIC_SCOPE not in split_scope(scope) or not grant.refresh_token:
                self._revoke(oauth, grant.access_token, store_code)
                message = "TikTok's tokens are unusable: no basic permission, or no refresh token."
                raise NoAccessError(message)
            account = _account(http, grant, scope)
        return GrantedConsent(account, self._sealed(grant, store_code), grant.access_token)

    def revoke(self, access_token: bytes, store_code: str) -> None:
        """Revoke an unwanted grant at TikTok; if TikTok refuses, that is only logged."""
        token = self._vault.decrypt(access_token, store_code=store_code, kind="access")
        with self._oauth() as (_, oauth):
            self._revoke(oauth, token, store_code)

    @staticmethod
    def _revoke(oauth: OAuthClient, token: str, store_code: str) -> None:
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

    @contextmanager
    def _oauth(self) -> Iterator[tuple[HttpTransport, OAuthClient]]:
        with self._app.transport() as http:
            yield http, self._app.oauth(http)

    def _sealed(self, grant: TokenGrant, store_code: str) -> SealedTokens:
        now, ends_in = utc_now(), grant.refresh_expires_in_s
        return SealedTokens(
            access_token=self._vault.encrypt(
                grant.access_token, store_code=store_code, kind="access"
            ),
            access_expires_at=now + timedelta(seconds=grant.expires_in_s),
            refresh_token=self._vault.encrypt(
                grant.refresh_token or "", store_code=store_code, kind="refresh"
            ),
            refresh_expires_at=None if ends_in is None else now + timedelta(seconds=ends_in),
            app_fingerprint=self._app.fingerprint,
        )


def _account(http: HttpTransport, grant: TokenGrant, scope: str) -> Account:
    """Whose tokens they are, without a name if TikTok sends none: the code is used up by now."""
    fields = [name for name in _IDENTITY if USER_FIELD_SCOPES[name] in split_scope(scope)]
    retry = Retrying(
        retry=retry_if_exception_type(TikTokUnavailableError),
        stop=stop_after_attempt(3),
        wait=wait_fixed(1),
        reraise=True,
    )
    try:
        profile = retry(_profile, http, grant.access_token, fields)
    except SyncError as error:
        if grant.open_id is None:
            raise
        log.warning("connect.no_profile", reason=str(error), detail=error.detail)
        profile = UserProfile()
    open_id = grant.open_id or profile.open_id
    if open_id is None:
        message = "TikTok did not say whose tokens these are."
        raise TikTokUnavailableError(message)
    return Account(open_id, profile.union_id, profile.username, profile.display_name, scope)


def _profile(http: HttpTransport, token: str, fields: list[str]) -> UserProfile:
    answer = http.send("GET", "/v2/user/info/", token=token, params={"fields": ",".join(fields)})
    data = (answer.body or {}).get("data")
    user = data.get("user") if isinstance(data, dict) else None
    if not isinstance(user, dict):
        message = "TikTok did not say which account it is."
        raise TikTokUnavailableError(message, detail=f"user/info: HTTP {answer.status}")
    return UserProfile.from_api(user)
