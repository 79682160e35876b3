"""One whole stack for the end-to-end tests, in a temporary folder, apart from the user's own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from include.local.parts.airflow_api import AirflowApi
from include.local.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
STORES = 40
LATENCY = "0.02"
READER = "reader"

MORNING = 10
"""Hour of the stack's clock when the tests begin."""

_COMMAND_SECONDS = 800
_OF_THE_STACK = (
    "AIRFLOW",
    "ALERTS_URL",
    "CONNECT_",
    "LOCAL_",
    "POSTGRES_",
    "REPORT_",
    "SANDBOX_",
    "SLA_MINUTES",
    "STORE",
    "SYNC_",
    "TIKTOK_",
    "VIDEO_",
)


def own_environment() -> dict[str, str]:
    """The test's environment without any setting of the user's stack."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_STACK)}


@dataclass(frozen=True)
class RunningStack:
    """A stack that is up.

    Attributes:
        env: Environment of its commands: the test's own, without any setting of the user's stack.
        db_url: Libpq URL of the product's database.
        sandbox_url: Base URL of the sandbox.
        airflow_url: Base URL of Airflow.
        zone: Its ``SYNC_TIMEZONE``.
    """

    env: Mapping[str, str]
    db_url: str
    sandbox_url: str
    airflow_url: str
    zone: ZoneInfo

    @property
    def today(self) -> date:
        """The day that its figures stand for."""
        return datetime.now(self.zone).date()

    def run(self, command: str | Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in the stack's Airflow environment, as ``run --`` does."""
        words = shlex.split(command) if isinstance(command, str) else command
        return _local(["run", "--", *words], self.env)

    @property
    def api(self) -> AirflowApi:
        """Airflow's REST API as the admin: seconds faster than a command of Airflow's."""
        return Stack.load(dict(self.env)).api

    def trigger(self, dag_id: str, run_id: str, **conf: Any) -> None:
        """Start a run as the trigger form does."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        self.api._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body=body)

    def end(self, dag_id: str, run_id: str) -> str:
        """Wait for a run's end; its state."""
        deadline = time.monotonic() + 600
        while (state := self.api.run_state(dag_id, run_id)) not in {"success", "failed"}:
            assert time.monotonic() < deadline, state
            time.sleep(0.5)
        return state

    def up(self) -> None:
        """Bring it back to its own settings, whatever a test before has started it with."""
        done = _local(["up"], self.env)
        assert done.returncode == 0, done.stderr

    def sync(self, **env: str) -> subprocess.CompletedProcess[str]:
        """Run ``make sync``'s command, with some variables set."""
        return _local(["sync"], {**self.env, **env})


def morning_zone(now: datetime) -> ZoneInfo:
    """A time zone in which the morning is half over.

    Wherever and whenever the tests run, no midnight passes meanwhile, and no night begins: its runs
    of all stores would be in the way of tests that count calls, runs and summaries.
    """
    ahead = MORNING - now.astimezone(timezone.utc).hour
    if ahead < -12:  # no zone lies further west
        ahead += 24
    return ZoneInfo(f"Etc/GMT{-ahead:+d}")  # POSIX counts westwards


@contextmanager
def paused(stack: RunningStack, dag_id: str) -> Iterator[None]:
    """A live scheduler would take the run that `airflow dags test` makes for one of its own."""
    stack.api._send("PATCH", f"/api/v2/dags/{dag_id}", body={"is_paused": True})
    try:
        yield
    finally:
        stack.api.unpause(dag_id)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The whole stack with 40 stores, started once for all tests."""
    zone = morning_zone(datetime.now(timezone.utc))
    env = own_environment() | {
        "SYNC_TIMEZONE": zone.key,
        # TikTok's own counters must not move on between two looks either.
        "SANDBOX_DATE": datetime.now(zone).date().isoformat(),
        "LOCAL_STATE_DIR": str(tmp_path_factory.mktemp("stack")),
        "STORES": str(STORES),
        "SANDBOX_LATENCY": LATENCY,
        # The admin, and somebody who may look and nothing else.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"admin:admin,{READER}:viewer",
    }
    settings = Stack.load(env).settings
    try:
        started = _local(["up"], env)
        assert started.returncode == 0, started.stderr
        yield RunningStack(
            env=env,
            db_url=settings.store_db_url,
            sandbox_url=settings.sandbox_url,
            airflow_url=settings.airflow_url,
            zone=zone,
        )
    finally:
        stopped = _local(["down"], env)
    assert stopped.returncode == 0, stopped.stderr


def _local(arguments: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - fixed program, no shell
        [sys.executable, "-m", "include.local", *arguments],
        cwd=ROOT,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
