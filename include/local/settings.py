"""Which settings does the stack have? The environment's variables and ``.env``'s, checked once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import quote

from pydantic import PrivateAttr, model_validator
from typing_extensions import Self

from include.local.envfile import KEYS
from include.local.errors import ConfigError
from include.local.ports import HOST
from include.tiktok_sync.jobs import nightly_jobs, sync_jobs
from include.tiktok_sync.settings import EnvironmentSettings, WholeNumber, variable

DEFAULT_STORES = 300
DEFAULT_USERS_POOL = 30
DEFAULT_VIDEOS_POOL = 20
DEFAULT_BUSINESS_POOL = 10
BUSINESS_VARIABLES = (
    "TIKTOK_BUSINESS_APP_ID",
    "TIKTOK_BUSINESS_SECRET",
    "TIKTOK_BUSINESS_URL",
    "TIKTOK_BUSINESS_CATEGORY",
)
"""The app of the Accounts API, and the chain's category in it."""

Profile = Literal["default", "reference", "reference-limited"]
Scenario = Literal["storm"]
PROFILES: tuple[str, ...] = get_args(Profile)
FAULTS: tuple[str, ...] = get_args(Scenario)

LOCAL_SLOTS = 120
"""Most store tasks at once on Airflow's LocalExecutor.

Its workers report over a pipe of 64 KiB, two messages of some 222 bytes a task. Once that is full
while the scheduler writes to the workers, both wait forever (Airflow issue 70526); 120 stores and
14 other tasks leave it unfilled even if the scheduler reads nothing.
"""


def _whole(name: str, smallest: int, largest: int) -> Any:
    return variable(name, f"a whole number from {smallest} to {largest}", ge=smallest, le=largest)


def _port(name: str) -> Any:
    return _whole(name, 1, 65_535)


def _number(name: str, largest: float, what: str) -> Any:
    return variable(name, f"{what}, from 0 to {largest:g}", ge=0, le=largest, allow_inf_nan=False)


