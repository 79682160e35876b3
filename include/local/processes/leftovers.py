"""Which processes belong to this stack, regardless of their parent, and how do they end?

A process belongs to it if its environment carries the stack's marker, if it is the Postgres of
the stack's data folder, or if an ancestor does. Nothing else is ever touched: a pager on a log
file or another clone's stack matches none of the three.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

import psutil

from include.local.errors import StopError
from include.local.polling import wait_for
from include.local.workspace import STACK_MARKER, Workspace

_PROGRAM = "SUPERVISOR_PROCESS_NAME"  # supervisord sets it for each program
_PATIENCE_SECONDS = 15.0
_POSTGRES_PATIENCE_SECONDS = 30.0
_KILL_SECONDS = 20.0


def of_stack(workspace: Workspace) -> list[psutil.Process]:
    """Every living process of this stack."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid in found or not _belongs(process, workspace):
            continue
        found[process.pid] = process
        try:
            found.update({child.pid: child for child in process.children(recursive=True)})
        except psutil.Error:
            continue
    myself = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [p for pid, p in found.items() if pid not in myself and _alive(p)]


def stop_all(workspace: Workspace) -> int:
    """End every process of this stack, Postgres last.

    Returns:
        How many there were.

    Raises:
        StopError: Some are still there.
    """
    found = of_stack(workspace)
    servers = [p for p in found if is_postmaster(p, workspace)]
    supervisors = [p for p in found if "supervisor.supervisord" in _command(p)]
    rest = [p for p in found if p not in servers and p not in supervisors]
    # A living supervisord would start again what ends.
    _end(supervisors, signal.SIGTERM, _PATIENCE_SECONDS)
    # Parents end their own children in order: a signalled backend looks like a crash to Postgres,
    # and a signalled worker may leave Airflow's scheduler waiting for a lock.
    pids = {p.pid for p in (*rest, *servers)}
    heads = [p for p in rest if not _ancestors(p) & pids]
    _end(heads, signal.SIGTERM, _PATIENCE_SECONDS)
    _end(servers, signal.SIGINT, _POSTGRES_PATIENCE_SECONDS)
    _end(of_stack(workspace), signal.SIGKILL, _KILL_SECONDS)
    left = of_stack(workspace)
    if left:
        names = ", ".join(f"{_name(p)} (pid {p.pid})" for p in left)
        message = f"Still running after kill: {names}. End them by hand, then try again."
        raise StopError(message)
    return len(found)


def end_left_behind(state: str, program: str) -> int:
    """Kill what an earlier life of a program left behind, as the end of a container would.

    A scheduler that is killed leaves its LocalExecutor workers: they would wait forever for a
    queue that nobody fills, and some would go on with tasks that Airflow gives to others.

    Args:
        state: The stack's marker, see ``STACK_MARKER``.
        program: Its name in supervisor, which its children inherit.

    Returns:
        How many processes were ended.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + _KILL_SECONDS
    while left := _left_behind(state, program):
        ended |= {process.pid for process in left}
        _end(left, signal.SIGKILL, max(0.0, deadline - time.monotonic()))
        if time.monotonic() > deadline:
            break  # its successor must start all the same; `down` names what cannot be ended
    return len(ended)


def is_postmaster(process: psutil.Process, workspace: Workspace) -> bool:
    """Whether a process is the Postgres server of this stack's data folder."""
    command = _command(process)
    return (
        len(command) > 2  # noqa: PLR2004 - program, -D, folder
        and command[0].endswith("/postgres")
        and command[1:3] == ["-D", str(workspace.postgres_data)]
    )


def _belongs(process: psutil.Process, workspace: Workspace) -> bool:
    try:
        marker = process.environ().get(STACK_MARKER)
    except (psutil.Error, OSError):
        marker = None  # another user's process, or gone
    return marker == str(workspace.state) or is_postmaster(process, workspace)


def _left_behind(state: str, program: str) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            if (environ.get(STACK_MARKER), environ.get(_PROGRAM)) == (state, program):
                # A task's own environment may be closed to us; its parent's is not.
                children = process.children(recursive=True)
                found |= {relative.pid: relative for relative in (process, *children)}
        except (psutil.Error, OSError):
            continue
    return [process for pid, process in found.items() if pid != os.getpid() and _alive(process)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.Error, OSError):
        return []


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return "?"


def _ancestors(process: psutil.Process) -> set[int]:
    try:
        return {parent.pid for parent in process.parents()}
    except psutil.Error:
        return set()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _end(processes: Iterable[psutil.Process], how: signal.Signals, patience: float) -> None:
    waiting = [p for p in processes if _alive(p)]
    for process in waiting:
        try:
            process.send_signal(how)
        except psutil.Error:
            continue  # it ended meanwhile; a lack of rights shows as StopError
    wait_for(lambda: not any(_alive(p) for p in waiting), seconds=patience, every=0.05)
