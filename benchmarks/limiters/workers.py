"""Twenty processes that ask one limiter for permits, and the times at which they got them."""

from __future__ import annotations

import multiprocessing
import os
import random
import struct
import time
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path

from typing_extensions import Self

from benchmarks.limiters.contenders import Contender

_CALL = struct.Struct("dd")  # asked, got: time.monotonic(), which all processes of a host share


@dataclass(frozen=True)
class Load:
    """What the processes do: a number of calls in a window of seconds, with pauses between them."""

    limit: int
    window_s: float
    pause_s: float = 0.0


class Crew:
    """Processes with one limiter each; left, none of them runs any more.

    Each writes its calls to a file of its own, so that one that is killed blocks nobody's report.
    """

    def __init__(self, contender: Contender, load: Load, size: int, folder: Path) -> None:
        context = multiprocessing.get_context("fork")
        contender.prepare()
        self._files = [folder / f"{number}.calls" for number in range(size)]
        self._ready = context.Semaphore(0)
        self._go = context.Event()
        self._until = context.Value("d", 0.0)
        self._processes: list[ForkProcess] = [
            context.Process(target=self._work, args=(contender, load, file), daemon=True)
            for file in self._files
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        for _ in self._processes:
            if not self._ready.acquire(timeout=60):
                message = "A process did not get its limiter ready within 60 s."
                raise RuntimeError(message)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    @property
    def pids(self) -> list[int]:
        """Of those who run."""
        return [process.pid for process in self._processes if process.is_alive() and process.pid]

    def begin(self, seconds: float) -> float:
        """Start all of them now, to stop after the given seconds; returns the time of the start."""
        begun = time.monotonic()
        self._until.value = begun + seconds
        self._go.set()
        return begun

    def work(self, seconds: float) -> float:
        """As `begin`, and wait for the end; calls that are waiting then are not counted."""
        begun = self.begin(seconds)
        time.sleep(seconds)
        return begun

    def kill(self, number: int) -> None:
        """Kill some."""
        for process in self._processes[:number]:
            process.kill()
            process.join()

    def calls(self) -> list[list[tuple[float, float]]]:
        """Asked and got, of every call of each process."""
        return [list(_CALL.iter_unpack(_whole(file))) for file in self._files]

    def ends(self, since: float) -> list[float]:
        """When permits were got after some moment."""
        return [end for calls in self.calls() for _, end in calls if end > since]

    def _work(self, contender: Contender, load: Load, file: Path) -> None:
        acquire = contender.open(load.limit, load.window_s)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._ready.release()
        self._go.wait()
        while time.monotonic() < self._until.value:
            begin = time.monotonic()
            acquire()
            os.write(descriptor, _CALL.pack(begin, time.monotonic()))
            if load.pause_s:
                time.sleep(random.uniform(0, 2 * load.pause_s))  # noqa: S311 - spreading load
        os.close(descriptor)


def _whole(file: Path) -> bytes:
    data = file.read_bytes() if file.exists() else b""
    return data[: len(data) // _CALL.size * _CALL.size]
