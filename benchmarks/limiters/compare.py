"""How exact and how dear is the rate limit, next to pyrate-limiter's Postgres and Redis buckets?

Run it by hand, on an idle machine; decision 4 quotes its table:

    pip install --target /tmp/others pyrate-limiter psycopg_pool redis
    PYTHONPATH=/tmp/others python -m benchmarks.limiters.compare

It starts a Postgres (with durable commits) and, if there is a `redis-server`, a Redis of its own.
The product does not depend on those two packages: one that is not installed is left out and named.
Windows are scaled: 300 calls in 3 s stand for 6,000 in a minute, ten times TikTok's pace.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

from rich.console import Console
from rich.table import Table

from benchmarks.limiters.contenders import Contender, contenders, local_servers
from benchmarks.limiters.workers import Crew, Load

WINDOW_S = 3.0
LIMIT = 300
UNLIMITED = 1_000_000
PROCESSES = 20
MANY = 50
NEEDED_PER_S = 10

console = Console(width=140)


@dataclass
class Figures:
    """What one contender showed; times in seconds."""

    paced: list[float]
    free_per_s: float
    free: list[float]
    most: int
    burst_s: float
    share: float
    fewest: int
    most_calls: int
    longest: float
    stalled: str
    after_kill_s: float


def _largest_window(times: list[float]) -> int:
    ordered = sorted(times)
    return max(bisect_left(ordered, at + WINDOW_S) - number for number, at in enumerate(ordered))


def _percentiles(seconds: list[float]) -> str:
    cuts = quantiles(seconds, n=100)
    return f"{1000 * cuts[49]:.1f} / {1000 * cuts[98]:.1f} ms"


def _paced(contender: Contender, folder: Path) -> list[float]:
    """Waits for a permit when everyone calls now and then: 100 calls a second in all."""
    with Crew(contender, Load(UNLIMITED, WINDOW_S, pause_s=0.2), PROCESSES, folder) as crew:
        crew.work(6)
        return [end - begin for calls in crew.calls() for begin, end in calls]


def _free(contender: Contender, folder: Path, processes: int) -> tuple[float, list[float]]:
    """Permits a second and waits for them, when nobody does anything else."""
    with Crew(contender, Load(UNLIMITED, WINDOW_S), processes, folder) as crew:
        crew.work(5)
        taken = [end - begin for calls in crew.calls() for begin, end in calls]
        return len(taken) / 5, taken


def _saturated(contender: Contender, folder: Path) -> tuple[list[list[tuple[float, float]]], float]:
    """Every call that set off in five windows of which each is full."""
    with Crew(contender, Load(LIMIT, WINDOW_S), PROCESSES, folder) as crew:
        begun = crew.work(5 * WINDOW_S)
        return crew.calls(), begun


def _stopped(contender: Contender, folder: Path) -> tuple[str, float]:
    """How often a stopped process stopped all others, and the longest gap after two were killed."""
    rounds, stalled = 250, 0
    with Crew(contender, Load(UNLIMITED, WINDOW_S), PROCESSES, folder) as crew:
        crew.begin(300)
        time.sleep(1)
        for _ in range(rounds):
            victim = random.choice(crew.pids)  # noqa: S311 - any
            os.kill(victim, signal.SIGSTOP)
            begin = time.monotonic()
            time.sleep(0.15)
            # What was on its way when it stopped arrives within 50 ms. A busy machine may hold
            # all back for a moment too, so that only a whole second without a permit counts.
            if not crew.ends(since=begin + 0.05):
                time.sleep(1)
                stalled += not crew.ends(since=begin + 0.05)
            os.kill(victim, signal.SIGCONT)
            time.sleep(0.02)
        killed = time.monotonic()
        crew.kill(2)
        time.sleep(2)
        ends = [killed, *sorted(crew.ends(since=killed))]
        gap = max(later - at for at, later in pairwise(ends))
    return f"{stalled} of {rounds}", gap


def _measure(contender: Contender, folder: Path) -> Figures:
    steps = iter(range(10))

    def place() -> Path:
        made = folder / f"{contender.key}-{next(steps)}"
        made.mkdir()
        return made

    paced = _paced(contender, place())
    free_per_s, free = _free(contender, place(), PROCESSES)
    by_process, begun = _saturated(contender, place())
    calls = [call for process in by_process for call in process]
    ends = sorted(end for _, end in calls)
    last = ends[-1]
    allowed = LIMIT * (1 + (last - begun) // WINDOW_S)
    stalled, gap = _stopped(contender, place())
    return Figures(
        paced=paced,
        free_per_s=free_per_s,
        free=free,
        most=_largest_window(ends),
        burst_s=ends[LIMIT - 1] - begun,
        share=len(ends) / allowed,
        fewest=min(map(len, by_process)),
        most_calls=max(map(len, by_process)),
        longest=max(end - begin for begin, end in calls),
        stalled=stalled,
        after_kill_s=gap,
    )


def _table(found: dict[str, Figures]) -> Table:
    table = Table(
        title=f"{PROCESSES} processes; limit {LIMIT} in {WINDOW_S:.0f} s where there is one"
    )
    table.add_column("")
    for name in found:
        table.add_column(name, justify="right")
    ours = next(iter(found.values()))
    lines: dict[str, Callable[[Figures], str]] = {
        "100 calls/s: p50 / p99": lambda f: _percentiles(f.paced),
        "flat out: permits/s": lambda f: (
            f"{f.free_per_s:.0f} ({f.free_per_s / ours.free_per_s:.2f}x)"
        ),
        "flat out: p50 / p99": lambda f: _percentiles(f.free),
        "largest window": lambda f: f"{f.most} of {LIMIT}",
        "share of the limit used": lambda f: f"{f.share:.0%}",
        "first burst": lambda f: f"{f.burst_s:.2f} s",
        "calls by process": lambda f: f"{f.fewest} to {f.most_calls}",
        "longest wait": lambda f: f"{f.longest:.2f} s",
        "one stopped: all stood still": lambda f: f.stalled,
        "gap after two were killed": lambda f: f"{f.after_kill_s:.2f} s",
    }
    for line, show in lines.items():
        table.add_row(line, *(show(figures) for figures in found.values()))
    return table


def main() -> None:
    """Measure all that is installed, print the table and the throughput of one endpoint's row."""
    with tempfile.TemporaryDirectory(prefix="rate-limiters-") as name:
        folder = Path(name)
        with local_servers(folder) as servers:
            chosen = contenders(servers)
            for reason in servers.left_out:
                console.print(f"Left out: {reason}")
            found = {}
            for contender in chosen:
                console.print(f"Measuring {contender.key} …")
                found[contender.key] = _measure(contender, folder)
            console.print(_table(found))
            ring = chosen[0]
            place = folder / "throughput"
            place.mkdir()
            # A ring of 600 places that are always open again.
            with Crew(ring, Load(600, 0.0), MANY, place) as crew:
                crew.work(10)
                taken = [end - begin for calls in crew.calls() for begin, end in calls]
            rate = len(taken) / 10
            console.print(
                f"{ring.key}, one endpoint, {MANY} processes flat out: {rate:.0f} grants/s, "
                f"{rate / NEEDED_PER_S:.0f}x the {NEEDED_PER_S}/s needed; {_percentiles(taken)}"
            )


if __name__ == "__main__":
    main()
