"""The services of docker-compose.yaml as processes of this machine, without Docker.

Commands, environments and health checks are read out of the file. What a container would give them
is done here: host names and ports become loopback ports, volumes become folders, the image's
entrypoint becomes ``airflow …``, and Postgres's image becomes the embedded Postgres. Confinement
(read-only disks, users, memory limits, networks) is not tried; tests/unit/test_compose_file.py
checks that it is asked for.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from typing_extensions import Self

from include.airflow_settings import SETTINGS_FILE, connection_variables, read_settings
from include.local.parts.postgres import binary, system_user
from include.local.ports import HOST
from tests.compose.compose_file import ROOT, Service, read_services
from tests.compose.containers import AS_NOBODY, Containers
from tests.compose.worker_host import WorkerHost
from tests.postgres_server import running_postgres

POSTGRES = ("metadata-db", "store-db")
_HEALTHY_SECONDS = 240.0
_STOP_SECONDS = 20.0


@dataclass
class Running:
    """One process of the stack."""

    service: Service
    name: str
    env: dict[str, str] = field(repr=False)
    process: subprocess.Popen[bytes]

    def family(self) -> list[psutil.Process]:
        """The process and everything below it that lives."""
        try:
            head = psutil.Process(self.process.pid)
            return [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def tasks(self) -> int:
        """How many tasks a worker has in its hands.

        Below a worker is a process for each slot, and below that one for a task at work.
        """
        family = self.family()
        return len(family) - 1 - len(family[0].children()) if family else 0

    def kill(self) -> None:
        """End it and all below it at once, as when its machine loses power."""
        for process in self.family():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()


class NativeStack:
    """A context manager: the folder is its own, everything is ended when it is left."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self.services = read_services(env)
        self.running: dict[str, Running] = {}
        self._folder = folder
        self._resources = ExitStack()
        self._started: set[str] = set()
        self._containers = Containers(self.services, folder)

    def __enter__(self) -> Self:
        self._folder.chmod(0o711)
        for name in ("logs", "volumes"):
            (self._folder / name).mkdir(mode=0o711)
        return self

    def __exit__(self, *exc: object) -> None:
        for name in reversed(self.running):
            self.stop(name)
        self._resources.close()

    def volume(self, name: str) -> Path:
        """The folder that stands for a volume or a folder of the host."""
        return self._folder / "volumes" / name

    def port(self, service: str, port: int) -> int:
        """The loopback port that stands for a service's own."""
        return self._containers.ports[service, port]

    def up(self, *names: str) -> None:
        """Start services with all that they depend on, and wait until they are healthy."""
        for name in names:
            self.up(*self.services[name].spec.get("depends_on", {}))
            self._start_service(self.services[name])
        for name in names:
            for instance in self._instances(self.services[name]):
                if instance in self.running:
                    self._wait_until_healthy(self.running[instance])

    def _start_service(self, service: Service) -> None:
        if service.name in self._started:
            return
        self._started.add(service.name)
        if service.spec["restart"] == "no":
            self.run_to_end(service.name)
        elif service.name in POSTGRES:
            self._start_postgres(service)
        else:
            for instance in self._instances(service):
                self._start(service, instance)

    def run_to_end(self, name: str) -> None:
        """Run a service that ends by itself.

        Raises:
            AssertionError: It failed; the message is its log.
        """
        service = self.services[name]
        log = self._folder / "logs" / f"{name}.log"
        with log.open("wb") as output:
            done = subprocess.run(  # noqa: S603 - from our own file
                self._containers.argv(service, name),
                env=self._containers.environment(service, name),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
        assert done.returncode == 0, f"{name}: {log.read_text(encoding='utf-8')[-3000:]}"

    def call(self, name: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in the environment of a service, as ``docker compose run`` would."""
        return subprocess.run(  # noqa: S603 - from our own file
            command,
            env=self._containers.environment(self.services[name], name),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def is_healthy(self, instance: str) -> tuple[bool, str]:
        """Whether the health check of the file passes now, and what it said."""
        running = self.running[instance]
        health = self._containers.localised(running.service, running.service.health)
        done = subprocess.run(  # noqa: S603 - from our own file
            ["/bin/sh", "-c", health],
            env=running.env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]

    @property
    def ports(self) -> Mapping[tuple[str, int], int]:
        """(service, its own port) -> the loopback port that stands for it."""
        return self._containers.ports

    def start_again(self, instance: str, host: WorkerHost | None = None) -> None:
        """Start what was stopped, on another machine if one is given; wait until it is healthy."""
        self._start(self.running[instance].service, instance, host)
        self._wait_until_healthy(self.running[instance])

    def stop(self, instance: str) -> None:
        """End a process in order, or by force if it takes too long."""
        running = self.running.get(instance)
        if running is None:
            return
        family = running.family()
        running.process.send_signal(signal.SIGTERM)
        try:
            running.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def url(self, database: str) -> str:
        """URL of ``airflow``, or of a database of the product's server, as the superuser there."""
        if database == "airflow":
            password, port = self.env["AIRFLOW_DB_PASSWORD"], self.port("metadata-db", 5432)
            return f"postgresql://airflow:{password}@{HOST}:{port}/airflow"
        password, port = self.env["STORE_DB_ADMIN_PASSWORD"], self.port("store-db", 5432)
        return f"postgresql://postgres:{password}@{HOST}:{port}/{database}"

    @staticmethod
    def _instances(service: Service) -> list[str]:
        count = int(service.spec.get("scale", 1))
        return [f"{service.name}-{i + 1}" for i in range(count)] if count > 1 else [service.name]

    def _start(self, service: Service, instance: str, host: WorkerHost | None = None) -> None:
        user = system_user() if service.name in AS_NOBODY else None
        env = self._containers.environment(service, instance)
        argv = self._containers.argv(service, instance)
        self._containers.localise_files(service)
        if host:
            argv = [*host.prefix(), *argv]
            env = {name: host.address(text) for name, text in env.items()}
            # The connections in Airflow's database have the addresses of this end of the wire.
            env |= connection_variables(read_settings(SETTINGS_FILE, env))
        with (self._folder / "logs" / f"{instance}.log").open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - from our own file
                argv,
                env=env,
                cwd="/" if user else ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
            )
        self.running[instance] = Running(service, instance, env, process)

    def _start_postgres(self, service: Service) -> None:
        """What Postgres's image does at its first start, with the embedded server."""
        flags = list(service.command[1:])
        assert service.command[0] == "postgres"
        assert flags[::2] == ["-c"] * (len(flags) // 2)
        folder = self._folder / "volumes" / service.name
        server = self._resources.enter_context(running_postgres(folder, *flags[1::2]))
        self._containers.ports[service.name, 5432] = server.port
        env = service.environment
        with psycopg.connect(server.url(), autocommit=True) as conn:
            user = env.get("POSTGRES_USER", "postgres")
            if user != "postgres":
                conn.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN").format(sql.Identifier(user)))
                conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(user)))
            conn.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(user), sql.Literal(env["POSTGRES_PASSWORD"])
                )
            )
        health = self._containers.localised(service, service.health)
        path = {"PATH": f"{binary('psql').parent}:{os.environ['PATH']}"}
        subprocess.run(["/bin/sh", "-c", health], env=path, check=True)  # noqa: S603 - from our own file

    def _wait_until_healthy(self, running: Running) -> None:
        deadline = time.monotonic() + _HEALTHY_SECONDS
        while True:
            healthy, said = self.is_healthy(running.name)
            if healthy:
                return
            log = self._folder / "logs" / f"{running.name}.log"
            if running.process.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(encoding="utf-8", errors="replace")[-3000:]
                message = f"{running.name} is not healthy: {said}\n{text}"
                raise AssertionError(message)
            time.sleep(1)
