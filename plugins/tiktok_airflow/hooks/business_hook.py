"""The credentials of TikTok's Accounts API from an Airflow connection."""

from __future__ import annotations

from include.tiktok_sync.app import BusinessApp
from include.tiktok_sync.errors import SyncError
from include.tiktok_sync.settings import DEFAULT_BUSINESS_URL
from tiktok_airflow.hooks.tiktok_hook import AppHook


class BusinessHook(AppHook):
    """Builds the app of the Accounts API; host = base URL, login = app id, password = secret."""

    default_conn_name = "tiktok_business"
    hook_name = "TikTok Accounts API"
    default_host = DEFAULT_BUSINESS_URL

    def app(self) -> BusinessApp:
        """The app that the connection describes.

        Raises:
            ConfigurationError: The connection is missing or incomplete, or has an unknown extra.
        """
        return BusinessApp(*self._parts())

    def test_connection(self) -> tuple[bool, str]:
        """Ask TikTok: proves address, app id and secret, touches no store."""
        try:
            self.app().check()
        except SyncError as error:
            return False, str(error)
        return True, "TikTok accepts the app id and secret."
