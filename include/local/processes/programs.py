"""Which programs make up the stack, and which variables does each of them get?"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass, field

from include.airflow_settings import SETTINGS_FILE, connection_variables, read_settings
from include.connect.settings import BUSINESS_CALLBACK_PATH, CALLBACK_PATH
from include.local.parts import airflow_env, postgres
from include.local.ports import HOST
from include.local.settings import LocalSettings
from include.local.workspace import Workspace, write_private
from include.sandbox.settings import AUTHORIZE_PATH

POSTGRES = "postgres"
SANDBOX = "sandbox"
CONNECT = "connect"
API_SERVER = "api-server"
EXECUTION_API = "execution-api"
AIRFLOW = (API_SERVER, EXECUTION_API, "scheduler", "dag-processor", "triggerer")

_BUSINESS_APP = (
    "SANDBOX_BUSINESS_APP_ID",
    "SANDBOX_BUSINESS_SECRET",
    "SANDBOX_BUSINESS_PENALTY_SECONDS",
)

_EXECUTION_WORKERS = "2"
"""Thirty tasks that end together queue at one process; measured in docs/decisions/0007."""


@dataclass(frozen=True)
class Launch:
    """What ``include.local.processes.launch`` turns into.

    Attributes:
        argv: Absolute path of the program, then its arguments. Never a secret: ``ps`` shows it.
        env: Variables on top of supervisord's own small environment.
        folder: Working folder.
        user: System user to become; None = stay.
        code: Fingerprint of the code that the program keeps in memory.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    folder: str
    user: str | None = None
    code: str = ""


@dataclass(frozen=True)
class Program:
    """One supervised program.

    Attributes:
        name: Its name in supervisor, in ``status`` and of its log file.
        launch: How it starts.
        port_key: Variable of ``.env`` with the port it listens on; None = it does not listen.
        stop_signal: Signal of an orderly stop.
        stop_group: Whether the signal goes to its children too.
        stop_seconds: After which it is killed.
        settle_seconds: It has started once it lives this long.
    """

    name: str
    launch: Launch
    port_key: str | None = None
    stop_signal: str = "TERM"
    stop_group: bool = True
    stop_seconds: int = 20
    settle_seconds: int = 1

    def digest(self) -> str:
        """Changes whenever the program would start differently."""
        return hashlib.sha256(self._launch_json().encode()).hexdigest()

    def write_launch_file(self, workspace: Workspace) -> None:
        """Write what the launcher reads."""
        write_private(workspace.launch_file(self.name), self._launch_json())

    def _launch_json(self) -> str:
        return json.dumps(asdict(self.launch), sort_keys=True)


def programs(workspace: Workspace, settings: LocalSettings) -> dict[str, Program]:
    """Every program of the stack by name, in the order in which they start."""
    found = [_postgres(workspace, settings)]
    if settings.uses_sandbox:
        found.append(_sandbox(workspace, settings))
    if settings.uses_connect:
        found.append(_connect(workspace, settings))
    found.extend(_airflow(workspace, settings))
    return {program.name: program for program in found}


def _postgres(workspace: Workspace, settings: LocalSettings) -> Program:
    return Program(
        name=POSTGRES,
        launch=Launch(
            argv=postgres.server_command(workspace, settings.port("POSTGRES_PORT")),
            env={},
            folder="/",  # its user may not be able to enter the project
            user=postgres.system_user(),
        ),
        port_key="POSTGRES_PORT",
        stop_signal="INT",  # fast shutdown: open transactions roll back, no wait for clients
        stop_group=False,
        stop_seconds=60,
    )


def _sandbox(workspace: Workspace, settings: LocalSettings) -> Program:
    return Program(
        name=SANDBOX,
        launch=Launch(
            argv=(sys.executable, "-m", "include.sandbox"),
            env={
                "SANDBOX_HOST": HOST,
                "SANDBOX_PORT": str(settings.port("SANDBOX_PORT")),
                "SANDBOX_STATE": str(workspace.sandbox_state),
                "SANDBOX_STORES": str(_sandbox_stores(workspace, settings)),
                "SANDBOX_PROFILE": settings.profile,
                "SANDBOX_REDIRECT_URIS": settings.connect_url + CALLBACK_PATH,
                **_business_sandbox(settings),
                **settings.chosen(
                    "SANDBOX_LATENCY",
                    "SANDBOX_LATENCY_SPREAD",
                    "SANDBOX_RATE_LIMIT_PER_MINUTE",
                    "SANDBOX_SEED",
                    "SANDBOX_TOKEN_REGIME",
                    "SANDBOX_DATE",
                    "SANDBOX_CLIENT_KEY",
                    "SANDBOX_CLIENT_SECRET",
                ),
            },
            folder=str(workspace.root),
            code=airflow_env.code_digest(workspace, "include/sandbox"),
        ),
        port_key="SANDBOX_PORT",
    )


