"""Which settings does the environment give the connect app? Checked once, each named if wrong."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

from include.tiktok_sync.links.connect_links import check_secret
from include.tiktok_sync.settings import (
    DEFAULT_API_URL,
    BaseUrl,
    Stripped,
    Texts,
    WholeNumber,
    variable,
)
from include.tiktok_sync.store_db.retention import RetentionSettings
from include.tiktok_sync.tiktok.models import BASIC_SCOPE, KNOWN_SCOPES
from include.tiktok_sync.tokens.scopes import split_scope
from include.tiktok_sync.tokens.vault import TokenVault

DEFAULT_AUTHORIZE_URL = "https://www.tiktok.com/v2/auth/authorize/"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8092
CALLBACK_PATH = "/callback"
WEBHOOK_PATH = "/webhooks/tiktok"
HEALTH_PATH = "/health"
PRIVACY_PATH = "/privacy"

LONGEST_NOTICE_TEXT = 500
"""Characters of one text in the privacy notice, which a manager reads on a phone."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    TokenVault(keys)
    return keys


def _scopes(value: object) -> object:
    scopes = (split_scope(value) or KNOWN_SCOPES) if isinstance(value, str) else value
    if isinstance(scopes, frozenset) and not {BASIC_SCOPE} <= scopes <= KNOWN_SCOPES:
        raise ValueError
    return scopes


def _origin(url: str) -> str:
    parts = urlsplit(url)
    bare = parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not (bare and safe and parts.hostname):
        raise ValueError
    return f"{parts.scheme}://{parts.netloc}"


def _notice_text(text: str) -> str:
    if len(text) > LONGEST_NOTICE_TEXT or not text.isprintable():
        raise ValueError
    return text


def _policy_url(url: str) -> str:
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" and parts.hostname and not parts.username
    if url and not (is_safe and url.isprintable() and " " not in url):
        raise ValueError
    return url


NoticeText = Annotated[Stripped, AfterValidator(_notice_text)]
"""What the retailer says about itself in the privacy notice."""

_MUST_BE_TEXT = f"a text on one line, of at most {LONGEST_NOTICE_TEXT} characters"


class PrivacySettings(RetentionSettings):
    """What the privacy notice says of the retailer, and how long it may say that data are kept.

    Texts that are empty have a default, see :mod:`include.connect.notice`.

    Attributes:
        controller: Who is responsible, with the legal name and address (``PRIVACY_CONTROLLER``).
        purpose: What the data are used for (``PRIVACY_PURPOSE``).
        legal_basis: What allows it (``PRIVACY_LEGAL_BASIS``); empty = not mentioned.
        recipients: Who sees the data (``PRIVACY_RECIPIENTS``).
        privacy_contact: Whom to ask about them (``PRIVACY_CONTACT``).
        policy_url: Where the retailer's whole policy is (``PRIVACY_POLICY_URL``); empty = no link.
    """

    controller: Annotated[NoticeText, variable("PRIVACY_CONTROLLER", _MUST_BE_TEXT)] = ""
    purpose: Annotated[NoticeText, variable("PRIVACY_PURPOSE", _MUST_BE_TEXT)] = ""
    legal_basis: Annotated[NoticeText, variable("PRIVACY_LEGAL_BASIS", _MUST_BE_TEXT)] = ""
    recipients: Annotated[NoticeText, variable("PRIVACY_RECIPIENTS", _MUST_BE_TEXT)] = ""
    privacy_contact: Annotated[NoticeText, variable("PRIVACY_CONTACT", _MUST_BE_TEXT)] = ""
    policy_url: Annotated[
        Stripped,
        AfterValidator(_policy_url),
        variable("PRIVACY_POLICY_URL", "an https:// address"),
    ] = ""


class ConnectSettings(PrivacySettings):
    """The settings of the connect app.

    Attributes:
        base_url: Its public address (``CONNECT_BASE_URL``), without a trailing slash.
        host: Address it listens on (``CONNECT_HOST``): 127.0.0.1, except in its own container.
        port: Port it listens on (``CONNECT_PORT``), behind a reverse proxy with TLS.
        db_url: libpq URL with the app's own role (``CONNECT_DB_URL``).
        secret: Signs links, states and forms (``CONNECT_SECRET``).
        token_keys: Fernet keys, the first encrypts (``TIKTOK_TOKEN_KEYS``).
        client_key: The TikTok app's key.
        client_secret: The TikTok app's secret; also signs TikTok's webhooks.
        api_url: TikTok's API (``TIKTOK_API_URL``).
        authorize_url: TikTok's consent page (``CONNECT_AUTHORIZE_URL``).
        scopes: Scopes to request (``CONNECT_SCOPES``); TikTok refuses the whole request if the app
            was not approved for one of them.
        retailer: The retailer's name shown to managers (``CONNECT_RETAILER_NAME``).
        contact: Contact for managers' questions (``CONNECT_CONTACT``); empty = not shown.
        trusted_proxies: Addresses whose ``X-Forwarded-For`` is trusted, comma-separated
            (``CONNECT_TRUSTED_PROXIES``).
    """

    base_url: Annotated[
        Stripped,
        AfterValidator(_origin),
        variable(
            "CONNECT_BASE_URL",
            "https:// and a host name without a path (http:// only for 127.0.0.1)",
        ),
    ]
    host: Annotated[str, variable("CONNECT_HOST")] = DEFAULT_HOST
    port: Annotated[WholeNumber, variable("CONNECT_PORT", "a port number", le=65_535)] = (
        DEFAULT_PORT
    )
    db_url: Annotated[Stripped, variable("CONNECT_DB_URL", secret=True)]
    secret: Annotated[
        str, AfterValidator(check_secret), variable("CONNECT_SECRET", secret=True)
    ] = ""
    token_keys: Annotated[Texts, AfterValidator(_keys), variable("TIKTOK_TOKEN_KEYS", secret=True)]
    client_key: Annotated[Stripped, variable("TIKTOK_CLIENT_KEY")]
    client_secret: Annotated[Stripped, variable("TIKTOK_CLIENT_SECRET", secret=True)]
    api_url: Annotated[BaseUrl, variable("TIKTOK_API_URL")] = DEFAULT_API_URL
    authorize_url: Annotated[str, variable("CONNECT_AUTHORIZE_URL")] = DEFAULT_AUTHORIZE_URL
    scopes: Annotated[
        frozenset[str],
        BeforeValidator(_scopes),
        variable(
            "CONNECT_SCOPES",
            f"{BASIC_SCOPE}, with any of {', '.join(sorted(KNOWN_SCOPES - {BASIC_SCOPE}))}",
        ),
    ] = KNOWN_SCOPES
    retailer: Annotated[Stripped, variable("CONNECT_RETAILER_NAME")]
    contact: Annotated[Stripped, variable("CONNECT_CONTACT")] = ""
    trusted_proxies: Annotated[str, variable("CONNECT_TRUSTED_PROXIES")] = "127.0.0.1"

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the app over TLS."""
        return self.base_url.startswith("https://")

    @property
    def redirect_uri(self) -> str:
        """Where TikTok sends the browser back to; registered at TikTok exactly like this."""
        return self.base_url + CALLBACK_PATH
