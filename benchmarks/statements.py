"""What does a store cost the database, statement by statement? Asked of ``pg_stat_statements``.

Run it by hand; decision 9 quotes its tables:

    python -m benchmarks.statements --stores 50

The embedded Postgres has no contrib modules, so this needs another installation (Debian's package
``postgresql`` will do, 15 too); ``--binaries`` or ``PG_BINARIES`` names its folder if it is not
found. It starts a throwaway cluster of it and a sandbox of the reference workload (140 videos,
7 pages a store) without latency, lets one night pass, and counts the next one: every store as a
task of its own would do it, on a connection of its own.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import structlog
from cryptography.fernet import Fernet
from psycopg.rows import class_row
from rich.console import Console
from rich.table import Table

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.jobs import REFRESH_JOB, USER_JOB, VIDEO_JOB, StoreRun
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import connect
from include.tiktok_sync.store_db.schema import upgrade
from include.tiktok_sync.stores.importing.load import import_stores
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_batch import run_batch
from include.tiktok_sync.tokens.vault import TokenVault
from tests.database.witnesses.statement_log import kind
from tests.postgres_server import PostgresServer, running_postgres
from tests.sandbox_server import SandboxServer, running_sandbox

LIBRARY = "pg_stat_statements"
DATABASE = "tiktok_sync"
USUAL_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)

# Planning counts too; the question about prepared statements below does not.
_FIGURES = """
SELECT query, calls, rows, total_exec_time + total_plan_time AS ms
FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid
WHERE datname = %s AND query NOT LIKE '%%pg_prepared_statements%%'
"""

console = Console(width=120)


@dataclass(frozen=True)
class Figures:
    """One statement; ``ms`` of the server's time, planning included, for all its calls."""

    query: str
    calls: int
    rows: int
    ms: float

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.query, self.calls + other.calls, self.rows + other.rows, self.ms + other.ms
        )


@dataclass(frozen=True)
class Night:
    """The product on one database and one sandbox."""

    url: str
    app: TikTokApp
    settings: Settings
    codes: Sequence[str]

    def sync(self, job: str, day: SnapshotDay) -> int:
        """Do every store; returns how many statements their connections prepared."""
        prepared = 0
        for code in self.codes:
            with connect(self.url, application_name=job) as conn, self.app.transport() as http:
                run_batch(
                    [StoreRun(job, f"{job}-{day.date}", code, day)],
                    open_client=partial(
                        self.app.client, http=http, conn=conn, settings=self.settings
                    ),
                    repository=StoreRepository(conn),
                )
                found = conn.execute("SELECT count(*) FROM pg_prepared_statements").fetchall()
                prepared += found[0][0]
        return prepared


def installation(wanted: str | None) -> Path | None:
    """Folder of ``initdb`` and ``postgres`` of an installation that has the library."""
    for folder in [Path(wanted)] if wanted else _candidates():
        libraries = (folder.parent / "lib", folder.parent / "lib" / "postgresql")
        if (folder / "initdb").exists() and any(
            next(place.glob(f"{LIBRARY}.*"), None) for place in libraries
        ):
            return folder
    return None


def _candidates() -> Iterator[Path]:
    for pattern in USUAL_PLACES:
        yield from sorted(Path("/").glob(pattern.removeprefix("/")), reverse=True)
    program = shutil.which("pg_config")
    if program:
        done = subprocess.run(  # noqa: S603 - found on the PATH, no shell
            [program, "--bindir"], capture_output=True, text=True, check=True
        )
        yield Path(done.stdout.strip())


def _table(title: str, found: Sequence[Figures], stores: int, prepared: int) -> Table:
    calls, total_ms = sum(line.calls for line in found), sum(line.ms for line in found)
    table = Table(
        title=f"{title}, {stores} stores",
        caption=f"A store: {calls / stores:.2f} statements and {prepared / stores:.2f} PREPARE ="
        f" {(calls + prepared) / stores:.2f} round trips; {total_ms / stores:.2f} ms of the server",
    )
    table.add_column("statement (first word, tables)", overflow="fold")
    for name in ("calls a store", "rows a call", "mean ms", "share of time"):
        table.add_column(name, justify="right")
    # The server counts a statement separately for every mixture of NULLs among its parameters.
    kinds: dict[str, Figures] = {}
    for line in found:
        name = kind(line.query)
        kinds[name] = kinds[name] + line if name in kinds else line
    for name, line in sorted(kinds.items(), key=lambda entry: -entry[1].ms):
        table.add_row(
            name,
            f"{line.calls / stores:.2f}",
            f"{line.rows / line.calls:.2f}",
            f"{line.ms / line.calls:.3f}",
            f"{line.ms / total_ms:.0%}",
        )
    return table


