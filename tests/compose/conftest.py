"""The whole compose file as processes, once for all tests."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, cast

import pytest

from include.local.parts.airflow_api import AirflowApi
from include.local.ports import HOST
from include.local.settings import LocalSettings
from tests.compose.compose_file import new_env
from tests.compose.native_stack import NativeStack
from tests.compose.night import await_end, one

STORES = 300
BACKUP_FILE = "chosen.dump"
"""The dump that ``restore`` takes, in ``backups``."""


@pytest.fixture(scope="session")
def stack() -> Iterator[NativeStack]:
    """Everything, with the sandbox as TikTok and its stores imported."""
    for program in ("redis-server", "pgbouncer", "prometheus", "curl", "wget"):
        assert shutil.which(program), f"install Debian's package of {program}"
    folder = Path(tempfile.mkdtemp(prefix="tiktok-compose-"))
    env = {
        **new_env(folder / ".env"),
        "TIKTOK_CLIENT_KEY": "compose-test-key",
        "TIKTOK_CLIENT_SECRET": "compose-test-secret",
        "TIKTOK_API_URL": "http://sandbox:8095",
        "SANDBOX_STORES": str(STORES),
        "BACKUP_FOLDER": "backups",
        "BACKUP_FILE": BACKUP_FILE,
    }
    try:
        with NativeStack(folder, env) as stack:
            stack.up(
                "sandbox-stores", "scheduler", "dag-processor", "triggerer", "worker", "connect"
            )
            yield stack
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def backups(stack: NativeStack) -> Path:
    """Where dumps go."""
    return stack.volume("backups")


@pytest.fixture(scope="session")
def fresh_tokens(stack: NativeStack, api: AirflowApi) -> int:
    """The Dag before the night has run; gives how many stores' tokens had ended."""
    (ended,) = one(
        stack.url("tiktok_sync"),
        "SELECT count(*) FROM store_tokens WHERE access_expires_at < now() + interval '5 minutes'",
    )
    await_end(api, {"refresh_tokens": api.trigger("refresh_tokens")})
    return int(ended)


class Doctor(Protocol):
    """The doctor's findings by check, in the environment of the debugging shell."""

    def __call__(self) -> dict[str, dict[str, str]]: ...


@pytest.fixture
def doctor(stack: NativeStack) -> Doctor:
    """Asks it."""

    def ask() -> dict[str, dict[str, str]]:
        done = stack.call("cli", ["python", "-m", "include.tiktok_sync", "doctor", "--json"])
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert found, done.stderr
        assert done.returncode == int(any(line["status"] == "fail" for line in found))
        return {line["check"]: line for line in found}

    return ask


@pytest.fixture(scope="session")
def api(stack: NativeStack) -> AirflowApi:
    """Airflow's API, as its admin."""
    settings: Any = SimpleNamespace(
        airflow_url=f"http://{HOST}:{stack.port('api-server', 8080)}", env=stack.env
    )
    return AirflowApi(cast("LocalSettings", settings))
