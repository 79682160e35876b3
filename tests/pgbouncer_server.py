"""A PgBouncer in front of a throwaway Postgres, configured by the product's own script."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from include.local.parts.postgres import system_user
from include.local.ports import HOST, choose_port

SCRIPT = Path(__file__).resolve().parents[1] / "deploy" / "pgbouncer.sh"

_PATIENCE_SECONDS = 120.0


@contextmanager
def running_pgbouncer(
    folder: Path, *, upstream_port: int, password: str, **env: str
) -> Iterator[str]:
    """The pooler for the length of a ``with`` block.

    Args:
        folder: Its own, for two files.
        upstream_port: Of the Postgres with role and database ``tiktok_sync``.
        password: Of the role ``tiktok_sync``.
        **env: More variables of the script.

    Yields:
        libpq URL of the product's database through it.
    """
    user = system_user()  # PgBouncer, too, refuses root
    folder.mkdir(mode=0o700, exist_ok=True)
    if user:
        shutil.chown(folder, user)
    port = choose_port(())
    process = subprocess.Popen(  # noqa: S603 - the product's own script
        # Read by the shell that is still root's: the script's folder may be closed to others.
        ["/bin/sh", "-c", SCRIPT.read_text(encoding="utf-8")],
        env={
            "PATH": os.environ["PATH"],
            "POOL_UPSTREAM": f"{HOST}:{upstream_port}",
            "POOL_LISTEN": f"{HOST}:{port}",
            "POOL_FOLDER": str(folder),
            "STORE_DB_PASSWORD": password,
            **env,
        },
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"postgresql://tiktok_sync:{password}@{HOST}:{port}/tiktok_sync"
    try:
        _wait_until_ready(process, url)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=_PATIENCE_SECONDS)


def _wait_until_ready(process: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=10, prepare_threshold=None).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None:
                raise RuntimeError(process.communicate()[0]) from error
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
