"""Airflow for all tests: its home in a temporary folder, and nothing of the user's own settings.

Airflow reads its configuration when it is first imported, and any test may be the first to do so.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog
from playwright.sync_api import Browser
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

from tests import clock
from tests.browser import running_browser

ROOT = Path(__file__).resolve().parents[1]
PROBE_SECONDS = 600
LONGEST_TEST_SECONDS = 120

_FOREIGN = (
    "AIRFLOW",
    "ALERTS_URL",
    "BACKUP_",
    "CONNECT_",
    "DB_POOL_",
    "MIN_SUCCESS_RATE",
    "REPORT_",
    "RETENTION_",
    "SLA_MINUTES",
    "STORE_DB_",
    "SYNC_",
    "TIKTOK_",
    "VIDEO_SYNC_",
)
"""What a user's shell or ``.env`` may hold and must not decide a test."""


def _airflow_env(home: str) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        # Nothing may be sent anywhere.
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _isolate() -> None:
    assert "airflow" not in sys.modules, "Airflow was imported before its settings were made"
    home = tempfile.mkdtemp(prefix="airflow-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in list(os.environ):
        if name.startswith(_FOREIGN):
            del os.environ[name]
    os.environ.update(_airflow_env(home))


_isolate()

_TOGETHER = {
    # It has stacks of its own.
    "tests/e2e/test_local_stack.py": "tests/e2e/test_local_stack.py",
    # They share a stack, in their order.
    "tests/e2e/": "tests/e2e",
    # They share a database that `airflow db migrate` takes long to make: `metadata_template`.
    "tests/database/airflow/test_assets.py": "metadata_template",
    "tests/database/airflow/test_dag_versions.py": "metadata_template",
    "tests/database/airflow/test_erasure.py": "metadata_template",
    "tests/database/airflow/test_history.py": "metadata_template",
    "tests/database/store_db/test_hooks.py": "metadata_template",
    "tests/database/sync/test_data_checks_dag.py": "metadata_template",
}
"""Tests of one process, by how their names begin (the first that fits); others go by file."""


class StackAndFiles(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Deals out the suite to the processes that share it: by :data:`_TOGETHER`, else by file.

    xdist's own groups (``loadgroup``) are lost with pytest 9, which names tests another way.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return next((scope for name, scope in _TOGETHER.items() if file.startswith(name)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> StackAndFiles:
    """How xdist deals out the tests."""
    return StackAndFiles(config, log)


def pytest_report_header() -> str:
    """What the tests' clock says, and how to have it again."""
    return clock.header()


@pytest.hookimpl(tryfirst=True)  # before fixtures, which are a part of the test
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let no midnight (UTC) pass within a test: many compare days, and TikTok's figures move on."""
    of_the_stack = item.get_closest_marker("e2e") is not None
    clock.follow(real=of_the_stack)
    if of_the_stack:
        return  # it has a time zone of its own, in which it is morning
    now = datetime.now(timezone.utc)
    left = 86_400 - (now.hour * 60 + now.minute) * 60 - now.second
    if left <= LONGEST_TEST_SECONDS:
        time.sleep(left)


class Probe(Protocol):
    """Runs a Python file in a fresh interpreter and decodes what it prints last."""

    def __call__(self, file: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
        """Run ``file`` with arguments and further environment variables."""


@pytest.fixture(scope="session")
def probe() -> Probe:
    """For what depends on a process's start: imports, hash seed, environment."""

    def run(file: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
        done = subprocess.run(  # noqa: S603 - fixed program, no shell
            [sys.executable, str(file), *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{file.name}:\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Commands in this process configure logging, to a stream that ends with their test."""
    was, before = structlog.is_configured(), structlog.get_config()
    yield
    if was:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium for the session; pages are opened with ``tests.browser.open_page``."""
    with running_browser() as found:
        yield found
