"""What do the routes share? Settings, cookies and signatures, the database, TikTok."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from include.connect.consent.base import Consent
from include.connect.consent.business import BusinessConsent
from include.connect.consent.display import DisplayConsent
from include.connect.cookies import BrowserCookies
from include.connect.database import ConnectDatabase
from include.connect.pages import Pages
from include.connect.settings import ConnectSettings
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.links.connect_links import LinkSigner
from include.tiktok_sync.store_db import schema
from include.tiktok_sync.store_db.connect_role import check_rights
from include.tiktok_sync.store_db.database import Connection, connect, database_errors

_LOCK_SECONDS = 15
"""How long a person waits for a store's row, which a token refresh may have locked."""


class ConnectContext:
    """Shared by the routes of one app.

    Args:
        settings: The app's settings.
    """

    def __init__(self, settings: ConnectSettings) -> None:
        self.settings = settings
        self.cookies = BrowserCookies(settings)
        self.signer = LinkSigner(settings.secret)
        self.pages = Pages(settings)
        self.consents: dict[Api, Consent[Any]] = {"display": DisplayConsent(settings)}
        if "business" in settings.apis:
            self.consents["business"] = BusinessConsent(settings)

    @contextmanager
    def database(self) -> Iterator[ConnectDatabase]:
        """The database, for one step of a request.

        Raises:
            DatabaseUnavailableError: It cannot be reached, or a lock was not available.
        """
        with self._connection() as conn:
            yield ConnectDatabase(conn)

    def check_database(self) -> None:
        """Refuse a configuration that would only fail when the first manager opens a link.

        Raises:
            ConfigurationError: Another schema, or a login with more or less rights than needed.
            DatabaseUnavailableError: It cannot be reached.
        """
        with self._connection() as conn:
            check_rights(conn)
            schema.check_schema(conn)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with (
            connect(
                self.settings.db_url,
                application_name="tiktok_sync:connect",
                setting="CONNECT_DB_URL",
            ) as conn,
            database_errors(),
        ):
            conn.execute(
                "SELECT set_config('lock_timeout', %s, false)", [str(_LOCK_SECONDS * 1_000)]
            )
            yield conn
