"""What a killed program left behind: all of it is found, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from include.local.processes.leftovers import end_left_behind
from include.local.workspace import STACK_MARKER

PARENT = "import subprocess; subprocess.run(['sleep', '600'])"


@contextmanager
def survivor(state: str, program: str) -> Iterator[psutil.Process]:
    """A process with a child, as a worker of a killed scheduler is."""
    env = {**os.environ, STACK_MARKER: state, "SUPERVISOR_PROCESS_NAME": program}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=env)  # noqa: S603 - fixed words
    try:
        process = psutil.Process(parent.pid)
        while not process.children():
            assert parent.poll() is None
        yield process
    finally:
        for child in psutil.Process(parent.pid).children() if parent.poll() is None else []:
            child.kill()
        parent.kill()
        parent.wait()


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_programs_survivors_are_killed_with_their_children() -> None:
    with survivor("/a state", "scheduler") as worker:
        (task,) = worker.children()

        assert end_left_behind("/a state", "scheduler") == 2

        assert gone(worker)
        assert gone(task)
        assert end_left_behind("/a state", "scheduler") == 0


def test_other_programs_and_other_stacks_are_left_alone() -> None:
    with survivor("/a state", "triggerer") as other, survivor("/b", "scheduler") as neighbour:
        assert end_left_behind("/a state", "scheduler") == 0
        assert not gone(other)
        assert not gone(neighbour)
