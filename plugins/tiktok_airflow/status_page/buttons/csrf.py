"""Did this form come from our page, shown to this user? Signed tokens and where a request is from.

The UI's login cookie comes along with every form of the same site, so a button needs more: a token
signed for the user and for a cookie of our own, and a browser that says that the form was ours.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer

SESSION_COOKIE = "tiktok_sync_session"
LIFETIME = timedelta(hours=12)


class CsrfError(Exception):
    """The form is not to be trusted; the message says what the person can do."""


class CsrfGuard:
    """Makes and checks tokens.

    Args:
        secret: Of Airflow's API server, the same in each of its processes.
    """

    def __init__(self, secret: str) -> None:
        self._signer = URLSafeTimedSerializer(secret, salt="tiktok-sync.status-page.csrf")

    @staticmethod
    def new_session() -> str:
        """A value for :data:`SESSION_COOKIE`."""
        return secrets.token_urlsafe(18)

    def token(self, user_id: str, session: str) -> str:
        """For a form that is shown to this user in this browser."""
        return str(self._signer.dumps([user_id, session]))

    def check(self, token: str, user_id: str, session: str | None) -> None:
        """Refuse a form of another user or browser, or an old one.

        Raises:
            CsrfError: It is one.
        """
        try:
            signed = self._signer.loads(token, max_age=int(LIFETIME.total_seconds()))
        except BadSignature as error:
            message = "This page is too old. Load it again, then press the button once more."
            raise CsrfError(message) from error
        if not session or signed != [user_id, session]:
            message = (
                "This form was made for another login or browser window. Load the page again, then"
                " press the button once more."
            )
            raise CsrfError(message)


def check_origin(headers: Mapping[str, str], own_origins: set[str]) -> None:
    """Refuse a form that another site sent.

    Browsers say where a form is from in ``Sec-Fetch-Site``; over plain HTTP only in ``Origin``.

    Raises:
        CsrfError: It is from elsewhere, or the browser does not say.
    """
    site = headers.get("sec-fetch-site")
    if site == "same-origin":
        return
    if site is None and _origin(headers.get("origin", "")) in own_origins:
        return
    message = "The request did not come from this page, so nothing was done."
    raise CsrfError(message)


def origin_of(url: str) -> str:
    """``scheme://host:port`` of a URL."""
    return _origin(url) or ""


def _origin(url: str) -> str | None:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme and parts.netloc else None
