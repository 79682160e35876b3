"""Which settings does the environment give the connect app? Checked once, each named if wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.links.connect_links import check_secret
from include.tiktok_sync.settings import DEFAULT_API_URL
from include.tiktok_sync.tiktok.models import BASIC_SCOPE, KNOWN_SCOPES
from include.tiktok_sync.tokens.store import split_scope
from include.tiktok_sync.tokens.vault import TokenVault

DEFAULT_AUTHORIZE_URL = "https://www.tiktok.com/v2/auth/authorize/"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8092
CALLBACK_PATH = "/callback"
WEBHOOK_PATH = "/webhooks/tiktok"
HEALTH_PATH = "/health"

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class ConnectSettings:
    """Everything the connect app is told.

    Attributes:
        base_url: Its address from outside (``CONNECT_BASE_URL``), without a trailing slash.
        host: Where it listens (``CONNECT_HOST``): 127.0.0.1, but in a container of its own.
        port: There (``CONNECT_PORT``); a reverse proxy with TLS stands in front.
        db_url: libpq URL with the app's own role (``CONNECT_DB_URL``).
        secret: Signs links, states and forms (``CONNECT_SECRET``).
        token_keys: Fernet keys, the first encrypts (``TIKTOK_TOKEN_KEYS``).
        client_key: The TikTok app's key.
        client_secret: The TikTok app's secret; also signs TikTok's webhooks.
        api_url: TikTok's API (``TIKTOK_API_URL``).
        authorize_url: TikTok's consent page (``CONNECT_AUTHORIZE_URL``).
        scopes: What is asked for (``CONNECT_SCOPES``); TikTok refuses the whole request for one
            that the app was not approved for.
        retailer: Who asks, as managers know it (``CONNECT_RETAILER_NAME``).
        contact: Whom a manager may ask (``CONNECT_CONTACT``); empty = not shown.
        trusted_proxies: Addresses whose ``X-Forwarded-For`` is believed, comma-separated
            (``CONNECT_TRUSTED_PROXIES``).
    """

    base_url: str
    host: str
    port: int
    db_url: str = field(repr=False)
    secret: str = field(repr=False)
    token_keys: tuple[str, ...] = field(repr=False)
    client_key: str
    client_secret: str = field(repr=False)
    api_url: str
    authorize_url: str
    scopes: frozenset[str]
    retailer: str
    contact: str
    trusted_proxies: str

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the app over TLS."""
        return self.base_url.startswith("https://")

    @property
    def redirect_uri(self) -> str:
        """Where TikTok sends the browser back to; registered at TikTok to the letter."""
        return self.base_url + CALLBACK_PATH

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> ConnectSettings:
        """Read and check the variables.

        Raises:
            ConfigurationError: One is missing or cannot be used; the message names it.
        """
        keys = tuple(key.strip() for key in _required(env, "TIKTOK_TOKEN_KEYS").split(",") if key)
        TokenVault(keys)
        return cls(
            base_url=_origin(_required(env, "CONNECT_BASE_URL")),
            host=env.get("CONNECT_HOST") or DEFAULT_HOST,
            port=_port(env.get("CONNECT_PORT") or str(DEFAULT_PORT)),
            db_url=_required(env, "CONNECT_DB_URL"),
            secret=check_secret(env.get("CONNECT_SECRET", "")),
            token_keys=keys,
            client_key=_required(env, "TIKTOK_CLIENT_KEY"),
            client_secret=_required(env, "TIKTOK_CLIENT_SECRET"),
            api_url=(env.get("TIKTOK_API_URL") or DEFAULT_API_URL).rstrip("/"),
            authorize_url=env.get("CONNECT_AUTHORIZE_URL") or DEFAULT_AUTHORIZE_URL,
            scopes=_scopes(env.get("CONNECT_SCOPES", "")),
            retailer=_required(env, "CONNECT_RETAILER_NAME"),
            contact=env.get("CONNECT_CONTACT", "").strip(),
            trusted_proxies=env.get("CONNECT_TRUSTED_PROXIES") or "127.0.0.1",
        )


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        message = f"{name} is not set. Set it in the environment and start the connect app again."
        raise ConfigurationError(message)
    return value


def _scopes(text: str) -> frozenset[str]:
    scopes = split_scope(text) or KNOWN_SCOPES
    if not {BASIC_SCOPE} <= scopes <= KNOWN_SCOPES:
        message = (
            f"CONNECT_SCOPES must hold {BASIC_SCOPE}, and beside it only some of"
            f" {', '.join(sorted(KNOWN_SCOPES))}, not {text!r}."
        )
        raise ConfigurationError(message)
    return scopes


def _origin(url: str) -> str:
    parts = urlsplit(url)
    bare = parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not (bare and safe and parts.hostname):
        message = (
            f"CONNECT_BASE_URL must be https:// and a host name without a path, not {url!r}"
            " (http:// only for 127.0.0.1)."
        )
        raise ConfigurationError(message)
    return f"{parts.scheme}://{parts.netloc}"


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 <= int(text) <= 65_535):  # noqa: PLR2004 - the last port
        message = f"CONNECT_PORT must be a port number, not {text!r}."
        raise ConfigurationError(message)
    return int(text)
