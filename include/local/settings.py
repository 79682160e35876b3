"""What was asked of the stack? The variables of environment and ``.env``, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from include.local.envfile import KEYS
from include.local.errors import ConfigError
from include.local.ports import HOST

DEFAULT_STORES = 300
DEFAULT_USERS_POOL = 30
DEFAULT_VIDEOS_POOL = 20
PROFILES = ("default", "reference", "reference-limited")
FAULTS = ("storm",)

_MAX_PORT = 65_535

LOCAL_SLOTS = 120
"""Most store tasks at once on Airflow's LocalExecutor.

Its workers report over a pipe of 64 KiB, two messages of some 222 bytes a task. Once that is full
while the scheduler writes to the workers, both wait for ever (Airflow issue 70526); 120 stores and
14 other tasks leave it unfilled even if the scheduler reads nothing.
"""


@dataclass(frozen=True)
class LocalSettings:
    """One checked set of wishes for the stack.

    Attributes:
        env: Every variable, ``.env`` under the real environment, empty ones left out.
        stores: How many of the sandbox's stores are active (``STORES``).
        users_pool: Slots of the pool ``tiktok_users`` (``SYNC_CONCURRENCY``).
        videos_pool: Slots of the pool ``tiktok_videos`` (``VIDEO_SYNC_CONCURRENCY``).
        sync_timeout_minutes: When ``sync`` stops waiting (``SYNC_TIMEOUT_MINUTES``).
        profile: Workload of the sandbox (``SANDBOX_PROFILE``), one of ``PROFILES``.
        faults: Scenario that ``sync`` puts the sandbox in (``FAULTS``), one of ``FAULTS``; None =
            a healthy TikTok.
    """

    env: Mapping[str, str] = field(repr=False)
    stores: int
    users_pool: int
    videos_pool: int
    sync_timeout_minutes: int
    profile: str
    faults: str | None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> LocalSettings:
        """Check the variables.

        Raises:
            ConfigError: A value is missing or cannot be used; the message names the variable.
        """
        env = {name: value for name, value in env.items() if value}
        for key in KEYS:
            if key.name not in env:
                message = (
                    f"{key.name} is empty in .env ({key.comment}). "
                    "Give it a value, or delete the line and a fresh one is made."
                )
                raise ConfigError(message)
            if key.name.endswith("_PORT"):
                _whole_number(env, key.name, 0, 1, _MAX_PORT)
        if "TIKTOK_API_URL" in env:
            _require_client(env)
        profile = env.get("SANDBOX_PROFILE", PROFILES[0])
        if profile not in PROFILES:
            message = f"SANDBOX_PROFILE={profile} is unknown. Use one of: {', '.join(PROFILES)}."
            raise ConfigError(message)
        # More than a minute a call is beyond any test.
        _check_number(env, "SANDBOX_LATENCY", 60, "seconds for each call")
        _check_number(env, "SANDBOX_LATENCY_SPREAD", 2, "a number")
        _check_faults(env)
        users_pool = _whole_number(env, "SYNC_CONCURRENCY", DEFAULT_USERS_POOL, 1, LOCAL_SLOTS)
        videos_pool = _whole_number(
            env, "VIDEO_SYNC_CONCURRENCY", DEFAULT_VIDEOS_POOL, 1, LOCAL_SLOTS
        )
        if users_pool + videos_pool > LOCAL_SLOTS:
            message = (
                f"SYNC_CONCURRENCY and VIDEO_SYNC_CONCURRENCY are {users_pool + videos_pool} stores"
                f" at once; Airflow's LocalExecutor can hang above {LOCAL_SLOTS}. Lower them, or"
                " run the Dags on Airflow's CeleryExecutor."
            )
            raise ConfigError(message)
        return cls(
            env=env,
            stores=_whole_number(env, "STORES", DEFAULT_STORES, 0, 100_000),
            users_pool=users_pool,
            videos_pool=videos_pool,
            sync_timeout_minutes=_whole_number(env, "SYNC_TIMEOUT_MINUTES", 60, 1, 24 * 60),
            profile=profile,
            faults=env.get("FAULTS"),
        )

    def port(self, key: str) -> int:
        """The port in a ``*_PORT`` variable."""
        return int(self.env[key])

    def chosen(self, *names: str) -> dict[str, str]:
        """Those of the named variables that are set."""
        return {name: self.env[name] for name in names if name in self.env}

    @property
    def uses_sandbox(self) -> bool:
        """Whether TikTok is the local sandbox."""
        return "TIKTOK_API_URL" not in self.env

    @property
    def sandbox_url(self) -> str:
        """Base URL of the sandbox."""
        return f"http://{HOST}:{self.port('SANDBOX_PORT')}"

    @property
    def uses_connect(self) -> bool:
        """Whether the connect app runs: beside the sandbox, and where it has an address."""
        return self.uses_sandbox or "CONNECT_BASE_URL" in self.env

    @property
    def connect_url(self) -> str:
        """Base URL under which managers reach the connect app."""
        local = f"http://{HOST}:{self.port('CONNECT_PORT')}"
        return self.env.get("CONNECT_BASE_URL", local).rstrip("/")

    @property
    def airflow_url(self) -> str:
        """Base URL of Airflow's UI and API."""
        return f"http://{HOST}:{self.port('AIRFLOW_PORT')}"

    @property
    def store_db_url(self) -> str:
        """Libpq URL of the product's database, password included."""
        return self._database_url("tiktok_sync", self.env["STORE_DB_PASSWORD"], "tiktok_sync")

    @property
    def store_db_admin_url(self) -> str:
        """Libpq URL of the product's database as superuser, password included."""
        return self._database_url("postgres", self.env["POSTGRES_PASSWORD"], "tiktok_sync")

    @property
    def connect_db_url(self) -> str:
        """Libpq URL of the product's database with the connect app's role, password included."""
        return self._database_url("tiktok_connect", self.env["CONNECT_DB_PASSWORD"], "tiktok_sync")

    @property
    def airflow_db_url(self) -> str:
        """Libpq URL of Airflow's metadata database, password included."""
        return self._database_url("airflow", self.env["AIRFLOW_DB_PASSWORD"], "airflow")

    @property
    def postgres_url(self) -> str:
        """Libpq URL of the maintenance database as superuser, password included."""
        return self._database_url("postgres", self.env["POSTGRES_PASSWORD"], "postgres")

    @property
    def tiktok(self) -> dict[str, str]:
        """Whom the sync calls: base URL, app key, app secret and, if set, the call limit."""
        limit = self.chosen("TIKTOK_RATE_LIMIT_PER_MINUTE")
        if not self.uses_sandbox:
            return {
                **self.chosen("TIKTOK_API_URL", "TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_SECRET"),
                **limit,
            }
        if self.profile == "reference" and not limit:
            # The reference workload measures the sync, not the limit; the sandbox lifts its own.
            limit = {"TIKTOK_RATE_LIMIT_PER_MINUTE": "0"}
        return {
            "TIKTOK_API_URL": self.sandbox_url,
            "TIKTOK_CLIENT_KEY": self.env["SANDBOX_CLIENT_KEY"],
            "TIKTOK_CLIENT_SECRET": self.env["SANDBOX_CLIENT_SECRET"],
            **limit,
        }

    def _database_url(self, role: str, password: str, database: str) -> str:
        port = self.port("POSTGRES_PORT")
        return f"postgresql://{role}:{quote(password, safe='')}@{HOST}:{port}/{database}"


