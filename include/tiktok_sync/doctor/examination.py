"""Is everything there that the night needs? Each check names a cause and what to do about it.

Database, Airflow, and host with TikTok have modules of their own (``doctor_…``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from include.tiktok_sync.doctor import airflow as doctor_airflow
from include.tiktok_sync.doctor import business as doctor_business
from include.tiktok_sync.doctor import host as doctor_host
from include.tiktok_sync.doctor import metadata as doctor_metadata
from include.tiktok_sync.doctor import store_db as doctor_store_db
from include.tiktok_sync.doctor import tiktok as doctor_tiktok
from include.tiktok_sync.doctor.finding import Finding
from include.tiktok_sync.errors import ConfigurationError, SyncError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import connect, database_errors
from include.tiktok_sync.tokens.vault import TokenVault

GENERATE_KEY = "python -m include.tiktok_sync tokens generate-key"


def examine(env: Mapping[str, str] = os.environ, *, before_start: bool = False) -> list[Finding]:
    """Run every check; one that fails does not keep the others from running.

    Args:
        env: Variables, as the sync reads them; ``AIRFLOW_API_URL`` and ``AIRFLOW_ADMIN_PASSWORD``
            open the checks of Airflow.
        before_start: Only what must be right before anything starts: settings, keys, database.
            TikTok may be unavailable then, and Airflow is not running yet.
    """
    try:
        settings = Settings.from_env(env)
    except ConfigurationError as error:
        return [Finding("settings", "fail", str(error), "Correct the variable and start again.")]
    found = [Finding("settings", "ok", "every variable can be read"), *_keys(settings)]
    found += doctor_airflow.check_capacity(env)
    found += _database(settings, env)
    if before_start:
        return found
    found += doctor_tiktok.check(settings)
    found += doctor_business.check(settings)
    found += doctor_host.check_disks(env)
    found += doctor_airflow.check(env)
    found += doctor_metadata.check(env)
    return found


def _keys(settings: Settings) -> Iterator[Finding]:
    try:
        TokenVault(settings.token_keys)
    except ConfigurationError as error:
        todo = (
            "Set the key that the tokens were encrypted with; only if there are none yet, a new"
            f" one: {GENERATE_KEY}"
        )
        yield Finding("token keys", "fail", str(error), todo)
        return
    number = len(settings.token_keys)
    keys = "1 key" if number == 1 else f"{number} keys, the first encrypts"
    yield Finding("token keys", "ok", keys)


def _database(settings: Settings, env: Mapping[str, str]) -> list[Finding]:
    """The checks of the store database; those that depend on a failed one are left out."""
    try:
        url = settings.required("store_db_url")
        with connect(url, application_name="tiktok_sync:doctor") as conn, database_errors():
            return list(doctor_store_db.check(conn, settings, env))
    except SyncError as error:
        todo = "Start the server, or correct STORE_DB_URL: address, role, password, database."
        return [Finding("store database", "fail", str(error), todo)]
