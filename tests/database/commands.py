"""The product's command as a program: what it prints and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


def run_command(env: dict[str, str], *args: str, text: str | bytes = "") -> Done:
    """Run it with nothing of the caller's settings but `env`."""
    ours = ("TIKTOK_", "STORE_DB", "SYNC_", "MIN_SUCCESS", "PG")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(  # noqa: S603 - the product's own command, no shell
        [sys.executable, "-W", "error", "-m", "include.tiktok_sync", *args],
        cwd=ROOT,
        env={**clean, **env},
        input=text.encode() if isinstance(text, str) else text,
        capture_output=True,
        check=False,
        timeout=600,
    )
    return Done(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
