"""The whole compose file as processes, once for all tests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from include.local.airflow_api import AirflowApi
from include.local.ports import HOST
from include.local.settings import Settings
from tests.compose.compose_file import ROOT, read_env
from tests.compose.native_stack import NativeStack

STORES = 300


@pytest.fixture(scope="session")
def stack() -> Iterator[NativeStack]:
    """Everything but the connect app, with the sandbox as TikTok and its stores imported."""
    for program in ("redis-server", "pgbouncer", "curl"):
        assert shutil.which(program), f"install Debian's package of {program}"
    made = subprocess.run(
        ["/bin/sh", "deploy/new-env.sh"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    env = {
        **read_env(made.stdout),
        "TIKTOK_CLIENT_KEY": "compose-test-key",
        "TIKTOK_CLIENT_SECRET": "compose-test-secret",
        "TIKTOK_API_URL": "http://sandbox:8095",
        "SANDBOX_STORES": str(STORES),
    }
    folder = Path(tempfile.mkdtemp(prefix="tiktok-compose-"))
    try:
        with NativeStack(folder, env) as stack:
            stack.up("sandbox-stores", "scheduler", "dag-processor", "triggerer", "worker")
            yield stack
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def api(stack: NativeStack) -> AirflowApi:
    """Airflow's API, as its admin."""
    settings: Any = SimpleNamespace(
        airflow_url=f"http://{HOST}:{stack.port('api-server', 8080)}", env=stack.env
    )
    return AirflowApi(cast("Settings", settings))
