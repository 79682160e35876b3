"""How does one round go? A sync, kills at random moments of it, and how each was got over."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from include.tiktok_sync.jobs import SYNC_JOBS
from tests.chaos.conftest import ChaosStack
from tests.chaos.victims import AWAY, Strike, strike

WINDOW_S = 60.0
"""Kills are planned for this long; a calm sync takes about so much."""

_START_S = 240.0
_ROUND_S = 900.0
_BACK_S = 600.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Kill:
    """One kill that happened.

    Attributes:
        kind: See ``victims.KINDS``.
        what: Who it was.
        at_s: Seconds into the runs.
        back_s: Seconds until it was got over; ``None`` = not within ten minutes.
    """

    kind: str
    what: str
    at_s: float
    back_s: float | None


@dataclass
class Round:
    """What happened in one round.

    Attributes:
        number: From 1.
        day: The sandbox's day.
        run_ids: Run id by Dag id.
        kills: In their order.
        seconds: From the start of the runs to the end of the sync.
        exit_status: Of the sync.
        output: What the sync printed.
        problems: What was wrong afterwards; filled by the checks.
        cost: Tries and the like, for the table; filled by the checks.
    """

    number: int
    day: str
    run_ids: dict[str, str]
    kills: list[Kill]
    seconds: float
    exit_status: int
    output: str
    problems: list[str] = field(default_factory=list)
    cost: str = ""


def play(
    stack: ChaosStack, number: int, day: str, kinds: Iterable[str], chance: random.Random
) -> Round:
    """Sync once and kill one process of each kind on the way.

    Args:
        stack: Whose.
        number: Of the round.
        day: The sandbox's day.
        kinds: What to kill; those that the end of the runs comes before are left out.
        chance: Order, moments and victims.
    """
    plan = list(kinds)
    chance.shuffle(plan)
    moments = sorted(chance.uniform(1, WINDOW_S) for _ in plan)
    given_up = Event()
    with (
        tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".log") as output,
        ThreadPoolExecutor(max_workers=max(1, len(plan))) as waiting,
    ):
        sync = stack.sync(output, day)
        try:
            run_ids = _running(stack)
            started = time.monotonic()
            done: list[tuple[Strike, float, Future[float | None]]] = []
            for kind, moment in zip(plan, moments, strict=True):
                blow = None
                while blow is None and sync.poll() is None:
                    time.sleep(_POLL_S)
                    if time.monotonic() - started >= moment:
                        blow = strike(stack.local, kind, chance)
                if blow:
                    now = time.monotonic()
                    done.append(
                        (blow, now - started, waiting.submit(_time_back, blow, now, given_up))
                    )
            exit_status = sync.wait(_ROUND_S)
            seconds = time.monotonic() - started
        except BaseException:
            given_up.set()
            raise
        finally:
            sync.kill()
            sync.wait()
        kills = [Kill(blow.kind, blow.what, at, back.result()) for blow, at, back in done]
        text = Path(output.name).read_text(encoding="utf-8")
    return Round(number, day, run_ids, kills, seconds, exit_status, text)


def _running(stack: ChaosStack) -> dict[str, str]:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        runs = {dag_id: stack.local.api.active_runs(dag_id) for dag_id in SYNC_JOBS}
        if all(runs.values()):
            return {dag_id: found[0] for dag_id, found in runs.items()}
        time.sleep(_POLL_S)
    message = "The runs were not started."
    raise AssertionError(message)


def _time_back(blow: Strike, struck: float, given_up: Event) -> float | None:
    while time.monotonic() - struck < _BACK_S and not given_up.is_set():
        time.sleep(_POLL_S)
        try:
            if blow.is_back():
                return time.monotonic() - struck
        except AWAY:
            continue
    return None
