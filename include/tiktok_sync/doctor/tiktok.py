"""The doctor's checks of TikTok: can it be reached, does it accept the app, do the clocks agree?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import requests

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.doctor.finding import Finding
from include.tiktok_sync.doctor.store_db import clock_finding
from include.tiktok_sync.errors import ConfigurationError, SyncError
from include.tiktok_sync.settings import Settings

_TIMEOUT_S = (5, 15)


def check(settings: Settings) -> Iterator[Finding]:
    """Reach TikTok, log in as the app, compare clocks; no store is touched."""
    try:
        answer = requests.head(settings.api_url, timeout=_TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as error:
        # The exception's text names only the host, and says nothing that its class does not.
        yield Finding(
            "TikTok",
            "fail",
            f"{settings.api_url} does not answer ({type(error).__name__})",
            "Check TIKTOK_API_URL, name resolution, proxy and firewall of this host.",
        )
        return
    yield Finding("TikTok", "ok", f"{settings.api_url} answers")
    yield _clock(answer.headers.get("Date"))
    yield _credentials(settings)


def _clock(date: str | None) -> Finding:
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return Finding("clock of TikTok", "skip", "its answer has no readable Date")
    return clock_finding("clock of TikTok", theirs - datetime.now(timezone.utc))


def _credentials(settings: Settings) -> Finding:
    try:
        TikTokApp(settings.api_url, settings.client_key, settings.client_secret).check()
    except ConfigurationError as error:
        todo = (
            "Set TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET as in TikTok's developer portal, load"
            " the settings (python plugins/load_airflow_settings.py) and start again."
        )
        return Finding("TikTok app", "fail", str(error), todo)
    except SyncError as error:
        return Finding("TikTok app", "warn", str(error), "Try again in some minutes.")
    return Finding("TikTok app", "ok", "TikTok accepts client key and secret")
