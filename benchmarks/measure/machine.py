"""Where and when was it measured, and with which versions?"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import psutil
import psycopg

from include.local.stack import Stack

_ROOT = Path(__file__).resolve().parents[2]


def describe(stack: Stack) -> dict[str, str | int]:
    """The machine, the versions and the commit; Postgres must run."""
    with psycopg.connect(stack.settings.store_db_url) as conn:
        row = conn.execute("SHOW server_version").fetchone()
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1024**3),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "airflow": version("apache-airflow"),
        "postgres": str(row[0]) if row else "unknown",
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "commit": _commit(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    head = _git(git, "rev-parse", "--short", "HEAD")
    # What earlier measurements left behind changes nothing that is measured.
    changed = _git(git, "status", "--porcelain", "--", ".", ":!docs", ":!benchmarks/results")
    return f"{head}, with changes" if changed else head or "unknown"


def _git(git: str, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [git, *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
