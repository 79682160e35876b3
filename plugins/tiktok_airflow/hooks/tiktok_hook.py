"""TikTok's credentials from an Airflow connection."""

from __future__ import annotations

import math
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.errors import ConfigurationError, SyncError
from include.tiktok_sync.settings import DEFAULT_API_URL
from include.tiktok_sync.tiktok.http import Timeouts

EXTRAS = frozenset({"connect_timeout_s", "read_timeout_s"})
"""Extras the connection may have; the stock hook would send unknown ones as request headers."""


class AppHook(BaseHook):
    """What an app of TikTok's needs, from a connection of type ``http``.

    The calls themselves are made by ``include.tiktok_sync``: the stock ``HttpHook.run()`` opens a
    session and looks the connection up for every call, has no time-out and loses status and
    headers. Not a subclass of it either: its module imports aiohttp, which makes two TLS contexts
    on import, and so in the parent of all tasks.

    :param tiktok_conn_id: host = API base URL, login = key or id, password = secret; extras
        ``connect_timeout_s`` and ``read_timeout_s`` in seconds; the latter is the patience with a
        first try and grows with the next ones.
    """

    conn_name_attr = "tiktok_conn_id"
    default_conn_name: str
    conn_type = "http"
    default_host: str

    def __init__(self, tiktok_conn_id: str | None = None) -> None:
        super().__init__()
        self.tiktok_conn_id = tiktok_conn_id or self.default_conn_name

    def _parts(self) -> tuple[str, str, str, Timeouts]:
        """Address, login, password and time-outs.

        Raises:
            ConfigurationError: The connection is missing, or has an unknown extra.
        """
        try:
            connection = self.get_connection(self.tiktok_conn_id)
        except AirflowNotFoundException as error:
            message = (
                f"The Airflow connection {self.tiktok_conn_id} does not exist. Load"
                " airflow_settings.yaml (python plugins/load_airflow_settings.py) or create it."
            )
            raise ConfigurationError(message) from error
        url = connection.host or self.default_host
        if "://" not in url:
            # The stock default, http, would send the secret unencrypted.
            url = f"{connection.schema or 'https'}://{url}"
        if connection.port:
            url += f":{connection.port}"
        timeouts = self._timeouts(connection.extra_dejson)
        return url.rstrip("/"), connection.login or "", connection.password or "", timeouts

    def _timeouts(self, extra: dict[str, Any]) -> Timeouts:
        unknown = sorted(set(extra) - EXTRAS)
        if unknown:
            message = (
                f"The connection {self.tiktok_conn_id} has unknown extras: {', '.join(unknown)}."
                f" Known are {', '.join(sorted(EXTRAS))}."
            )
            raise ConfigurationError(message)
        default = Timeouts()
        read_s = self._seconds(extra, "read_timeout_s", default.read_s)
        return Timeouts(
            connect_s=self._seconds(extra, "connect_timeout_s", default.connect_s),
            read_s=read_s,
            longest_s=max(read_s, default.longest_s),
        )

    def _seconds(self, extra: dict[str, Any], name: str, default: float) -> float:
        try:
            seconds = float(extra.get(name, default))
        except (TypeError, ValueError):
            seconds = math.nan
        if not 0 < seconds < math.inf:
            message = (
                f"The extra {name} of the connection {self.tiktok_conn_id} must be a number of"
                " seconds above 0."
            )
            raise ConfigurationError(message)
        return seconds


class TikTokHook(AppHook):
    """Builds the app of the Display API; login = client key, password = client secret."""

    default_conn_name = "tiktok_default"
    hook_name = "TikTok"
    default_host = DEFAULT_API_URL

    def app(self) -> TikTokApp:
        """The app that the connection describes.

        Raises:
            ConfigurationError: The connection is missing or incomplete, or has an unknown extra.
        """
        return TikTokApp(*self._parts())

    def test_connection(self) -> tuple[bool, str]:
        """Ask TikTok for a client token: proves address, key and secret, touches no store."""
        try:
            self.app().check()
        except SyncError as error:
            return False, str(error)
        return True, "TikTok accepts the client key and secret."
