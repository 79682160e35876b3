"""The doctor's checks of the host it runs on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from include.tiktok_sync.doctor.finding import Finding, Status

DISK_WARN = 0.10
DISK_FAIL = 0.03
"""Free share of a disk."""

_GB = 1_000_000_000


def check_disks(env: Mapping[str, str]) -> Iterator[Finding]:
    """Free space where this process stands and where Airflow writes its logs."""
    folders = [Path.cwd(), *(Path(env[name]) for name in _FOLDERS if env.get(name))]
    seen: set[int] = set()
    for folder in folders:
        if not folder.exists() or (device := folder.stat().st_dev) in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(folder)
        yield disk_finding(folder, free=usage.free, total=usage.total)


_FOLDERS = ("AIRFLOW__LOGGING__BASE_LOG_FOLDER", "AIRFLOW_HOME")


def disk_finding(folder: Path, *, free: int, total: int) -> Finding:
    """The finding for this number of free bytes."""
    text = f"{folder}: {free / _GB:.1f} GB of {total / _GB:.1f} free"
    share = free / total
    if share >= DISK_WARN:
        return Finding("disk", "ok", text)
    status: Status = "warn" if share >= DISK_FAIL else "fail"
    todo = (
        "Airflow's logs grow by the night: airflow db clean --skip-archive, and delete old folders"
        " of logs. For the database: the Dag apply_retention."
    )
    return Finding("disk", status, text, todo)
