"""How is the local Airflow set up? Its environment, and why each setting differs."""

from __future__ import annotations

import hashlib
import json

from include.local.ports import HOST
from include.local.settings import LocalSettings
from include.local.workspace import Workspace, write_private
from include.tiktok_sync.doctor.airflow_client import ADMIN

_USERS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"

_HEADROOM = 14  # list, summary and callback slots on top of the pools; 30 + 20 + 14 = 64
RETENTION_VARIABLES = (
    "RETENTION_DAILY_DAYS",
    "RETENTION_WEEKLY_DAYS",
    "RETENTION_CONNECT_DAYS",
    "RETENTION_IDENTITY_DAYS",
    "RETENTION_REMOVED_TEXT_DAYS",
    "RETENTION_LEFT_DAYS",
    "RETENTION_APPLY",
)
"""How long things are kept: the Dag does it, and the connect app's privacy notice says it."""

_PRODUCT_VARIABLES = (
    "STORE_DB_ASSET_URI",
    "SYNC_TIMEZONE",
    "SLA_MINUTES",
    "MIN_SUCCESS_RATE",
    "CONSENT_WARNING_DAYS",
    "REPORT_LOCALE",
    "STORES_PER_TASK",
    "VIDEO_LANES",
    "SYNC_CONCURRENCY",
    "VIDEO_SYNC_CONCURRENCY",
    "BUSINESS_SYNC_CONCURRENCY",
    "DB_POOL_SIZE",
    "DB_POOL_MIN",
    *RETENTION_VARIABLES,
)


def airflow_env(workspace: Workspace, settings: LocalSettings) -> dict[str, str]:
    """The environment that every part of Airflow shares.

    The figures behind the speed settings were measured on 2 cores: with Airflow's defaults a
    pool of 30 never fills and 300 tasks of 3 s take 5 times the floor.
    """
    # The pools must be able to fill at once, so all three caps follow from their sizes.
    slots = str(settings.pool_slots + _HEADROOM)
    url = settings.airflow_url
    metadata_url = settings.airflow_db_url.replace("postgresql://", "postgresql+psycopg2://", 1)
    return {
        "AIRFLOW_HOME": str(workspace.airflow_home),
        # Airflow rewrites process titles; without this it overwrites /proc/PID/environ,
        # where `down` looks for processes of this stack.
        "SPT_NOENV": "1",
        "AIRFLOW__CORE__DAGS_FOLDER": str(workspace.root / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(workspace.root / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # `make up` alone must not start a nightly run; `make sync` unpauses all Dags.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__PARALLELISM": slots,
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": slots,
        "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": slots,
        "AIRFLOW__CORE__FERNET_KEY": settings.env["AIRFLOW_FERNET_KEY"],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.execution_url}/",
        _USERS: f"{ADMIN}:admin",  # or as the environment says, for a look at other roles
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(workspace.password_file),
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(settings.port("AIRFLOW_PORT")),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": settings.env["AIRFLOW_JWT_SECRET"],
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_url,
        # The API server answers on 40 threads; the default of 15 connections starves them.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "20",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": "20",
        # Each step from task to task waits for the scheduler's next loop.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # The API server is asked over HTTP: no worker need load the public CAs (22 ms each).
        "AIRFLOW__API__CLIENT_USE_PUBLIC_CERTS": "False",
        # 50 tasks starting at once on 2 cores make the API slower than the default 5 s.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        # A store takes seconds: at the default 5 s every task would report twice that it lives, and
        # a dead one is missed after 5 minutes only (task_instance_heartbeat_timeout).
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "20",
        # An edited Dag shows after seconds, not after the default 5 minutes.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(workspace.task_logs),
        # No log server runs (it would listen on all interfaces): the API server reads the
        # files itself. For running tasks it also asks this port, which must refuse at once
        # and not be another Airflow's.
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": "1",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": "1",
        "STORE_DB_ASSET_URI": f"postgres://{HOST}:{settings.port('POSTGRES_PORT')}/tiktok_sync",
        **settings.chosen(_USERS, *_PRODUCT_VARIABLES),
        **{
            name: value
            for name, value in settings.tiktok.items()
            if name in {"TIKTOK_API_URL", "TIKTOK_RATE_LIMIT_PER_MINUTE"}
        },
        # Its id switches the third sync on; its secret is in the connection only.
        **{name: value for name, value in settings.business.items() if "SECRET" not in name},
    }


def token_env(settings: LocalSettings) -> dict[str, str]:
    """What a process needs to read the stores' tokens."""
    return settings.chosen("TIKTOK_TOKEN_KEYS")


def product_env(settings: LocalSettings) -> dict[str, str]:
    """The environment of the product's own commands: everything the sync can read."""
    return {
        "STORE_DB_URL": settings.store_db_url,
        **settings.tiktok,
        **settings.business,
        **token_env(settings),
        **settings.chosen("ALERTS_URL", "REPORT_URL", *_PRODUCT_VARIABLES),
    }


def connect_env(settings: LocalSettings) -> dict[str, str]:
    """What the connect app shares with those that make its links: a command, the status page."""
    return {"CONNECT_BASE_URL": settings.connect_url, **settings.chosen("CONNECT_SECRET")}


def command_env(workspace: Workspace, settings: LocalSettings) -> dict[str, str]:
    """The environment of commands run by hand in the stack: Airflow's and the product's."""
    return {
        # dags, plugins and include are imported from the project root, as on Astro.
        "PYTHONPATH": str(workspace.root),
        **airflow_env(workspace, settings),
        **product_env(settings),
        **connect_env(settings),
        # With which the doctor asks Airflow about itself.
        "AIRFLOW_API_URL": settings.airflow_url,
        "AIRFLOW_ADMIN_PASSWORD": settings.env["AIRFLOW_ADMIN_PASSWORD"],
    }


def write_password_file(workspace: Workspace, settings: LocalSettings) -> None:
    """Give the UI's admin the password of ``.env``, before Airflow makes up its own.

    Passwords that Airflow made up for other users stay as they are.
    """
    file, password = workspace.password_file, settings.env["AIRFLOW_ADMIN_PASSWORD"]
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    if known.get(ADMIN) != password:
        write_private(file, json.dumps({**known, ADMIN: password}) + "\n")


def code_digest(workspace: Workspace, *folders: str) -> str:
    """Fingerprint of the Python files below some folders of the project.

    Airflow's parts import this code once and keep it; a change must restart them.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted((workspace.root / folder).rglob("*.py")):
            digest.update(str(file.relative_to(workspace.root)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
