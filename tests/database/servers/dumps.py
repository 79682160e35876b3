"""The scripts of deploy/ that dump and restore, and a database for them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg

from include.local.parts.postgres import binary
from include.tiktok_sync.store_db.roles import prepare
from tests.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "sync-Pa55word"


def run(script: str, *, first: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script of deploy/; programs in ``first`` stand before Postgres's own."""
    path = f"{first}:" if first else ""
    return subprocess.run(  # noqa: S603 - the product's own scripts
        ["/bin/sh", str(ROOT / "deploy" / script)],
        env={"PATH": f"{path}{binary('psql').parent}:/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        check=False,
    )


def stand_in(folder: Path, program: str, script: str) -> Path:
    """A folder with a program that stands before the real one; ``REAL`` is the real one's path."""
    folder.mkdir(exist_ok=True)
    file = folder / program
    file.write_text(f"#!/bin/sh\nREAL={binary(program)}\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return folder


def dumped(url: str, folder: Path) -> Path:
    """A dump of the database, made by backup.sh."""
    done = run("backup.sh", STORE_DB_DIRECT_URL=url, BACKUP_FOLDER=str(folder))
    assert done.returncode == 0, done.stderr
    (dump,) = folder.glob("tiktok_sync-*.dump")
    return dump


def prepared(server: PostgresServer) -> tuple[str, str]:
    """URLs of the sync's role and the analyst's on a prepared server."""
    urls = [
        server.url("tiktok_sync").replace(f"postgres:{server.password}", f"{role}:{PASSWORD}")
        for role in ("tiktok_sync", "analyst")
    ]
    prepare(server.url(), urls[0], analyst_password=PASSWORD)
    return urls[0], urls[1]


def fill(url: str, stores: int) -> dict[str, int]:
    """Stores with tokens and figures; gives their numbers."""
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO stores (store_code, store_name)"
            " SELECT 'S' || n, 'Store' FROM generate_series(1, %s) AS n",
            [stores],
        )
        conn.execute(
            "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
            " refresh_expires_at) SELECT store_code, store_code, '', sha512(store_code::bytea),"
            " sha512(store_code::bytea), now() + interval '300 days' FROM stores"
        )
        conn.execute(
            "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, observed_at)"
            " SELECT store_code, current_date - day, day, now() FROM stores,"
            " generate_series(1, 20) AS day"
        )
    return counted(url)


def counted(url: str) -> dict[str, int]:
    with psycopg.connect(url) as conn:
        return {
            name: (conn.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,))[0]  # noqa: S608 - names of our own tables
            for name in ("stores", "store_tokens", "user_daily_stats", "backups")
        }
