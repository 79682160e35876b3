"""Which settings does the environment give the connect app? Checked once, each named if wrong."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, model_validator
from typing_extensions import Self

from include.tiktok_sync.business.models import BUSINESS_SCOPES
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.links.connect_links import check_secret
from include.tiktok_sync.settings import (
    DEFAULT_API_URL,
    DEFAULT_BUSINESS_URL,
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
BUSINESS_CALLBACK_PATH = "/business/callback/"
"""TikTok registers only addresses that end with a slash (API for Business, "Authorization")."""

BUSINESS_WEBHOOK_PATH = "/business/webhook"
HEALTH_PATH = "/health"
PRIVACY_PATH = "/privacy"

LONGEST_NOTICE_TEXT = 500
"""Characters of one text in the privacy notice, which a manager reads on a phone."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    TokenVault(keys)
    return keys


def _scopes_of(known: frozenset[str]) -> BeforeValidator:
    def checked(value: object) -> object:
        scopes = (split_scope(value) or known) if isinstance(value, str) else value
        if isinstance(scopes, frozenset) and not {BASIC_SCOPE} <= scopes <= known:
            raise ValueError
        return scopes

    return BeforeValidator(checked)


def _some_of(known: frozenset[str]) -> str:
    return f"{BASIC_SCOPE}, with any of {', '.join(sorted(known - {BASIC_SCOPE}))}"


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
        business_app_id: The app for the Accounts API (``TIKTOK_BUSINESS_APP_ID``); empty = managers
            are not asked for it.
        business_secret: Its secret (``TIKTOK_BUSINESS_SECRET``); also signs its webhooks.
        business_url: The Accounts API (``TIKTOK_BUSINESS_URL``).
        business_scopes: Scopes to request for it (``CONNECT_BUSINESS_SCOPES``).
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
        _scopes_of(KNOWN_SCOPES),
        variable("CONNECT_SCOPES", _some_of(KNOWN_SCOPES)),
    ] = KNOWN_SCOPES
    business_app_id: Annotated[Stripped, variable("TIKTOK_BUSINESS_APP_ID")] = ""
    business_secret: Annotated[Stripped, variable("TIKTOK_BUSINESS_SECRET", secret=True)] = ""
    business_url: Annotated[BaseUrl, variable("TIKTOK_BUSINESS_URL")] = DEFAULT_BUSINESS_URL
    business_scopes: Annotated[
        frozenset[str],
        _scopes_of(BUSINESS_SCOPES),
        variable("CONNECT_BUSINESS_SCOPES", _some_of(BUSINESS_SCOPES)),
    ] = BUSINESS_SCOPES
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

    @property
    def business_redirect_uri(self) -> str:
        """The same for the Accounts API's app."""
        return self.base_url + BUSINESS_CALLBACK_PATH

    @property
    def apis(self) -> tuple[Api, ...]:
        """Which of TikTok's APIs managers are asked for."""
        return ("display", "business") if self.business_app_id else ("display",)

    def wanted(self, api: Api) -> frozenset[str]:
        """The scopes to request for an API."""
        return self.business_scopes if api == "business" else self.scopes

    @model_validator(mode="after")
    def _need_both_parts(self) -> Self:
        if bool(self.business_app_id) != bool(self.business_secret):
            missing = "SECRET" if self.business_app_id else "APP_ID"
            message = (
                f"TIKTOK_BUSINESS_{missing} is not set. Set both TIKTOK_BUSINESS_APP_ID and"
                " TIKTOK_BUSINESS_SECRET, or neither: then managers are not asked for the Accounts"
                " API."
            )
            raise ValueError(message)
        return self
