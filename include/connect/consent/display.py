"""A consent to the Display API: where to send the browser, and which tokens its code gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlencode

import structlog

from include.connect.consent.base import TIMEOUTS, Consent, GrantedConsent, patiently
from include.connect.cookies import code_challenge
from include.connect.database import Account
from include.connect.settings import ConnectSettings
from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.errors import SyncError, TikTokUnavailableError
from include.tiktok_sync.tiktok.http import HttpTransport
from include.tiktok_sync.tiktok.models import USER_FIELD_SCOPES, UserProfile
from include.tiktok_sync.tiktok.oauth import OAuthClient, TokenGrant
from include.tiktok_sync.tokens.scopes import split_scope

log = structlog.get_logger(__name__)

_IDENTITY = ("open_id", "union_id", "display_name", "username")


class DisplayConsent(Consent[OAuthClient]):
    """Consents to the Display API.

    Args:
        settings: App, addresses and keys.
    """

    kinds = ("access", "refresh")

    def __init__(self, settings: ConnectSettings) -> None:
        self._settings = settings
        self._app = TikTokApp(
            settings.api_url, settings.client_key, settings.client_secret, TIMEOUTS
        )
        super().__init__(settings.token_keys, self._app.fingerprint)

    def authorize_url(self, state: str, verifier: str) -> str:
        """See the base class."""
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
        """See the base class."""
        with self._oauth() as (http, oauth):
            grant = oauth.exchange(
                code, redirect_uri=self._settings.redirect_uri, code_verifier=verifier
            )
            with self._given_back_on_error(oauth, grant, store_code):
                scope = self._usable(grant)
                account, problem = _account(http, grant, scope)
        return self._consent(grant, account, store_code, problem)

    @contextmanager
    def _oauth(self) -> Iterator[tuple[HttpTransport, OAuthClient]]:
        with self._app.transport() as http:
            yield http, self._app.oauth(http)


def _account(
    http: HttpTransport, grant: TokenGrant, scope: str
) -> tuple[Account, SyncError | None]:
    """Whose tokens they are; without a name, and why, if TikTok sends none: the code is used up."""
    fields = [name for name in _IDENTITY if USER_FIELD_SCOPES[name] in split_scope(scope)]
    problem = None
    try:
        profile = patiently(partial(_profile, http, grant.access_token, fields))
    except SyncError as error:
        if grant.open_id is None:
            raise
        log.warning("connect.no_profile", reason=str(error), detail=error.detail)
        profile, problem = UserProfile(), error
    open_id = grant.open_id or profile.open_id
    if open_id is None:
        message = "TikTok did not say whose tokens these are."
        raise TikTokUnavailableError(message)
    names = (profile.union_id, profile.username, profile.display_name)
    return Account(open_id, *names, scope), problem


def _profile(http: HttpTransport, token: str, fields: list[str]) -> UserProfile:
    answer = http.send("GET", "/v2/user/info/", token=token, params={"fields": ",".join(fields)})
    data = (answer.body or {}).get("data")
    user = data.get("user") if isinstance(data, dict) else None
    if not isinstance(user, dict):
        message = "TikTok did not say which account it is."
        raise TikTokUnavailableError(message, detail=f"user/info: HTTP {answer.status}")
    return UserProfile.from_api(user)
