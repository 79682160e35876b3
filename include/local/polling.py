"""How does the stack wait for something that sends no signal? One loop for all its waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(ask: Callable[[], T], *, seconds: float, every: float = 0.1) -> T:
    """Ask again and again until the answer is truthy or the time is over.

    Args:
        ask: Called at least once.
        seconds: When to give up; ``math.inf`` = never.
        every: Seconds between two questions.

    Returns:
        The last answer.
    """
    deadline = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(every)
    return answer