def _require_client(env: Mapping[str, str]) -> None:
    missing = [n for n in ("TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_SECRET") if n not in env]
    if missing:
        message = (
            f"TIKTOK_API_URL is set, but {' and '.join(missing)} is not. Set the app's key and "
            "secret from TikTok's developer portal in the environment or in .env, or unset "
            "TIKTOK_API_URL to use the local sandbox."
        )
        raise ConfigError(message)


def _check_number(env: Mapping[str, str], name: str, largest: float, what: str) -> None:
    text = env.get(name, "0")
    try:
        valid = 0 <= float(text) <= largest
    except ValueError:
        valid = False
    if not valid:
        message = f"{name}={text} must be {what}, from 0 to {largest:g}."
        raise ConfigError(message)


def _check_faults(env: Mapping[str, str]) -> None:
    name = env.get("FAULTS")
    if name is None:
        return
    if name not in FAULTS:
        message = f"FAULTS={name} is unknown. Use one of: {', '.join(FAULTS)}."
        raise ConfigError(message)
    if "TIKTOK_API_URL" in env:
        message = (
            f"FAULTS={name} makes the local TikTok fail, but TIKTOK_API_URL names another one. "
            "Unset one of the two."
        )
        raise ConfigError(message)


def _whole_number(
    env: Mapping[str, str], name: str, default: int, smallest: int, largest: int
) -> int:
    text = env.get(name, str(default)).strip()
    if not (text.isascii() and text.isdecimal() and smallest <= int(text) <= largest):
        message = f"{name}={text} must be a whole number from {smallest} to {largest}."
        raise ConfigError(message)
    return int(text)
