"""tests/clock.py: another day for a process and all it starts, and the days that are drawn from."""

from __future__ import annotations

import calendar
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests import clock
from tests.clock import MOMENTS, TRIED
from tests.conftest import ROOT

UTC = timezone.utc
LEAP_DAY = datetime(2028, 2, 29, 10, tzinfo=UTC)
MINUTES = timedelta(minutes=10)
"""What a slow machine may need from the start of the clock to a look at it."""

LOOK = """
import json, subprocess, sys, time
from tests import clock
def look():
    child = subprocess.check_output([sys.executable, "-c", "import time; print(time.time())"])
    return [time.time(), float(child)]
looks = [look()]
for real in (True, True, False, False):
    clock.follow(real=real)
    looks.append(look())
print(json.dumps([looks, clock.header()]))
"""

NOW = "import time; print(time.time())"


@pytest.fixture(autouse=True)
def _machines_own_clock() -> Iterator[None]:
    """These tests move the clock themselves, whatever day the others have."""
    clock.follow(real=True)
    yield
    clock.follow(real=False)


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Another run of the module."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("TESTS_CLOCK")}
    return subprocess.run(  # noqa: S603 - fixed program, no shell
        [sys.executable, "-m", "tests.clock", *words],
        cwd=ROOT,
        env={**own, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def is_leap_day(found: float) -> bool:
    return LEAP_DAY <= datetime.fromtimestamp(found, UTC) < LEAP_DAY + MINUTES


def is_now(found: float) -> bool:
    return abs(datetime.fromtimestamp(found, UTC) - datetime.now(UTC)) < MINUTES


def test_a_process_and_its_children_have_another_day_and_go_back_to_their_own() -> None:
    done = run("--", sys.executable, "-c", LOOK, CLOCK="2028-02-29T10:00")
    if done.stderr.startswith("The tests run on the machine's own clock"):
        pytest.skip(done.stderr)
    (first, own, still, back, same), header = json.loads(done.stdout)
    assert all(map(is_leap_day, [*first, *back, *same])), done.stdout
    assert all(map(is_now, [*own, *still])), done.stdout
    assert "make test CLOCK=2028-02-29T10:00" in header
    assert done.stderr == "The tests' clock: CLOCK=2028-02-29T10:00\n"


def test_a_day_drawn_at_random_can_be_had_again() -> None:
    done = run("--", sys.executable, "-c", NOW, CLOCK="")
    if done.stderr.startswith("The tests run on the machine's own clock"):
        pytest.skip(done.stderr)
    drawn = done.stderr.strip().removeprefix("The tests' clock: CLOCK=")
    assert drawn in TRIED
    begun = moment(drawn)
    assert begun <= datetime.fromtimestamp(float(done.stdout), UTC) < begun + MINUTES


def test_where_it_is_unavailable_the_machines_own_clock_is_used_and_reported() -> None:
    without = Path(sys.executable).parent  # no compiler there
    done = run("--", sys.executable, "-c", NOW, CLOCK="2028-02-29T10:00", PATH=str(without))
    assert is_now(float(done.stdout))
    assert "own clock, not at 2028-02-29T10:00: there is no C compiler" in done.stderr
    assert done.stderr.endswith("CLOCK=real\n")
    assert is_now(float(run("--", sys.executable, "-c", NOW, CLOCK=clock.REAL).stdout))


def test_what_is_no_time_is_refused() -> None:
    done = run("--", sys.executable, "-c", NOW, CLOCK="tomorrow")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "CLOCK=tomorrow is neither a time (UTC) such as" in done.stderr


def test_all_days_are_run_whatever_one_of_them_shows() -> None:
    ends = "import sys, time; sys.exit(3 if time.gmtime().tm_mday == 29 else 0)"
    days = "2028-02-28T10:00 2028-02-29T10:00 2028-03-01T10:00"
    done = run("--all", "--", sys.executable, "-c", ends, CLOCK=days)
    if done.stderr.startswith("The tests run on the machine's own clock"):
        pytest.skip(done.stderr)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-2:] == [
        "Failed: make test CLOCK=2028-02-29T10:00",
        "2 of 3 days passed",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_tests_may_put_away_what_they_have_when_they_are_ended(number: signal.Signals) -> None:
    slow = (
        "import signal, sys, time\n"
        "def end(*_): time.sleep(0.5); print('put away', flush=True); sys.exit(2)\n"
        "signal.signal(signal.SIGINT, end); signal.signal(signal.SIGTERM, end)\n"
        "print('begun', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "tests.clock", "--all", "--", sys.executable, "-c", slow]
    with subprocess.Popen(  # noqa: S603 - fixed program, no shell
        command,
        cwd=ROOT,
        env={**os.environ, "CLOCK": "real"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        assert process.stdout.read() == "put away\n"
        assert process.wait() == 2


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_days_are_telling_and_wait_for_no_midnight() -> None:
    found = [moment(text) for text in MOMENTS]
    assert Counter(MOMENTS).most_common(1)[0][1] == 1
    assert set(TRIED) <= set(MOMENTS)
    days = {(each.month, each.day) for each in found}
    for month, day in ((1, 1), (2, 28), (2, 29), (3, 1), (4, 30), (12, 31)):
        assert (month, day) in days
    in_march = {each.day for each in found if (each.year, each.month) == (2027, 3)}
    assert in_march == set(range(1, calendar.monthrange(2027, 3)[1] + 1))
    assert {each.hour for each in found} == set(range(24))
    assert all((each + timedelta(minutes=30)).date() == each.date() for each in found)
    assert min(found) > moment("2026-11-28")  # later than any date that a test is about
