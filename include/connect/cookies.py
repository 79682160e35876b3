"""Which browser is this, and did its form come from our page? One cookie, signed form tokens."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta
from uuid import UUID

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from include.connect.settings import ConnectSettings
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.links.connect_links import hash_of

ATTEMPT_SECONDS = 1_800
"""Time from leaving for TikTok to the last answer; a manager may have to look for the password."""

_COOKIE_SECONDS = 86_400
_FORM_SECONDS = 4 * 3_600
_NAMES_COOKIE = "connect-names"
_NAME = 100
"""Characters of a name that are shown: a cookie holds 4 KB."""


class BrowserCookies:
    """Cookies, form tokens and OAuth states of one app.

    Args:
        settings: Secret, and whether the app is reached over TLS.
    """

    def __init__(self, settings: ConnectSettings) -> None:
        self._secret = settings.secret.encode()
        self._is_https = settings.is_https
        # Browsers accept a __Host- cookie only over TLS, and from no other host of the domain.
        self.cookie = "__Host-connect" if settings.is_https else "connect"
        self.attempt_life = timedelta(seconds=ATTEMPT_SECONDS)
        self._forms = self._serializer(settings, "connect-form")
        self._states: dict[Api, URLSafeTimedSerializer] = {
            "display": self._serializer(settings, "connect-state"),
            "business": self._serializer(settings, "connect-business-state"),
        }
        self._names = self._serializer(settings, "connect-names")

    @staticmethod
    def _serializer(settings: ConnectSettings, salt: str) -> URLSafeTimedSerializer:
        kwargs = {"digest_method": hashlib.sha256}
        return URLSafeTimedSerializer(settings.secret, salt=salt, signer_kwargs=kwargs)

    def read(self, request: Request) -> str | None:
        """The value of the browser's cookie."""
        return request.cookies.get(self.cookie) or None

    def new(self) -> str:
        """A new value for the cookie."""
        return secrets.token_urlsafe(32)

    def write(self, response: Response, browser: str) -> None:
        """Set the cookie. Lax: it must be sent when TikTok sends the browser back."""
        response.set_cookie(
            self.cookie,
            browser,
            max_age=_COOKIE_SECONDS,
            path="/",
            secure=self._is_https,
            httponly=True,
            samesite="lax",
        )

    def form_token(self, browser: str, form: str, notice: str | None) -> str:
        """The token our page puts into a form, so that no other site can send the form.

        Args:
            browser: Whose form.
            form: Its purpose.
            notice: Version of the privacy notice that was shown with it or before; ``None`` = none.
        """
        return str(self._forms.dumps([hash_of(browser).hex(), form, notice]))

    def is_own_form(self, token: str, browser: str | None, form: str) -> bool:
        """Whether a form was made by us, for this browser and this purpose."""
        signed = self._signed_form(token)
        return browser is not None and signed[:2] == [hash_of(browser).hex(), form]

    def notice_of_form(self, token: str) -> str | None:
        """Which privacy notice its reader had been shown; ``None`` = none, or not our form."""
        signed = self._signed_form(token)
        return signed[2] if len(signed) > 2 else None  # noqa: PLR2004 - the third part of it

    def _signed_form(self, token: str) -> list[str | None]:
        try:
            signed: list[str | None] = self._forms.loads(token, max_age=_FORM_SECONDS)
        except BadData:
            return []
        return signed

    def new_state(self, api: Api, store_code: str) -> str:
        """An OAuth state: signed, random, for one store and one API."""
        return str(self._states[api].dumps([store_code, secrets.token_urlsafe(24)]))

    def store_of_state(self, api: Api, state: str, *, of_any_age: bool = False) -> str | None:
        """The store that a state was made for; ``None`` = forged, the other API's or too old."""
        try:
            max_age = None if of_any_age else ATTEMPT_SECONDS
            store_code, _ = self._states[api].loads(state, max_age=max_age)
        except (BadData, ValueError, TypeError):
            return None
        return str(store_code)

    def remember_names(
        self, response: Response, attempt_id: UUID, names: tuple[str | None, str | None]
    ) -> None:
        """Keep the names of an unexpected account in a cookie of this browser, and nowhere else.

        Args:
            response: Gets the cookie, which lasts as long as the attempt could.
            attempt_id: The attempt whose page shows them.
            names: Username and display name, as far as TikTok sent them.
        """
        response.set_cookie(
            _NAMES_COOKIE,
            str(self._names.dumps([str(attempt_id), *(name and name[:_NAME] for name in names)])),
            max_age=ATTEMPT_SECONDS,
            path=f"/attempts/{attempt_id}",
            secure=self._is_https,
            httponly=True,
            samesite="lax",
        )

    def names(self, request: Request, attempt_id: UUID) -> tuple[str | None, str | None] | None:
        """The names from :meth:`remember_names`; ``None`` = none for this attempt, or expired."""
        try:
            of, username, display_name = self._names.loads(
                request.cookies.get(_NAMES_COOKIE, ""), max_age=ATTEMPT_SECONDS
            )
        except (BadData, ValueError, TypeError):
            return None
        return (username, display_name) if of == str(attempt_id) else None

    def code_verifier(self, state: str) -> str:
        """PKCE's secret for an attempt. It is derived, so it need not be stored.

        The state alone is not enough to derive it. 43 characters of A-Z a-z 0-9 - _ (RFC 7636).
        """
        digest = hmac.new(self._secret, b"pkce " + state.encode(), hashlib.sha256).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


def code_challenge(verifier: str) -> str:
    """Hex SHA-256, as TikTok wants it, not RFC 7636's base64url (page Login Kit for Desktop)."""
    return hashlib.sha256(verifier.encode()).hexdigest()
