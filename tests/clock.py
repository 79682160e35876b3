"""Run the tests on another day: their clock, their Postgres's, that of all their processes.

A library of 40 lines (``clock.c``, compiled here) is preloaded into each process and moves its wall
clock. The clock goes on, and what measures time that passes is untouched. The tests of the whole
stack (``e2e``), whose time zone follows the day, stay on the machine's own clock.

    python -m tests.clock -- python -m pytest …     begin at one of TRIED at random, or at CLOCK
    python -m tests.clock --all -- python -m pytest …     at each of MOMENTS, or of CLOCK's

Decision record: docs/decisions/0018-tests-on-other-days.md.
"""

from __future__ import annotations

import ctypes
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

CLOCK = "CLOCK"
"""The moment to begin at, UTC: ``2028-02-29T10:00``; ``real``: the machine's own clock."""

REAL = "real"
_SOURCE = Path(__file__).with_name("clock.c")
_PRELOAD = "LD_PRELOAD"
_LIBRARY = "TESTS_CLOCK_LIBRARY"
"""What is preloaded; not there on the machine's own clock."""

_OFFSET = "TESTS_CLOCK_OFFSET"
"""Seconds that it moves the clock by."""

_INTERRUPTED = 2
"""pytest's exit status after Ctrl-C, or when tests cannot be read: the next day ends so too."""

_TRIAL_SECONDS = 30
_TRIAL = """
import threading, time
lock, begin = threading.Lock(), time.monotonic()
lock.acquire()
lock.acquire(timeout=0.1)
assert 0.1 <= time.monotonic() - begin < 20
print(time.time())
"""

MOMENTS = (
    # Every day of a month, at every hour of the day.
    *(f"2027-03-{day:02}T{day * 5 % 24:02}:10" for day in range(1, 32)),
    # Both ends of a year, of February with 28 and with 29 days, of a month with 30; the days that
    # February does not have.
    *("2026-12-31T23:15", "2027-01-01T00:01", "2027-02-28T23:15", "2027-04-30T12:00"),
    *("2028-02-29T00:01", "2028-02-29T23:15", "2028-03-01T00:01"),
    "2027-01-30T12:00",
    # Minutes before the clocks change, to summer and from it: Berlin, New York, Auckland.
    *("2027-03-28T00:55", "2027-10-31T00:55", "2027-03-14T06:55", "2027-11-07T05:55"),
    *("2027-09-25T13:55", "2027-04-03T13:55"),
    # Minutes before midnight: Kiritimati, Tokyo, Kolkata, New York, Los Angeles, Pago Pago.
    *("2027-05-31T09:55", "2027-06-30T14:55", "2027-07-31T18:25"),
    *("2027-06-01T03:55", "2027-08-01T06:55", "2027-07-01T10:55"),
)
"""When runs begin, UTC; try a new one (``make test-days CLOCK=…``) before it stands here.

Half an hour after each no midnight (UTC) has passed: tests wait for it, see ``tests/conftest.py``.
None lies before the tests were written: their own dates and the sandbox's videos are of 2026.
"""

TRIED = (
    "2026-12-31T23:15",
    "2027-01-01T00:01",
    "2027-01-30T12:00",
    "2027-03-01T05:10",
    "2027-03-05T01:10",
    "2027-03-14T22:10",
    "2027-03-28T20:10",
    "2027-03-31T11:10",
    "2027-04-30T12:00",
    "2027-06-01T03:55",
    "2027-10-31T00:55",
    "2028-02-29T00:01",
    "2028-03-01T00:01",
)
"""Those on which the tests that know of dates have passed: ``make test`` draws from them.

A day nobody has tried must not turn CI red. ``make test-days`` runs all of :data:`MOMENTS`.
"""


class ClockError(Exception):
    """Why the tests cannot run on another day."""


