"""How long does a loop of Airflow's scheduler take? It says so itself, over StatsD."""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import dataclass

from typing_extensions import Self

from include.local.ports import HOST

_METRIC = "scheduler.scheduler_loop_duration"
_TIMING = re.compile(rb"(?:^|\.)scheduler\.scheduler_loop_duration:([0-9.eE+-]+)\|ms")
_DATAGRAM = 8_192
_PATIENCE_S = 0.2


@dataclass(frozen=True)
class LoopTimes:
    """Figures of the loops in a while.

    Attributes:
        loops: How many.
        mean_ms: Their average.
        p95_ms: Nineteen in twenty were shorter.
        longest_ms: The longest.
    """

    loops: int
    mean_ms: float
    p95_ms: float
    longest_ms: float


class LoopTimesListener:
    """A StatsD server that keeps one metric; left, it listens no more."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._socket.settimeout(_PATIENCE_S)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._found: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    @property
    def airflow_env(self) -> dict[str, str]:
        """What makes Airflow send the metric here, and no other."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": HOST,
            "AIRFLOW__METRICS__STATSD_PORT": str(self._socket.getsockname()[1]),
            "AIRFLOW__METRICS__METRICS_ALLOW_LIST": _METRIC,
        }

    def begin(self) -> None:
        """Forget what has been sent so far."""
        self._found = []

    def times(self) -> LoopTimes | None:
        """Of the loops since `begin`; ``None`` = there was none."""
        found = sorted(self._found)
        if not found:
            return None
        return LoopTimes(
            loops=len(found),
            mean_ms=sum(found) / len(found),
            p95_ms=found[int(len(found) * 0.95)],
            longest_ms=found[-1],
        )

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                datagram = self._socket.recv(_DATAGRAM)
            except TimeoutError:
                continue
            for line in datagram.splitlines():
                match = _TIMING.search(line)
                if match:
                    self._found.append(float(match[1]))
