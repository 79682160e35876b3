"""Does the shared limit hold between real processes, and when some of them stop or die?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok import rate_limit
from include.tiktok_sync.tiktok.rate_limit import PostgresRateLimiter
from tests.database.bench import row, rows
from tests.database.witnesses.grant_log import grant_times, most_in_a_window, record_grants

ROOT = Path(__file__).resolve().parents[3]
CALLER = Path(__file__).parents[1] / "probes" / "limited_caller.py"
PATIENCE_S = 300

Caller = subprocess.Popen[str]
StartCaller = Callable[[int, int, float], Caller]


@pytest.fixture
def start_caller(db_url: str) -> Iterator[StartCaller]:
    """Starts a process that makes calls: how many, the limit of a window, and its seconds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STORE_DB_URL": db_url}
    with ExitStack() as stack:

        def start(calls: int, limit: int, window_s: float) -> Caller:
            caller = stack.enter_context(
                subprocess.Popen(  # noqa: S603 - fixed program, no shell
                    [sys.executable, str(CALLER), str(calls), str(limit), str(window_s)],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(caller.kill)
            return caller

        yield start


def _line(caller: Caller) -> str:
    assert caller.stdout is not None
    return caller.stdout.readline().strip()


def _go(caller: Caller) -> None:
    assert caller.stdin is not None
    caller.stdin.write("go\n")
    caller.stdin.flush()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _more_grants_than(conn: Connection, number: int) -> bool:
    return len(grant_times(conn)) > number


def _holds_nothing(conn: Connection) -> bool:
    query = "SELECT state, xact_start FROM pg_stat_activity WHERE application_name = %s"
    nothing = {"state": "idle", "xact_start": None}
    return all(found == nothing for found in rows(conn, query, "limited_caller"))


def test_eight_processes_fill_every_window_and_never_overfill_one(
    conn: Connection, start_caller: StartCaller
) -> None:
    processes, each, limit, window_s = 8, 20, 20, 0.8
    record_grants(conn)
    callers = [start_caller(each, limit, window_s) for _ in range(processes)]
    assert [_line(caller) for caller in callers] == ["ready"] * processes
    for caller in callers:
        _go(caller)
    outputs = [caller.communicate(timeout=PATIENCE_S)[0].split() for caller in callers]
    assert [caller.returncode for caller in callers] == [0] * processes

    granted = grant_times(conn)
    assert len(granted) == processes * each
    assert most_in_a_window(granted, int(window_s * 1_000_000)) == limit
    # Nobody set off before a grant.
    called = sorted(int(at) for output in outputs for at in output[1::2])
    assert all(call >= grant for call, grant in zip(called, granted, strict=True))
    # A full window's worth passed at once, and the rest did wait.
    waited = [float(seconds) for output in outputs for seconds in output[0::2]]
    assert limit <= waited.count(0.0) < len(waited)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_stops_in_its_wait_costs_one_place_and_blocks_nobody(
    conn: Connection,
    start_caller: StartCaller,
    monkeypatch: pytest.MonkeyPatch,
    sent: signal.Signals,
) -> None:
    limit, window_s = 2, 3.0
    monkeypatch.setattr(rate_limit, "WINDOW", timedelta(seconds=window_s))
    monkeypatch.setattr(rate_limit, "MARGIN", timedelta(0))
    record_grants(conn)
    caller = start_caller(1000, limit, window_s)
    assert _line(caller) == "ready"
    _go(caller)
    for _ in range(limit):
        _line(caller)
    _until(partial(_more_grants_than, conn, limit))
    # It sleeps, with a place that opens in a while. A stopped process is the worse one: its
    # connection lives on, and whatever it held it would hold for good.
    caller.send_signal(sent)
    if sent is signal.SIGKILL:
        caller.wait(PATIENCE_S)
    _until(lambda: _holds_nothing(conn))

    conn.execute("SET statement_timeout = '30s'")
    limiter = PostgresRateLimiter(conn, limit)
    for _ in range(limit):
        assert limiter.acquire("e") <= 2 * window_s
    assert row(conn, "SELECT grants FROM rate_limits") == {"grants": 2 * limit + 1}
    assert most_in_a_window(grant_times(conn), int(window_s * 1_000_000)) == limit


def test_processes_killed_at_any_moment_leave_the_limit_exact_and_open(
    conn: Connection, start_caller: StartCaller
) -> None:
    limit, window_s = 50, 0.5
    record_grants(conn)
    doomed = [start_caller(100_000, limit, window_s) for _ in range(4)]
    for caller in doomed:
        assert _line(caller) == "ready"
        _go(caller)
    for caller in doomed:
        seen = len(grant_times(conn))
        _until(partial(_more_grants_than, conn, seen + limit + 10))
        caller.kill()
        caller.wait(PATIENCE_S)
    survivor = start_caller(limit, limit, window_s)
    assert _line(survivor) == "ready"
    output, _ = survivor.communicate("go\n", timeout=PATIENCE_S)
    assert len(output.splitlines()) == limit
    assert most_in_a_window(grant_times(conn), int(window_s * 1_000_000)) == limit