def _count(server: PostgresServer, night: Night, title: str, job: str, day: SnapshotDay) -> None:
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute("SELECT pg_stat_statements_reset()")
        prepared = night.sync(job, day)
        with conn.cursor(row_factory=class_row(Figures)) as cursor:
            found = cursor.execute(_FIGURES, [DATABASE]).fetchall()
    console.print(_table(title, found, len(night.codes), prepared))


def seeded_database(server: PostgresServer, sandbox: SandboxServer, settings: Settings) -> str:
    """Make a database with all the sandbox's stores; returns its URL."""
    server.run("CREATE DATABASE {}", DATABASE)
    url = server.url(DATABASE)
    upgrade(url)
    text = sandbox.admin("GET", "/stores.csv")
    with psycopg.connect(url, autocommit=True) as conn:
        import_stores(io.StringIO(text, newline=""), conn, TokenVault(settings.token_keys))
    return url


def _prepare(server: PostgresServer, sandbox: SandboxServer) -> Night:
    server.run("CREATE EXTENSION pg_stat_statements")
    settings = Settings.from_env(
        {
            "TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(),
            "TIKTOK_RATE_LIMIT_PER_MINUTE": "1000000",  # in force, and out of the way
        }
    )
    url = seeded_database(server, sandbox, settings)
    with psycopg.connect(url, autocommit=True) as conn:
        codes = StoreRepository(conn).active_store_codes()
    app = TikTokApp(sandbox.url, sandbox.client_key, sandbox.client_secret)
    return Night(url, app, settings, codes)


def main() -> int:
    """Print the tables; 1 if there is no Postgres that has the library."""
    parser = ArgumentParser(description="Statements per store, from pg_stat_statements.")
    parser.add_argument("--stores", type=int, default=50)
    parser.add_argument("--binaries", default=os.environ.get("PG_BINARIES"))
    options = parser.parse_args()
    binaries = installation(options.binaries)
    if binaries is None:
        console.print(
            f"No Postgres with {LIBRARY} found. On Debian and Ubuntu: apt-get install postgresql;"
            " elsewhere the package postgresql-contrib. Or name the folder of its initdb:"
            " --binaries FOLDER, or PG_BINARIES.",
            markup=False,
        )
        return 1
    logging.getLogger("alembic").setLevel(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with (
        tempfile.TemporaryDirectory(prefix="statements-", ignore_cleanup_errors=True) as name,
        running_sandbox(
            stores=options.stores, profile="reference", rate_limit_per_minute=0
        ) as sandbox,
        running_postgres(
            Path(name),
            f"shared_preload_libraries={LIBRARY}",
            f"{LIBRARY}.track_planning=on",
            binaries=binaries,
        ) as server,
    ):
        night = _prepare(server, sandbox)
        today = SnapshotDay.of(datetime.now(timezone.utc), ZoneInfo("UTC"))
        yesterday = SnapshotDay(today.date - timedelta(days=1), today.timezone)
        with psycopg.connect(night.url, autocommit=True) as conn:
            StoreRepository(conn).ensure_partitions(yesterday.date)
            version = conn.info.server_version // 10_000
        console.print(f"Postgres {version} of {binaries}")
        for job in (USER_JOB, VIDEO_JOB):
            night.sync(job, yesterday)
        _count(server, night, "User sync", USER_JOB, today)
        _count(server, night, "Video sync, 7 pages", VIDEO_JOB, today)
        with psycopg.connect(night.url, autocommit=True) as conn:
            conn.execute("UPDATE store_tokens SET access_expires_at = now()")
        _count(server, night, "Token refresh", REFRESH_JOB, today)
    return 0


if __name__ == "__main__":
    sys.exit(main())