class LocalSettings(EnvironmentSettings):
    """The settings of the stack, checked.

    Attributes:
        stores: How many of the sandbox's stores are active (``STORES``).
        users_pool: Slots of the pool ``tiktok_users`` (``SYNC_CONCURRENCY``).
        videos_pool: Slots of the pool ``tiktok_videos`` (``VIDEO_SYNC_CONCURRENCY``).
        business_pool: Slots of the pool ``tiktok_business`` (``BUSINESS_SYNC_CONCURRENCY``).
        business_sandbox: Whether the Accounts API is used, at the sandbox (``SANDBOX_BUSINESS=1``).
        sync_timeout_minutes: When ``sync`` stops waiting (``SYNC_TIMEOUT_MINUTES``).
        profile: Workload of the sandbox (``SANDBOX_PROFILE``), one of ``PROFILES``.
        faults: Scenario that ``sync`` puts the sandbox in (``FAULTS``), one of ``FAULTS``; None =
            a healthy TikTok.
    """

    failure: ClassVar[type[Exception]] = ConfigError

    stores: Annotated[WholeNumber, _whole("STORES", 0, 100_000)] = DEFAULT_STORES
    users_pool: Annotated[WholeNumber, _whole("SYNC_CONCURRENCY", 1, LOCAL_SLOTS)] = (
        DEFAULT_USERS_POOL
    )
    videos_pool: Annotated[WholeNumber, _whole("VIDEO_SYNC_CONCURRENCY", 1, LOCAL_SLOTS)] = (
        DEFAULT_VIDEOS_POOL
    )
    business_pool: Annotated[WholeNumber, _whole("BUSINESS_SYNC_CONCURRENCY", 1, LOCAL_SLOTS)] = (
        DEFAULT_BUSINESS_POOL
    )
    business_sandbox: Annotated[WholeNumber, _whole("SANDBOX_BUSINESS", 0, 1)] = 0
    sync_timeout_minutes: Annotated[WholeNumber, _whole("SYNC_TIMEOUT_MINUTES", 1, 24 * 60)] = 60
    profile: Annotated[Profile, variable("SANDBOX_PROFILE", f"one of: {', '.join(PROFILES)}")] = (
        "default"
    )
    faults: Annotated[Scenario | None, variable("FAULTS", f"one of: {', '.join(FAULTS)}")] = None
    airflow_port: Annotated[WholeNumber, _port("AIRFLOW_PORT")]
    airflow_execution_port: Annotated[WholeNumber, _port("AIRFLOW_EXECUTION_PORT")]
    connect_port: Annotated[WholeNumber, _port("CONNECT_PORT")]
    postgres_port: Annotated[WholeNumber, _port("POSTGRES_PORT")]
    sandbox_port: Annotated[WholeNumber, _port("SANDBOX_PORT")]
    supervisor_port: Annotated[WholeNumber, _port("SUPERVISOR_PORT")]
    # More than a minute a call is beyond any test.
    latency: Annotated[float, _number("SANDBOX_LATENCY", 60, "seconds for each call")] = 0
    latency_spread: Annotated[float, _number("SANDBOX_LATENCY_SPREAD", 2, "a number")] = 0

    _env: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Check the variables.

        Raises:
            ConfigError: A value is missing or cannot be used; the message names the variable.
        """
        env = {name: value for name, value in env.items() if value.strip()}
        for key in KEYS:
            if key.name not in env:
                message = (
                    f"{key.name} is empty in .env ({key.comment}). "
                    "Give it a value, or delete the line and a fresh one is made."
                )
                raise ConfigError(message)
        if "TIKTOK_API_URL" in env:
            _check_real_tiktok(env)
        settings = super().from_env(env)
        settings._env = env  # noqa: SLF001 - of this class
        return settings

    @model_validator(mode="after")
    def _fit_the_executor(self) -> Self:
        slots = self.users_pool + self.videos_pool
        names = "SYNC_CONCURRENCY and VIDEO_SYNC_CONCURRENCY"
        if self.business_sandbox:
            slots += self.business_pool
            names += " with BUSINESS_SYNC_CONCURRENCY"
        if slots > LOCAL_SLOTS:
            message = (
                f"{names} are {slots} stores at once; Airflow's"
                f" LocalExecutor can hang above {LOCAL_SLOTS}. Lower them, or run the Dags on"
                " Airflow's CeleryExecutor."
            )
            raise ValueError(message)
        return self

    @property
    def env(self) -> Mapping[str, str]:
        """Every variable, ``.env`` under the real environment, blank ones left out."""
        return self._env

    def port(self, key: str) -> int:
        """The port in a ``*_PORT`` variable."""
        return int(getattr(self, key.lower()))

    def chosen(self, *names: str) -> dict[str, str]:
        """Those of the named variables that are set."""
        return {name: self.env[name] for name in names if name in self.env}

    @property
    def uses_sandbox(self) -> bool:
        """Whether TikTok is the local sandbox."""
        return "TIKTOK_API_URL" not in self.env

    @property
    def business(self) -> dict[str, str]:
        """The app of the Accounts API: nothing unless it is asked for."""
        if not self.uses_sandbox:
            return self.chosen(*BUSINESS_VARIABLES)
        if not self.business_sandbox:
            return {}
        return {
            "TIKTOK_BUSINESS_APP_ID": self.env["SANDBOX_BUSINESS_APP_ID"],
            "TIKTOK_BUSINESS_SECRET": self.env["SANDBOX_BUSINESS_SECRET"],
            "TIKTOK_BUSINESS_URL": self.sandbox_url,
            **self.chosen("TIKTOK_BUSINESS_CATEGORY"),
        }

    @property
    def pool_slots(self) -> int:
        """Stores at once, in all pools that are used."""
        slots = self.users_pool + self.videos_pool
        return slots + self.business_pool if self.business else slots

    @property
    def nightly_jobs(self) -> tuple[str, ...]:
        """The Dags of this stack's night."""
        return nightly_jobs(self.business)

    @property
    def sync_jobs(self) -> tuple[str, ...]:
        """Those of them that write figures."""
        return sync_jobs(self.business)

    @property
    def sandbox_url(self) -> str:
        """Base URL of the sandbox."""
        return f"http://{HOST}:{self.port('SANDBOX_PORT')}"

    @property
    def uses_connect(self) -> bool:
        """Whether the connect app runs: with the sandbox, and if it has an address."""
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
    def execution_url(self) -> str:
        """Base URL of Airflow's Execution API, which tasks call."""
        return f"http://{HOST}:{self.port('AIRFLOW_EXECUTION_PORT')}/execution"

    @property
    def store_db_url(self) -> str:
        """Libpq URL of the product's database, password included."""
        return self._database_url("tiktok_sync", self.env["STORE_DB_PASSWORD"], "tiktok_sync")

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


def _check_real_tiktok(env: Mapping[str, str]) -> None:
    missing = [n for n in ("TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_SECRET") if n not in env]
    if missing:
        message = (
            f"TIKTOK_API_URL is set, but {' and '.join(missing)} is not. Set the app's key and "
            "secret from TikTok's developer portal in the environment or in .env, or unset "
            "TIKTOK_API_URL to use the local sandbox."
        )
        raise ConfigError(message)
    if "FAULTS" in env:
        message = (
            f"FAULTS={env['FAULTS']} makes the local TikTok fail, but TIKTOK_API_URL names another"
            " one. Unset one of the two."
        )
        raise ConfigError(message)
