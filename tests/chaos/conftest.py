"""A whole stack of its own for the kill test, with Airflow's patience set short."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from include.local.stack import Stack
from tests.e2e.conftest import own_environment

ROOT = Path(__file__).resolve().parents[2]
STORES = 40
SIZE = {
    "STORES": str(STORES),
    # A calm sync of both Dags lasts about a minute: long enough to be struck six times.
    "SANDBOX_LATENCY": "2",
    "SYNC_CONCURRENCY": "5",
    "VIDEO_SYNC_CONCURRENCY": "8",
}
AIRFLOW_CFG = """\
[scheduler]
# Airflow's own figures make a night wait 5 minutes for what a killed process was doing.
scheduler_health_check_threshold = 20
orphaned_tasks_check_interval = 10
task_instance_heartbeat_timeout = 60
task_instance_heartbeat_timeout_detection_interval = 5
task_queued_timeout = 120
task_queued_timeout_check_interval = 15
"""

_COMMAND_SECONDS = 300


@dataclass(frozen=True)
class ChaosStack:
    """The stack under test.

    Attributes:
        local: Its programs, ports and API.
        env: Environment of its commands.
    """

    local: Stack
    env: Mapping[str, str]

    def sync(self, output: IO[str], day: str) -> subprocess.Popen[str]:
        """Start ``make sync``'s command; on another day, TikTok's figures are others.

        Args:
            output: Takes what it prints.
            day: Of the sandbox, ``YYYY-MM-DD``.
        """
        return subprocess.Popen(
            [sys.executable, "-m", "include.local", "sync"],
            cwd=ROOT,
            env={**self.env, "SANDBOX_DATE": day},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture(scope="session")
def folder() -> Iterator[str]:
    """The stack's state folder.

    Not below pytest's own: every other pytest on the machine closes that for the user whom
    Postgres runs as, which then cannot start again.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-") as path:
        yield path


@pytest.fixture(scope="session")
def stack(folder: str) -> Iterator[ChaosStack]:
    """The stack, up; down at the end."""
    env = own_environment() | {"LOCAL_STATE_DIR": folder, **SIZE}
    local = Stack.load(env)
    local.workspace.create_folders()
    (local.workspace.airflow_home / "airflow.cfg").write_text(AIRFLOW_CFG, encoding="utf-8")
    try:
        _command("up", env)
        yield ChaosStack(local, env)
    finally:
        _command("down", env)


def _command(name: str, env: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [sys.executable, "-m", "include.local", name],
        cwd=ROOT,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
