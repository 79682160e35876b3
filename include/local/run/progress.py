"""How far are the runs? A live bar for each Dag on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from typing_extensions import Self

from include.local.console import progress as console
from include.local.console import say

_LINE_SECONDS = 10.0


@dataclass(frozen=True)
class Count:
    """How far one run is.

    Attributes:
        total: Active stores when the run began.
        done: Stores that succeeded.
        failed: Stores that failed.
        skipped: Stores with nothing to do.
        seconds: Since the run was started.
        state: Of the run, as Airflow names it.
        retries: Tasks that wait for their next try.
    """

    total: int
    done: int
    failed: int
    skipped: int
    seconds: float
    state: str
    retries: int = 0

    @property
    def finished(self) -> int:
        """Stores with an outcome."""
        return self.done + self.failed + self.skipped

    @property
    def rate(self) -> float:
        """Stores a second."""
        return self.finished / self.seconds if self.seconds > 0 else 0.0

    def text(self) -> str:
        """Everything but the bar."""
        parts = [
            f"{self.done:>5}/{self.total} stores",
            f"{self.failed} failed",
            f"{self.skipped} skipped",
            f"{self.rate:.1f}/s",
        ]
        if self.state in {"success", "failed"}:
            parts.append(self.state)
        elif self.state == "queued":
            parts.append("queued")
        elif self.total and self.finished >= self.total:
            # Every store has an outcome, and a failed one may yet get a better one.
            parts.append(f"waiting for {_retries(self.retries)}" if self.retries else "finishing")
        elif self.rate:
            parts.append(f"{clock((self.total - self.finished) / self.rate)} left")
        return ", ".join(parts)


def _retries(count: int) -> str:
    return "1 retry" if count == 1 else f"{count} retries"


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02}"


class ProgressView:
    """Shows the counts of several runs; use it as a context manager.

    Args:
        names: The Dags, in the order of their bars.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._live = console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._names = names
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._live:
            for name in self._names:
                self._tasks[name] = self._bars.add_task(name, total=None, text="")
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture on the screen."""
        if self._live:
            self._bars.stop()

    def show(self, counts: Mapping[str, Count], *, final: bool = False) -> None:
        """Draw the present counts.

        Args:
            counts: By Dag.
            final: Whether this is the last picture, which is shown in any case.
        """
        if self._live:
            for name, count in counts.items():
                self._bars.update(
                    self._tasks[name],
                    completed=count.finished,
                    total=max(count.total, 1),
                    text=count.text(),
                )
                if count.state in {"success", "failed"}:
                    self._bars.update(self._tasks[name], completed=max(count.total, 1))
                    self._bars.stop_task(self._tasks[name])
        elif final or time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            width = max(map(len, self._names))
            for name, count in counts.items():
                say(f"  {name:<{width}}  {count.text()}, {clock(count.seconds)} elapsed")
