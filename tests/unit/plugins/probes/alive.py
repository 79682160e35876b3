"""What lives in this process that its forks must not share? Imports nothing that it looks for."""

from __future__ import annotations

import _thread
import gc
import os
import random
import sys
import threading
from pathlib import Path
from typing import Any

_UNSHAREABLE = (
    ("asyncio", "BaseEventLoop"),
    ("concurrent.futures", "Executor"),
    ("httpx", "AsyncClient"),
    ("httpx", "Client"),
    ("psycopg", "BaseConnection"),
    ("psycopg2.extensions", "connection"),
    ("requests", "Session"),
    ("socket", "socket"),
    ("sqlite3", "Connection"),
    ("ssl", "SSLContext"),
    ("subprocess", "Popen"),
    ("threading", "Thread"),
    ("urllib3.connection", "HTTPConnection"),
)
_GENERATORS = ("numpy.random", "torch")
"""Modules that bring a generator which, unlike Python's, does not start again in a fork."""


def sockets() -> set[str]:
    """Sockets this process holds open."""
    links = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            link = str(descriptor.readlink())
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
        if link.startswith("socket:"):
            links.add(link)
    return links


def native_threads() -> int:
    """Threads as the kernel counts them: also those that Python does not know."""
    return len(list(Path("/proc/self/task").iterdir()))


def unshareable() -> dict[int, str]:
    """Identity -> type, of the objects that hold a thread, a socket, TLS or a connection."""
    known = [
        (found, f"{module}.{name}")
        for module, name in _UNSHAREABLE
        if isinstance(found := getattr(sys.modules.get(module), name, None), type)
    ]
    harmless = (
        threading.main_thread(),
        # Has no thread: it runs in its caller. Celery brings tornado, which tenacity then imports.
        getattr(sys.modules.get("tornado.concurrent"), "dummy_executor", None),
    )
    # By type(): isinstance() wakes up lazy objects of Airflow, which then import more.
    return {
        id(thing): label
        for thing in gc.get_objects()
        for kind, label in known
        if issubclass(type(thing), kind) and not any(thing is one for one in harmless)
    }


def generators() -> dict[int, str]:
    """Identity -> name, of the random generators whose state forks would share.

    ``random``'s own starts again in each fork, and ``SystemRandom`` has no state.
    """
    names = getattr(sys.modules.get("tempfile"), "_name_sequence", None)
    primes = getattr(sys.modules.get("more_itertools.recipes"), "_private_randrange", None)
    harmless = (
        getattr(names, "_rng", None),  # starts again where the process is another
        getattr(primes, "__self__", None),  # helps to tell whether a number is prime
    )
    shared: Any = random.random.__self__  # type: ignore[attr-defined]  # the generator behind the functions
    found = {
        id(thing): type(thing).__qualname__
        for thing in gc.get_objects()
        if issubclass(type(thing), random.Random)
        and not issubclass(type(thing), random.SystemRandom)
        and thing is not shared
        and not any(thing is one for one in harmless)
    }
    return found | {-number: name for number, name in enumerate(_GENERATORS) if name in sys.modules}


def held_locks() -> dict[int, str]:
    """Identity -> text, of the locks that somebody holds: in a fork nobody would release them."""
    kinds = (_thread.LockType, _thread.RLock)
    things = (thing for owner in gc.get_objects() for thing in gc.get_referents(owner))
    # A RLock tells whether it is held in its text alone (until Python 3.14).
    return {
        id(thing): repr(thing)
        for thing in things
        if type(thing) in kinds and repr(thing).startswith("<locked")
    }


def drawn_in_forks(draw: Any) -> list[str]:
    """What ``draw()`` gives in two forks of this process."""
    answers = []
    for _ in range(2):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, str(draw()).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            answers.append(answer.read())
        os.waitpid(child, 0)
    return answers
