"""Which settings does the environment give? Validated once, with errors that name the variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.tiktok_sync.errors import ConfigurationError

DEFAULT_API_URL = "https://open.tiktokapis.com"
DEFAULT_RATE_LIMIT_PER_MINUTE = 600
"""TikTok's documented limit per endpoint (developers.tiktok.com, "Rate limits", Aug 2026)."""

DEFAULT_CONSENT_WARNING_DAYS = 30


@dataclass(frozen=True)
class Settings:
    """Everything the sync reads from the environment.

    Attributes:
        token_keys: Fernet keys (``TIKTOK_TOKEN_KEYS``); the first encrypts, all decrypt.
        rate_limit_per_minute: Calls a minute for each endpoint, all workers together; 0 = none.
        timezone: ``SYNC_TIMEZONE``: decides which calendar day a run belongs to.
        min_success_rate: 0..1; a run below it is failed (``MIN_SUCCESS_RATE``).
        api_url: TikTok's base URL (``TIKTOK_API_URL``), without a trailing slash.
        client_key: The TikTok app's key; empty when an Airflow connection supplies it.
        client_secret: The TikTok app's secret; empty when an Airflow connection supplies it.
        consent_warning_days: Days before its end that a grant is warned of
            (``CONSENT_WARNING_DAYS``).
        stores_per_task: Stores that share a mapped task (``STORES_PER_TASK``); ``None`` = by their
            number.
        store_db_url: libpq URL of the product's database (``STORE_DB_URL``); empty likewise.
    """

    token_keys: tuple[str, ...]
    rate_limit_per_minute: int
    timezone: ZoneInfo
    min_success_rate: float
    api_url: str
    client_key: str
    client_secret: str
    store_db_url: str
    consent_warning_days: int = DEFAULT_CONSENT_WARNING_DAYS
    stores_per_task: int | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Read and check the variables.

        Raises:
            ConfigurationError: A value cannot be used; the message names the variable.
        """
        keys = env.get("TIKTOK_TOKEN_KEYS", "")
        return cls(
            token_keys=tuple(key.strip() for key in keys.split(",") if key.strip()),
            rate_limit_per_minute=_whole_number(
                env, "TIKTOK_RATE_LIMIT_PER_MINUTE", DEFAULT_RATE_LIMIT_PER_MINUTE
            ),
            timezone=_timezone(env.get("SYNC_TIMEZONE") or "UTC"),
            min_success_rate=_rate(env.get("MIN_SUCCESS_RATE") or "0.90"),
            api_url=(env.get("TIKTOK_API_URL") or DEFAULT_API_URL).rstrip("/"),
            client_key=env.get("TIKTOK_CLIENT_KEY", ""),
            client_secret=env.get("TIKTOK_CLIENT_SECRET", ""),
            store_db_url=env.get("STORE_DB_URL", ""),
            consent_warning_days=_whole_number(
                env, "CONSENT_WARNING_DAYS", DEFAULT_CONSENT_WARNING_DAYS
            ),
            stores_per_task=_whole_number(env, "STORES_PER_TASK", 0) or None,
        )

    def required(self, field: str) -> str:
        """The value of a text setting that must not be empty here.

        Raises:
            ConfigurationError: It is empty; the message names the environment variable.
        """
        value = str(getattr(self, field))
        if not value:
            variable = {"store_db_url": "STORE_DB_URL"}.get(field, f"TIKTOK_{field.upper()}")
            message = (
                f"{variable} is not set. Set it in the environment (or in .env) and start again."
            )
            raise ConfigurationError(message)
        return value


def _whole_number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal():
        message = f"{name} must be a whole number of 0 or more, not {text!r}."
        raise ConfigurationError(message)
    return int(text)


def _timezone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"SYNC_TIMEZONE {name!r} is not a time zone name such as UTC or Europe/Berlin."
        raise ConfigurationError(message) from error


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        message = f"MIN_SUCCESS_RATE must be a number from 0 to 1, not {text!r}."
        raise ConfigurationError(message)
    return rate
