"""A real Postgres for the whole session, and a fresh migrated database for each test."""

from __future__ import annotations

import itertools
import pwd
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from cryptography.fernet import Fernet
from psycopg import sql

from include.local.ports import HOST, choose_port
from include.local.postgres import create_cluster, server_command, system_user
from include.local.workspace import Workspace
from include.tiktok_sync.database import Connection
from include.tiktok_sync.schema import upgrade
from include.tiktok_sync.settings import Settings
from tests.database.bench import Bench
from tests.sandbox_server import SandboxServer, running_sandbox

_PATIENCE_SECONDS = 60.0
_TEMPLATE = "migrated"
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB")


@dataclass
class PostgresServer:
    """The session's server; `url` names a database on it."""

    port: int
    password: str
    counter: Iterator[int]

    def url(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@{HOST}:{self.port}/{database}"

    def run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def new_database(self, template: str) -> str:
        name = f"test_{next(self.counter)}"
        self.run("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def wait_until_ready(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=3).close()
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(log.read_text(encoding="utf-8")) from None
                time.sleep(0.05)
            else:
                return


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The embedded Postgres in a folder of its own, without the safety that tests do not need."""
    with tempfile.TemporaryDirectory(prefix="tiktok-sync-db-", ignore_cleanup_errors=True) as name:
        state = Path(name).resolve()
        workspace = Workspace(root=state, state=state, env_file=state / ".env")
        workspace.create_folders()
        server = PostgresServer(choose_port(()), secrets.token_hex(8), itertools.count(1))
        create_cluster(workspace, server.password)
        command = list(server_command(workspace, server.port))
        for setting in _FAST:
            command += ["-c", setting]
        user = system_user()
        log = workspace.log_file("postgres")
        with log.open("wb") as output:
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
            server.wait_until_ready(process, log)
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown: rolls back and disconnects
            process.wait(_PATIENCE_SECONDS)


@pytest.fixture(scope="session")
def _template(postgres: PostgresServer) -> str:
    postgres.run("CREATE DATABASE {}", _TEMPLATE)
    upgrade(postgres.url(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture
def new_database(postgres: PostgresServer) -> Iterator[Callable[[str], str]]:
    """Makes a database from a template and gives its URL; drops it after the test."""
    made: list[str] = []

    def make(template: str) -> str:
        made.append(postgres.new_database(template))
        return postgres.url(made[-1])

    yield make
    for name in made:
        postgres.run("DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def db_url(new_database: Callable[[str], str], _template: str) -> str:
    """A fresh database with the schema."""
    return new_database(_template)


@pytest.fixture
def empty_db_url(new_database: Callable[[str], str]) -> str:
    """A fresh database without anything."""
    return new_database("template1")


@pytest.fixture
def conn(db_url: str) -> Iterator[Connection]:
    """An autocommit connection to `db_url`."""
    with psycopg.connect(db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's pauses between tries pass at once."""
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A fresh sandbox of 20 stores, without latency and limit. S004, S008 … come expired."""
    with running_sandbox(rate_limit_per_minute=0) as server:
        yield server


@pytest.fixture
def bench(db_url: str, conn: Connection, sandbox: SandboxServer) -> Bench:
    """The product on `db_url` and `sandbox`, no store imported, no rate limit."""
    settings = Settings.from_env(
        {
            "TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(),
            "TIKTOK_RATE_LIMIT_PER_MINUTE": "0",
            "TIKTOK_API_URL": sandbox.url,
            "TIKTOK_CLIENT_KEY": sandbox.client_key,
            "TIKTOK_CLIENT_SECRET": sandbox.client_secret,
            "STORE_DB_URL": db_url,
        }
    )
    return Bench(db_url, conn, sandbox, settings)
