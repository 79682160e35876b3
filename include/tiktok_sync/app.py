"""The apps of TikTok's two APIs: addresses and credentials, and the clients made from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from include.tiktok_sync.business.client import BusinessClient, business_transport
from include.tiktok_sync.business.oauth import BusinessOAuth
from include.tiktok_sync.business.rate_limit import AppPause, PostgresBusinessLimiter
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok.client import TikTokClient
from include.tiktok_sync.tiktok.fingerprint import fingerprint_of
from include.tiktok_sync.tiktok.http import HttpTransport, Timeouts
from include.tiktok_sync.tiktok.oauth import OAuthClient
from include.tiktok_sync.tiktok.rate_limit import PostgresRateLimiter
from include.tiktok_sync.tiktok.time_left import TimeLeft
from include.tiktok_sync.tokens.grant_table import BUSINESS
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore
from include.tiktok_sync.tokens.vault import TokenVault


@dataclass(frozen=True)
class TikTokApp:
    """Where TikTok is and who we are.

    Attributes:
        api_url: Base URL without a trailing slash.
        client_key: The app's key.
        client_secret: The app's secret.
        timeouts: Of every call.

    Raises:
        ConfigurationError: A part is empty.
    """

    api_url: str
    client_key: str
    client_secret: str = field(repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        """Refuse to work with half of the credentials."""
        for name, value in (("client key", self.client_key), ("client secret", self.client_secret)):
            if not value:
                message = (
                    f"The TikTok app's {name} is not set. Set it in the Airflow connection"
                    " tiktok_default (login = client key, password = client secret) or in"
                    " TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET."
                )
                raise ConfigurationError(message)

    @classmethod
    def from_settings(cls, settings: Settings) -> TikTokApp:
        """The app as the environment says.

        Raises:
            ConfigurationError: Key or secret is not set; the message names the variable.
        """
        return cls(
            settings.api_url, settings.required("client_key"), settings.required("client_secret")
        )

    @contextmanager
    def transport(self) -> Iterator[HttpTransport]:
        """One HTTP transport, closed at the end."""
        http = HttpTransport(self.api_url, self.timeouts)
        try:
            yield http
        finally:
            http.close()

    def oauth(self, http: HttpTransport) -> OAuthClient:
        """The token endpoint."""
        return OAuthClient(http, self.client_key, self.client_secret, self.timeouts)

    @property
    def fingerprint(self) -> str:
        """Names the app, see :mod:`include.tiktok_sync.tokens.grant_app`."""
        return fingerprint_of(self.client_key)

    def client(
        self,
        store_code: str,
        *,
        http: HttpTransport,
        conn: Connection,
        settings: Settings,
        time_left: TimeLeft | None = None,
        run: str | None = None,
    ) -> TikTokClient:
        """One store's client; tokens and rate limit live in the database behind ``conn``.

        Args:
            store_code: Which store.
            http: Transport to TikTok.
            conn: Autocommit connection.
            settings: Keys and limit.
            run: The run of several stores that it is part of; ``None`` = of none.
            time_left: What the store may take; ``None`` = as long as it takes.

        Raises:
            ConfigurationError: ``TIKTOK_TOKEN_KEYS`` is empty or wrong.
        """
        tokens = TokenSource(
            store_code,
            store=TokenStore(conn),
            vault=TokenVault(settings.token_keys),
            oauth=self.oauth(http),
            run=run,
        )
        time_left = time_left or TimeLeft()
        limiter = PostgresRateLimiter(conn, settings.rate_limit_per_minute, time_left=time_left)
        return TikTokClient(
            http,
            tokens=tokens,
            limiter=limiter,
            time_left=time_left,
            lanes=settings.video_lanes,
        )

    def check(self) -> None:
        """Prove the credentials at TikTok without touching a store.

        Raises:
            ConfigurationError: TikTok does not know the app.
            RetriableError: TikTok did not answer.
        """
        with self.transport() as http:
            self.oauth(http).check_app()


@dataclass(frozen=True)
class BusinessApp:
    """Where TikTok's Accounts API is and who we are there.

    Attributes:
        url: Base URL without a trailing slash.
        app_id: The app's id.
        secret: The app's secret.
        timeouts: Of every call.

    Raises:
        ConfigurationError: A part is empty.
    """

    url: str
    app_id: str
    secret: str = field(repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        """Refuse to work with half of the credentials."""
        for name, value in (("app id", self.app_id), ("secret", self.secret)):
            if not value:
                message = (
                    f"The {name} of the Accounts API app is not set. Set it in the Airflow"
                    " connection tiktok_business (login = app id, password = secret) or in"
                    " TIKTOK_BUSINESS_APP_ID and TIKTOK_BUSINESS_SECRET."
                )
                raise ConfigurationError(message)

    @classmethod
    def from_settings(cls, settings: Settings) -> BusinessApp:
        """The app as the environment says.

        Raises:
            ConfigurationError: Id or secret is not set; the message names the variable.
        """
        return cls(
            settings.business_url,
            settings.required("business_app_id"),
            settings.required("business_secret"),
        )

    @contextmanager
    def transport(self) -> Iterator[HttpTransport]:
        """One HTTP session, closed at the end."""
        http = business_transport(self.url, self.timeouts)
        try:
            yield http
        finally:
            http.close()

    def oauth(self, http: HttpTransport, *, pause: AppPause | None = None) -> BusinessOAuth:
        """The token endpoints; ``pause``: see there."""
        return BusinessOAuth(http, self.app_id, self.secret, self.timeouts, pause=pause)

    @property
    def fingerprint(self) -> str:
        """Names the app, see :mod:`include.tiktok_sync.tokens.grant_app`."""
        return fingerprint_of(self.app_id)

    def client(
        self,
        store_code: str,
        *,
        http: HttpTransport,
        conn: Connection,
        settings: Settings,
        time_left: TimeLeft | None = None,
        run: str | None = None,
    ) -> BusinessClient:
        """One store's client; arguments and errors as those of :meth:`TikTokApp.client`.

        Without a rate limit (``TIKTOK_RATE_LIMIT_PER_MINUTE=0``) its limits are lifted too.
        """
        time_left = time_left or TimeLeft()
        limiter = PostgresBusinessLimiter(
            conn,
            store_code,
            is_lifted=not settings.rate_limit_per_minute,
            time_left=time_left,
        )
        tokens = TokenSource(
            store_code,
            store=TokenStore(conn, BUSINESS),
            vault=TokenVault(settings.token_keys),
            oauth=self.oauth(http, pause=limiter),
            run=run,
        )
        return BusinessClient(
            http,
            tokens=tokens,
            limiter=limiter,
            time_left=time_left,
            category=settings.business_category or None,
        )

    def check(self) -> None:
        """Prove the credentials at TikTok without touching a store.

        Raises:
            ConfigurationError: TikTok does not know the app.
            RetriableError: TikTok did not answer.
        """
        with self.transport() as http:
            self.oauth(http).check_app()


def app_of(settings: Settings, api: Api) -> TikTokApp | BusinessApp:
    """The app of an API, as the environment says.

    Raises:
        ConfigurationError: Its credentials are not set; the message names the variable.
    """
    kind = TikTokApp if api == "display" else BusinessApp
    return kind.from_settings(settings)
