"""A throwaway Postgres on a free loopback port, for tests and benchmarks that need a real one."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from include.local.parts.postgres import create_cluster, server_command, system_user
from include.local.ports import HOST, choose_port
from include.local.workspace import Workspace

_PATIENCE_SECONDS = 120.0

_UNSAFE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_wal_size=128MB")
"""Settings without the safety, and the room, that tests do not need."""

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - each server gets a folder of its own there
_ROOM_BYTES = 2 * 1024**3
"""Room for the servers of all processes that share the tests: each takes about 200 MB."""


@dataclass(frozen=True)
class PostgresServer:
    """A server that runs; its only role is the superuser ``postgres``.

    Attributes:
        port: On the loopback interface.
        password: Of ``postgres``.
        log: What the server writes.
    """

    port: int
    password: str
    log: Path

    def url(self, database: str = "postgres") -> str:
        """The libpq URL of a database."""
        return f"postgresql://postgres:{self.password}@{HOST}:{self.port}/{database}"

    def run(self, statement: str, *names: str) -> None:
        """Execute a statement; each ``{}`` of it stands for one of the names."""
        with psycopg.connect(self.url(), autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def new_database(self, template: str) -> str:
        """Make a database from a template; returns its name."""
        name = f"test_{secrets.token_hex(6)}"
        self.run("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=10).close()
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(self.log.read_text(encoding="utf-8")) from None
                time.sleep(0.05)
            else:
                return


@contextmanager
def running_postgres(
    folder: Path, *settings: str, binaries: Path | None = None
) -> Iterator[PostgresServer]:
    """A new cluster in ``folder`` for the length of a ``with`` block.

    Args:
        folder: Its own; the user that Postgres runs as must be able to reach it.
        *settings: ``name=value``, on top of those of the local stack.
        binaries: Folder of another installation's ``initdb`` and ``postgres``; ``None`` = the
            embedded one.

    Raises:
        RuntimeError: It does not start; the message is the server's log.
        subprocess.CalledProcessError: The other installation's ``initdb`` failed.
    """
    folder = folder.resolve()
    workspace = Workspace(root=folder, state=folder, env_file=folder / ".env")
    workspace.create_folders()
    server = PostgresServer(choose_port(()), secrets.token_hex(8), workspace.log_file("postgres"))
    command = list(server_command(workspace, server.port))
    if binaries is None:
        create_cluster(workspace, server.password)
    else:
        command[0] = str(binaries / "postgres")
        _initdb(binaries, workspace, server.password)
    for setting in settings:
        command += ["-c", setting]
    user = system_user()
    with server.log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
            command,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        server._wait_until_ready(process)
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown: rolls back and disconnects
        process.wait(_PATIENCE_SECONDS)


@contextmanager
def scratch_postgres(*settings: str) -> Iterator[PostgresServer]:
    """A server of its own for some tests, in memory where there is room.

    A database is 340 files. To make and remove that many takes 140 ms of processor time on ext4 and
    12 ms on tmpfs, and most database tests have a database of their own.

    Args:
        *settings: As of :func:`running_postgres`.
    """
    with (
        tempfile.TemporaryDirectory(
            prefix="tiktok-sync-db-", dir=_folder(), ignore_cleanup_errors=True
        ) as name,
        running_postgres(Path(name), *_UNSAFE, "shared_buffers=32MB", *settings) as server,
    ):
        yield server


def _folder() -> Path | None:
    """Where there is room in memory; ``None`` = the usual folder for temporary files."""
    if not os.access(_IN_MEMORY, os.W_OK | os.X_OK):
        return None
    return _IN_MEMORY if shutil.disk_usage(_IN_MEMORY).free >= _ROOM_BYTES else None


def _initdb(binaries: Path, workspace: Workspace, password: str) -> None:
    user = system_user()
    data = workspace.postgres_data
    data.mkdir(mode=0o700, exist_ok=True)
    secret = workspace.state / "password"
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="utf-8")
    if user:
        workspace.state.chmod(0o711)
        shutil.chown(data, user)
        shutil.chown(secret, user)
    subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [
            binaries / "initdb",
            f"--pgdata={data}",
            "--username=postgres",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C",
        ],
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
        stdout=subprocess.DEVNULL,
        check=True,
    )
