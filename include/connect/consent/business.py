"""A consent to the Accounts API: another app, other tokens, and no PKCE.

Source: business-api.tiktok.com, "Authorization" (1738083939371009) and "Authentication"
(1738084387220481).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlencode

from include.connect.consent.base import TIMEOUTS, Consent, GrantedConsent, patiently
from include.connect.database import Account
from include.connect.settings import ConnectSettings
from include.tiktok_sync.business.client import account_profile, business_transport
from include.tiktok_sync.business.models import PROFILE_SCOPES
from include.tiktok_sync.business.oauth import BusinessOAuth
from include.tiktok_sync.errors import SyncError, TikTokUnavailableError
from include.tiktok_sync.tiktok.fingerprint import fingerprint_of
from include.tiktok_sync.tiktok.http import HttpTransport
from include.tiktok_sync.tokens.scopes import split_scope

_IDENTITY = ("display_name", "username")


class BusinessConsent(Consent[BusinessOAuth]):
    """Consents to the Accounts API.

    Args:
        settings: App, addresses and keys.
    """

    kinds = ("business_access", "business_refresh")

    def __init__(self, settings: ConnectSettings) -> None:
        self._settings = settings
        super().__init__(settings.token_keys, fingerprint_of(settings.business_app_id))

    def authorize_url(self, state: str, verifier: str) -> str:  # noqa: ARG002 - no PKCE here
        """See the base class."""
        query = {
            "client_key": self._settings.business_app_id,
            "scope": ",".join(sorted(self._settings.business_scopes)),
            "response_type": "code",
            "redirect_uri": self._settings.business_redirect_uri,
            "state": state,
            "disable_auto_auth": "1",
        }
        return f"{self._settings.authorize_url}?{urlencode(query)}"

    def exchange(self, code: str, verifier: str, store_code: str) -> GrantedConsent:  # noqa: ARG002 - no PKCE here
        """See the base class."""
        with self._oauth() as (http, oauth):
            grant = oauth.exchange(code, redirect_uri=self._settings.business_redirect_uri)
            with self._given_back_on_error(oauth, grant, store_code):
                scope = self._usable(grant)
                if grant.open_id is None:
                    message = "TikTok did not say whose tokens these are."
                    raise TikTokUnavailableError(message)
            granted = split_scope(scope)
            fields = [name for name in _IDENTITY if PROFILE_SCOPES[name] in granted]
            ask = partial(account_profile, http, grant.access_token, grant.open_id, fields)
            try:
                profile, problem = patiently(ask), None
            except SyncError as error:
                profile, problem = None, error
        names = (profile.username, profile.display_name) if profile else (None, None)
        account = Account(grant.open_id, None, *names, scope)
        return self._consent(grant, account, store_code, problem)

    @contextmanager
    def _oauth(self) -> Iterator[tuple[HttpTransport, BusinessOAuth]]:
        http = business_transport(self._settings.business_url, TIMEOUTS)
        try:
            yield (
                http,
                BusinessOAuth(
                    http, self._settings.business_app_id, self._settings.business_secret, TIMEOUTS
                ),
            )
        finally:
            http.close()