def _business_sandbox(settings: LocalSettings) -> dict[str, str]:
    if not settings.business_sandbox:
        return {}
    return {
        "SANDBOX_BUSINESS_REDIRECT_URIS": settings.connect_url + BUSINESS_CALLBACK_PATH,
        **settings.chosen(*_BUSINESS_APP),
    }


def _sandbox_stores(workspace: Workspace, settings: LocalSettings) -> int:
    """How many stores the sandbox has: never fewer than before.

    A smaller ``STORES`` deactivates stores in the product's database (see ``seed``); the sandbox
    must go on knowing them, or nobody could tell them from stores imported by hand.
    """
    try:
        most = int(workspace.sandbox_size.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        most = -1
    if settings.stores > most:
        most = settings.stores
        workspace.sandbox_size.write_text(str(most), encoding="utf-8")
    return most


def _connect(workspace: Workspace, settings: LocalSettings) -> Program:
    sandbox = {}
    if settings.uses_sandbox:
        sandbox = {
            "CONNECT_AUTHORIZE_URL": settings.sandbox_url + AUTHORIZE_PATH,
            "CONNECT_RETAILER_NAME": "Nordlicht",  # whose stores the sandbox has
        }
    return Program(
        name=CONNECT,
        launch=Launch(
            argv=(sys.executable, "-m", "include.connect"),
            env={
                "CONNECT_PORT": str(settings.port("CONNECT_PORT")),
                "CONNECT_DB_URL": settings.connect_db_url,
                **airflow_env.connect_env(settings),
                **airflow_env.token_env(settings),
                **settings.tiktok,
                **settings.business,
                **sandbox,
                **settings.chosen(
                    "CONNECT_AUTHORIZE_URL",
                    "CONNECT_BUSINESS_SCOPES",
                    "CONNECT_CONTACT",
                    "CONNECT_RETAILER_NAME",
                    "CONNECT_SCOPES",
                    "CONNECT_TRUSTED_PROXIES",
                    "PRIVACY_CONTACT",
                    "PRIVACY_CONTROLLER",
                    "PRIVACY_LEGAL_BASIS",
                    "PRIVACY_POLICY_URL",
                    "PRIVACY_PURPOSE",
                    "PRIVACY_RECIPIENTS",
                    *airflow_env.RETENTION_VARIABLES,
                ),
            },
            folder=str(workspace.root),
            code=airflow_env.code_digest(
                workspace, "include/connect", "include/tiktok_sync", "include/migrations"
            ),
        ),
        port_key="CONNECT_PORT",
    )


def _airflow(workspace: Workspace, settings: LocalSettings) -> list[Program]:
    env = airflow_env.airflow_env(workspace, settings)
    api_secret = {"AIRFLOW__API__SECRET_KEY": settings.env["AIRFLOW_API_SECRET_KEY"]}
    # Tasks run below the scheduler (LocalExecutor); nothing else reads TikTok tokens. They find
    # their connections here too: asking the API server for them is a fifth of a task's calls.
    loaded = read_settings(SETTINGS_FILE, airflow_env.product_env(settings))
    connections = connection_variables(loaded)
    task_env = {**airflow_env.token_env(settings), **connections}
    # For the callback of a run that failed: looking the connection up would cost half its time.
    callback_env = {"AIRFLOW_CONN_STORE_DB": connections["AIRFLOW_CONN_STORE_DB"]}
    # The status page makes links; without the connect app they would lead nowhere.
    link_env = airflow_env.connect_env(settings) if settings.uses_connect else {}
    extra = {
        API_SERVER: {**api_secret, **link_env},
        # Tasks do not wait for people in the UI, nor for the UI's middlewares.
        EXECUTION_API: {
            "AIRFLOW__API__PORT": str(settings.port("AIRFLOW_EXECUTION_PORT")),
            "AIRFLOW__API__WORKERS": _EXECUTION_WORKERS,
        },
        "scheduler": task_env,
        "dag-processor": callback_env,
    }
    commands = {
        API_SERVER: ("api-server", "--apps", "core"),
        EXECUTION_API: ("api-server", "--apps", "execution"),
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "dag-processor": ("dag-processor",),
        "triggerer": ("triggerer", "--skip-serve-logs"),
    }
    ports = {API_SERVER: "AIRFLOW_PORT", EXECUTION_API: "AIRFLOW_EXECUTION_PORT"}
    code = airflow_env.code_digest(workspace, "plugins", "include/tiktok_sync")
    return [
        Program(
            name=name,
            launch=Launch(
                argv=(sys.executable, "-m", "airflow", *commands[name]),
                env={**env, **extra.get(name, {})},
                folder=str(workspace.root),
                code=code,
            ),
            port_key=ports.get(name),
            # The scheduler ends its workers in order; a worker that is signalled too may die
            # with the lock of their queue, and the scheduler then waits until it is killed.
            stop_group=name != "scheduler",
            settle_seconds=5,  # Airflow imports for some seconds before it finds a bad setting
        )
        for name in AIRFLOW
    ]
