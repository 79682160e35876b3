"""On which stack is it measured? One of its own, whose Airflow can be set up in other ways."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import psycopg

from benchmarks.errors import BenchError
from include.local.console import say
from include.local.parts import migrations as migrate
from include.local.parts.airflow_api import moment_of
from include.local.processes.programs import AIRFLOW, POSTGRES, SANDBOX, Program
from include.local.run.sandbox_admin import ask
from include.local.stack import Stack
from include.sandbox.settings import DEFAULT_LATENCY
from include.tiktok_sync.jobs import SYNC_JOBS
from tests.e2e.conftest import own_environment

FIRST_DAGS = Path(__file__).resolve().parents[1] / "contenders" / "first_dags"
PRELOAD = "airflow_local_settings.py"

TUNED = (
    "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG",
    "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL",
    "AIRFLOW__API__WORKERS",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL",
)
"""What the local stack sets for speed: left out, Airflow's own defaults hold."""

_PROFILES = "user_daily_stats"
_DAYS = (_PROFILES, "video_daily_stats")
_ROWS = ("videos", "video_daily_stats", "video_listings", "sync_logs")
_PLACES = ("rate_limits", "rate_limit_grants")
_PARSE_SECONDS = 120


@dataclass(frozen=True)
class SetUp:
    """How Airflow is set up.

    Attributes:
        first: The first Dags, Airflow's defaults, no preload, connections in Airflow's database.
        extra: Further variables of Airflow's parts.
    """

    first: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)


OURS = SetUp()


class BenchStack(Stack):
    """A local stack that is measured."""

    set_up = OURS
    _ready: SetUp | None = None

    def wanted_programs(self) -> dict[str, Program]:
        """The stack's programs, with Airflow's set up as wanted."""
        found = super().wanted_programs()
        for name in AIRFLOW:
            env = {**found[name].launch.env, **self.set_up.extra}
            if self.set_up.first:
                env = self._first_env(env)
            found[name] = replace(found[name], launch=replace(found[name].launch, env=env))
        return found

    def switch(self, set_up: SetUp) -> None:
        """Start Airflow in a set-up, and wait until it knows the Dags that belong to it.

        Raises:
            LocalStackError: It does not come up.
            BenchError: A Dag is not parsed.
        """
        if set_up == self._ready:
            return
        self.set_up, self._ready = set_up, None
        since = datetime.now(timezone.utc)
        self.up()
        self._await_parse(since)
        for dag_id in SYNC_JOBS:
            self.api.unpause(dag_id)
        self._ready = set_up

    def up_without_airflow(self) -> None:
        """Have Postgres and the sandbox, and nothing of Airflow.

        Raises:
            LocalStackError: They do not come up.
        """
        with self._prepared([POSTGRES, SANDBOX]):
            self._start_postgres()
            started = self._start([SANDBOX])
            self._migrate(migrate.store_database(self.workspace, self.settings))
            self._supervisor.stop(AIRFLOW)
            self._ready = None
            self._wait_for_sandbox(started)

    def begin_anew(
        self,
        *,
        latency: Mapping[str, float] = DEFAULT_LATENCY,
        spread: float = 0.0,
        keep_profiles: bool = False,
        keep_videos: bool = False,
        limit: int = 0,
    ) -> None:
        """Empty tables, the sandbox's figures at nought, and its first latencies again.

        Args:
            latency: Seconds per endpoint from now on.
            spread: ``latency_spread`` of the sandbox from now on.
            keep_profiles: Leave the rows of the user sync.
            keep_videos: Leave all but the figures of the day: the videos are known then.
            limit: Calls a minute and endpoint that the sandbox allows from now on, 0 = any.

        Raises:
            LocalStackError: The sandbox does not answer.
        """
        with psycopg.connect(self.settings.store_db_url, autocommit=True) as conn:
            tables: tuple[str, ...] = _ROWS if keep_profiles else (*_ROWS, _PROFILES)
            tables = _DAYS if keep_videos else tables
            conn.execute(f"TRUNCATE {', '.join((*tables, *_PLACES))}")
            conn.execute("ANALYZE")
        with psycopg.connect(self.settings.postgres_url, autocommit=True) as conn:
            conn.execute("CHECKPOINT")
        settings = {
            "latency": dict(latency),
            "latency_spread": spread,
            "rate_limit_per_minute": limit,
        }
        ask(self, "PATCH", "/settings", json=settings)
        ask(self, "DELETE", "/requests")

    @contextmanager
    def only(self, stores: int) -> Iterator[None]:
        """Have only the first stores active for a while."""
        pick = "UPDATE stores SET is_active = store_code IN (SELECT store_code FROM stores {})"
        with psycopg.connect(self.settings.store_db_url, autocommit=True) as conn:
            conn.execute(pick.format(f"ORDER BY store_code LIMIT {int(stores)}"))
            try:
                yield
            finally:
                conn.execute("UPDATE stores SET is_active = true")

    def _first_env(self, env: Mapping[str, str]) -> dict[str, str]:
        missing = [name for name in TUNED if name not in env]
        if missing:
            message = f"The local stack does not set {', '.join(missing)} any more: mend TUNED."
            raise BenchError(message)
        kept = {
            name: value
            for name, value in env.items()
            if name not in TUNED and not name.startswith("AIRFLOW_CONN_")
        }
        folder = self._first_folder()
        return {
            **kept,
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder / "plugins"),
        }

    def _first_folder(self) -> Path:
        """The first Dags, and the plugins without the preload; made once."""
        folder = self.workspace.state / "first"
        if not folder.exists():
            shutil.copytree(FIRST_DAGS, folder / "dags")
            # The stack waits for it, too.
            shutil.copy(self.workspace.root / "dags" / "refresh_tokens.py", folder / "dags")
            shutil.copytree(
                self.workspace.root / "plugins",
                folder / "plugins",
                ignore=shutil.ignore_patterns(PRELOAD, "__pycache__"),
            )
        return folder

    def _await_parse(self, since: datetime) -> None:
        """The Dags of the set-up before are in the database until they are parsed again."""
        deadline = time.monotonic() + _PARSE_SECONDS
        while True:
            dags = [self.api.dag(dag_id) for dag_id in SYNC_JOBS]
            if all(dag and moment_of(dag["last_parsed_time"]) > since for dag in dags):
                return
            if time.monotonic() > deadline:
                message = f"Airflow did not parse {' and '.join(SYNC_JOBS)} in {_PARSE_SECONDS} s."
                raise BenchError(message)
            time.sleep(0.5)


@contextmanager
def bench_stack(environ: Mapping[str, str]) -> Iterator[BenchStack]:
    """A stack in a temporary folder; down, and its folder gone, at the end.

    Args:
        environ: The stack's variables, such as ``STORES``.
    """
    # Not below pytest's folder, which is closed to the user whom Postgres runs as.
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as state:
        env = own_environment() | {
            "LOCAL_STATE_DIR": state,
            # No token ends while it is measured.
            "SANDBOX_TOKEN_REGIME": "24h",
            "SYNC_TIMEZONE": _noon(),
            **environ,
        }
        stack = BenchStack.load(env)
        try:
            yield stack
        finally:
            say("Stopping the stack …")
            stack.down()


def _noon() -> str:
    """A time zone in which it is about noon: no night begins and no day ends meanwhile."""
    ahead = 12 - datetime.now(timezone.utc).hour
    return f"Etc/GMT{-ahead:+d}"  # POSIX: the sign is turned round