def build(folder: Path) -> Path:
    """Compile the library into ``folder``, whose owner need not be who loads it.

    Raises:
        ClockError: There is no compiler, or it fails.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        message = "there is no C compiler (make test-tools, as root, installs one)"
        raise ClockError(message)
    library = folder / "clock.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    done = subprocess.run(  # noqa: S603 - fixed words, no shell
        [*command, "-o", str(library), str(_SOURCE), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        message = f"{compiler} fails: {done.stderr.strip()}"
        raise ClockError(message)
    folder.chmod(0o755)  # Postgres has a user of its own
    library.chmod(0o755)
    return library


def shifted(moment: str, library: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which it is ``moment`` now.

    Raises:
        ClockError: The library cannot be preloaded here, or waits go wrong with it.
    """
    wanted = datetime.fromisoformat(moment)
    wanted = wanted if wanted.tzinfo else wanted.replace(tzinfo=timezone.utc)
    offset = math.ceil((wanted - datetime.now(timezone.utc)) / timedelta(seconds=1))
    found = {
        **environ,
        CLOCK: moment,
        _PRELOAD: " ".join(filter(None, (str(library), environ.get(_PRELOAD)))),
        _LIBRARY: str(library),
        _OFFSET: str(offset),
    }
    try:
        done = subprocess.run(  # noqa: S603 - fixed program, no shell
            [sys.executable, "-c", _TRIAL],
            env=found,
            capture_output=True,
            text=True,
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = "a wait with a time-out does not end under it"
        raise ClockError(message) from None
    if done.returncode != 0 or done.stderr:
        message = f"under it a process ends with {done.returncode}: {done.stderr.strip()}"
        raise ClockError(message)
    if abs(float(done.stdout) - wanted.timestamp()) > _TRIAL_SECONDS:
        message = f"under it a process has {done.stdout.strip()} s since 1970"
        raise ClockError(message)
    return found


def follow(*, real: bool) -> None:
    """Put this process, and those that it starts from now on, on the machine's clock or back."""
    library = os.environ.get(_LIBRARY)
    preloaded = os.environ.get(_PRELOAD, "").split()
    if library is None or real is (library not in preloaded):
        return
    offset = ctypes.c_long.in_dll(ctypes.CDLL(None), _OFFSET.lower())
    offset.value = 0 if real else int(os.environ[_OFFSET])
    others = [each for each in preloaded if each != library]
    os.environ[_PRELOAD] = " ".join(others if real else [library, *others])


def header() -> str:
    """A line for the head of pytest's report."""
    if _LIBRARY not in os.environ:
        return "clock: the machine's own"
    return f"clock: began at {os.environ[CLOCK]} UTC (again: make test CLOCK={os.environ[CLOCK]})"


def main(arguments: Sequence[str]) -> int:
    """Run a command on one day, or on all. Returns its exit status, the first that is not 0."""
    split = list(arguments).index("--")
    command = list(arguments)[split + 1 :]
    wanted = os.environ.get(CLOCK, "").split()
    for moment in wanted:
        if not _is_moment(moment):
            _say(f"{CLOCK}={moment} is neither a time (UTC) such as {MOMENTS[0]} nor {REAL}.")
            return 2
    with tempfile.TemporaryDirectory(prefix="tests-clock-") as folder:
        if "--all" not in arguments[:split]:
            moment = wanted[0] if wanted else random.choice(TRIED)  # noqa: S311 - no secret
            return _run(moment, command, Path(folder))
        statuses: dict[str, int] = {}
        for moment in wanted or MOMENTS:
            statuses[moment] = _run(moment, command, Path(folder))
            if statuses[moment] < 0 or statuses[moment] == _INTERRUPTED:
                break
    failed = {moment: status for moment, status in statuses.items() if status}
    for moment in failed:
        _say(f"Failed: make test CLOCK={moment}")
    _say(f"{len(statuses) - len(failed)} of {len(wanted or MOMENTS)} days passed")
    return next(iter(failed.values()), 0)


def _run(moment: str, command: Sequence[str], folder: Path) -> int:
    environ = dict(os.environ)
    if moment != REAL:
        try:
            environ = shifted(moment, build(folder), environ)
        except ClockError as error:
            _say(f"The tests run on the machine's own clock, not at {moment}: {error}.")
            moment = REAL
    _say(f"The tests' clock: CLOCK={moment}")
    with subprocess.Popen(command, env=environ) as process:  # noqa: S603 - our caller's
        # What ends us ends the tests, which have much to put away: we wait. Ctrl-C they get too.
        handlers = {
            signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
            signal.SIGTERM: signal.signal(
                signal.SIGTERM, lambda number, _: process.send_signal(number)
            ),
        }
        try:
            return process.wait()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return text == REAL
    return True


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
