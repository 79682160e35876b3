"""How does the stack get up, and down again? The order of its parts, and what can be reused."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from typing_extensions import Self

from include.local.console import say, waiting
from include.local.envfile import load
from include.local.errors import PortInUseError
from include.local.parts import migrations as migrate
from include.local.parts import postgres
from include.local.parts.airflow_api import AirflowApi
from include.local.parts.airflow_env import write_password_file
from include.local.polling import wait_for
from include.local.ports import HOST, holder, is_free
from include.local.processes import health
from include.local.processes import leftovers as processes
from include.local.processes.programs import AIRFLOW, CONNECT, POSTGRES, SANDBOX, Program, programs
from include.local.processes.supervisor import NAME, RUNNING, ProgramState, Supervisor, write_conf
from include.local.settings import LocalSettings
from include.local.workspace import Workspace

_POSTGRES_SECONDS = 60.0
_SANDBOX_SECONDS = 60.0
_AIRFLOW_SECONDS = 240.0
_SHUTDOWN_SECONDS = 10.0


class Stack:
    """The local stack of one workspace.

    Args:
        workspace: Its files.
        settings: Its ports, keys and sizes.
    """

    def __init__(self, workspace: Workspace, settings: LocalSettings) -> None:
        self.workspace = workspace
        self.settings = settings
        self.api = AirflowApi(settings)
        self._supervisor = Supervisor(workspace, settings)
        self._programs: dict[str, Program] = {}

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The stack of this checkout, its ``.env`` made if there is none.

        Raises:
            ConfigError: A variable cannot be used.
        """
        workspace = Workspace.locate(environ)
        return cls(workspace, LocalSettings.from_env(load(workspace, environ)))

    def up(self) -> None:
        """Start what does not run, restart what changed, and wait until all is ready.

        Raises:
            LocalStackError: Something does not come up.
        """
        with self._prepared([POSTGRES, SANDBOX, CONNECT, *AIRFLOW]):
            self._start_postgres()
            sandbox_started = SANDBOX in self._programs and self._start([SANDBOX])
            self._migrate(
                migrate.store_database(self.workspace, self.settings),
                migrate.airflow_migration(self.workspace, self.settings),
            )
            self._migrate(migrate.token_keys(self.settings))
            write_password_file(self.workspace, self.settings)
            started = self._start(AIRFLOW)
            connect_started = CONNECT in self._programs and self._start([CONNECT])
            if SANDBOX in self._programs:
                self._wait_for_sandbox(sandbox_started)
            self._migrate(migrate.airflow_settings(self.workspace, self.settings))
            if CONNECT in self._programs:
                self._wait_for_connect(connect_started)
            self._wait_for_airflow(started)

    def up_database(self) -> None:
        """Start Postgres alone, with the product's schema.

        Raises:
            LocalStackError: It does not come up.
        """
        with self._prepared([POSTGRES]):
            self._start_postgres()
            self._migrate(migrate.store_database(self.workspace, self.settings))

    def down(self) -> int:
        """Stop everything and make sure that no process is left.

        Returns:
            How many processes ended; 0 = nothing ran.

        Raises:
            StopError: A process cannot be stopped.
        """
        with self._locked():
            before = len(processes.of_stack(self.workspace))
            if before and self._supervisor.is_running():
                with waiting("Stopping") as ready:
                    names = [n for n, s in self._supervisor.states().items() if s.pid]
                    # Postgres last: the others still write their last words.
                    self._supervisor.stop([name for name in names if name != POSTGRES])
                    self._supervisor.stop([name for name in names if name == POSTGRES])
                    self._supervisor.shutdown()
                    self._await_end()
                    ready("stopped")
            processes.stop_all(self.workspace)
            return before

    def wanted_programs(self) -> dict[str, Program]:
        """Every program of this stack by name, in the order in which they start."""
        return programs(self.workspace, self.settings)

    def states(self) -> dict[str, ProgramState]:
        """What supervisor says of each program; empty if it does not run."""
        return self._supervisor.states() if self._supervisor.is_running() else {}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        def tell() -> None:
            say("Another command starts or stops this stack; waiting for it …")

        with self.workspace.exclusive("stack", tell):
            yield

    @contextmanager
    def _prepared(self, names: list[str]) -> Iterator[None]:
        """Hold the lock with a running supervisord that knows the present configuration."""
        with self._locked():
            self.workspace.create_folders()
            self._programs = self.wanted_programs()
            if self._supervisor.is_running():
                self._take_over(names)
            else:
                self._start_supervisor()
            yield

    def _start_supervisor(self) -> None:
        orphans = processes.stop_all(self.workspace)
        if orphans:
            say(f"Ended {orphans} processes that an earlier stack had left behind.")
        self._check_port(NAME, "SUPERVISOR_PORT")
        write_conf(self.workspace, self.settings, self._programs.values())
        self._supervisor.start(os.environ)

    def _take_over(self, names: list[str]) -> None:
        write_conf(self.workspace, self.settings, self._programs.values())
        for name in self._supervisor.apply(names):
            verb = "restarting it" if name in self._programs else "stopped it"
            say(f"  {name}: settings or code changed, {verb}")

    def _start(self, names: Iterable[str]) -> bool:
        """Start those programs that do not run.

        Returns:
            Whether there was one.
        """
        states = self._supervisor.states()
        idle = [name for name in names if states[name].state not in {RUNNING, "STARTING"}]
        for name in idle:
            key = self._programs[name].port_key
            if key:
                self._check_port(name, key)
        for name in idle:
            self._supervisor.start_program(name)
        return bool(idle)

    def _check_port(self, name: str, key: str) -> None:
        port = self.settings.port(key)
        if is_free(port):
            return
        who = holder(port) or "another program"
        message = (
            f"{name} cannot start: port {port} of {HOST} is in use by {who}. "
            f"End that program, or give {key} another value in {self.workspace.env_file}."
        )
        raise PortInUseError(message)

    def _start_postgres(self) -> None:
        with waiting("Starting Postgres") as ready:
            for note in postgres.create_cluster(
                self.workspace, self.settings.env["POSTGRES_PASSWORD"]
            ):
                say(f"  {note}")
            started = self._start([POSTGRES])
            self._wait(lambda: postgres.check(self.settings), "Postgres", [POSTGRES])
            where = f"{HOST}:{self.settings.port('POSTGRES_PORT')}"
            ready(f"postgres     {_how(started)} on {where}")
        self._migrate(migrate.airflow_roles(self.workspace, self.settings))

    def _migrate(self, *steps: migrate.Step) -> None:
        needed = [step for step in steps if not step.is_applied(self.workspace)]
        if needed:
            with waiting("Preparing the databases") as ready:
                migrate.run_together(self.workspace, needed)
                ready(f"done         {', '.join(step.name for step in needed)}")

    def _wait_for_sandbox(self, started: bool) -> None:  # noqa: FBT001 - one internal caller
        with waiting("Starting the sandbox") as ready:
            self._wait(lambda: health.check_sandbox(self.settings), "The sandbox", [SANDBOX])
            ready(f"sandbox      {_how(started)} on {self.settings.sandbox_url}")

    def _wait_for_connect(self, started: bool) -> None:  # noqa: FBT001 - one internal caller
        with waiting("Starting the connect app") as ready:
            self._wait(lambda: health.check_connect(self.settings), "The connect app", [CONNECT])
            ready(f"connect      {_how(started)} on {self.settings.connect_url}")

    def _wait_for_airflow(self, started: bool) -> None:  # noqa: FBT001 - one internal caller
        with waiting("Starting Airflow") as ready:
            self._wait(
                lambda: health.check_execution_api(self.settings),
                "Airflow's API for tasks",
                AIRFLOW,
            )
            self._wait(lambda: health.check_airflow(self.api, self._supervisor), "Airflow", AIRFLOW)
            self._wait(
                lambda: health.check_dags(self.api, self.workspace, self.settings.nightly_jobs),
                "The Dags of Airflow",
                AIRFLOW,
            )
            ready(f"airflow      {_how(started)} on {self.settings.airflow_url}")

    def _wait(self, check: health.Check, what: str, names: Iterable[str]) -> None:
        seconds = {POSTGRES: _POSTGRES_SECONDS, SANDBOX: _SANDBOX_SECONDS}
        names = list(names)
        health.wait_until_ready(
            check,
            what=what,
            workspace=self.workspace,
            supervisor=self._supervisor,
            programs=names,
            timeout_seconds=seconds.get(names[0], _AIRFLOW_SECONDS),
        )

    def _await_end(self) -> None:
        wait_for(lambda: not processes.of_stack(self.workspace), seconds=_SHUTDOWN_SECONDS)


def _how(started: bool) -> str:  # noqa: FBT001 - reads as a question: started or not
    return "ready" if started else "runs already"
