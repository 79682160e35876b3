"""What did a run cost the machine: processor time by part, memory, calls to the Execution API?"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
from typing_extensions import Self

from include.local.processes.programs import (
    API_SERVER,
    CONNECT,
    EXECUTION_API,
    POSTGRES,
    SANDBOX,
)
from include.local.processes.supervisor import LOG_BACKUPS
from include.local.stack import Stack

TASKS = "task processes"
WORKERS = "executor workers"
PLAIN = "the program"
"""The program that syncs without Airflow."""

PARTS = (
    *(API_SERVER, EXECUTION_API, "scheduler", WORKERS, TASKS, "dag-processor", "triggerer"),
    *(PLAIN, POSTGRES, SANDBOX, CONNECT),
)
"""In the order in which they are shown."""

_SAMPLE_SECONDS = 4.0
_SHARE = 0.02
"""Of one core that sampling may take."""

_MB = 1024 * 1024


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """Processor seconds, user and system, of each part since it was started."""
    found = dict.fromkeys(PARTS, 0.0)
    for name, state in stack.states().items():
        if not state.pid:
            continue
        root = psutil.Process(state.pid)
        if name == "scheduler":
            found |= _scheduler(root)
        else:
            found[name] += sum(map(_with_ended, _tree(root)))
    return found


def _scheduler(root: psutil.Process) -> dict[str, float]:
    """The scheduler's workers are its children, and the tasks are theirs: forked, and waited for.

    A worker that has ended is left out; they live as long as the scheduler.
    """
    found = {"scheduler": _own(root), WORKERS: 0.0, TASKS: 0.0}
    for worker in root.children():
        found[WORKERS] += _own(worker)
        found[TASKS] += _with_ended(worker) - _own(worker)
        with suppress(psutil.NoSuchProcess):
            found[TASKS] += sum(map(_with_ended, worker.children(recursive=True)))
    return found


def _own(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _with_ended(process: psutil.Process) -> float:
    """Its own seconds, and those of children that have ended and been waited for."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _tree(root: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [root, *root.children(recursive=True)]
    return []


class MemoryWatch:
    """The most memory that the stack's processes had, each shared page counted once.

    Proportional set size, sampled every 4 s or seldomer: a sample reads the page tables of every
    process, and may not take more than 2 % of a core.

    Args:
        stack: Whose processes.
    """

    def __init__(self, stack: Stack) -> None:
        self._roots = [state.pid for state in stack.states().values() if state.pid]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak_mb = 0.0
        self.samples = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def add(self, pid: int) -> None:
        """Watch one more process, and its children."""
        self._roots.append(pid)

    def _run(self) -> None:
        while not self._over.is_set():
            begun = time.thread_time()
            self.peak_mb = max(self.peak_mb, self._sample_mb())
            self.samples += 1
            took = time.thread_time() - begun
            self._over.wait(max(_SAMPLE_SECONDS, took / _SHARE))

    def _sample_mb(self) -> float:
        total = 0
        for root in list(self._roots):
            with suppress(psutil.NoSuchProcess):
                total += sum(map(_pss, _tree(psutil.Process(root))))
        return total / _MB


def _pss(process: psutil.Process) -> int:
    """Bytes; `memory_full_info` reads the same figure from a file a hundred times as long."""
    with suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class ExecutionCalls:
    """Counts the requests that tasks send to the Execution API, from now on.

    The access log is its own; supervisord renames it when it is full.

    Args:
        stack: Whose Execution API.
    """

    def __init__(self, stack: Stack) -> None:
        self._log = stack.workspace.log_file(EXECUTION_API)
        stat = self._log.stat()
        self._inode, self._offset = stat.st_ino, stat.st_size

    def count(self) -> int:
        """How many so far."""
        return sum(self._lines(file) for file in self._newer())

    def _newer(self) -> list[Path]:
        found: list[Path] = []
        for number in range(LOG_BACKUPS + 1):
            file = self._log.with_name(f"{self._log.name}.{number}") if number else self._log
            if not file.exists():
                break
            found.append(file)
            if file.stat().st_ino == self._inode:
                break
        return found

    def _lines(self, file: Path) -> int:
        with file.open("rb") as lines:
            if file.stat().st_ino == self._inode:
                lines.seek(self._offset)
            return sum(b"/execution/" in line for line in lines)
