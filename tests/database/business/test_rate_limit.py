"""Do many clients together stay within the limits of the second API?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from include.tiktok_sync.business.rate_limit import (
    LONGEST_PAUSE,
    PER_ACCOUNT,
    PER_SECOND,
    PostgresBusinessLimiter,
)
from include.tiktok_sync.errors import OutOfTimeError
from include.tiktok_sync.status.health import rate_limits
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok.time_left import TimeLeft
from tests.database.bench import together
from tests.database.business.conftest import BusinessBench
from tests.sandbox_server import SandboxServer, running_sandbox


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """With TikTok's limits."""
    with running_sandbox(business={"per_second": 10, "per_minute": 600}) as server:
        yield server


class Clock:
    """A clock that only sleep moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def test_eight_clients_at_once_break_no_limit(bench: BusinessBench) -> None:
    limited = bench.with_settings(rate_limit_per_minute=600)

    def calls(number: int) -> int:
        code = f"S{number + 1:03}"
        with contextlib.ExitStack() as stack:
            conn = stack.enter_context(psycopg.connect(bench.db_url, autocommit=True))
            http = stack.enter_context(limited.business.transport())
            client = limited.business.client(code, http=http, conn=conn, settings=limited.settings)
            for _ in range(5):
                client.videos(None)
            return client.counts.calls

    begun = time.monotonic()
    assert together(8, calls) == [5] * 8
    assert time.monotonic() - begun > (8 * 5 - 1) / PER_SECOND * 0.9
    shown = bench.sandbox.admin("GET", "/business/limits")
    assert {kind: n for kind, n in shown["violations"].items() if kind != "second"} == {}
    assert shown["largest"]["minute"] == 40


def test_turns_are_spaced_evenly_and_an_account_has_its_own_minute(conn: Connection) -> None:
    waits: list[float] = []
    clock = Clock()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.sleep(seconds)
        # Time passes for the database too.
        conn.execute(
            "UPDATE rate_limit_grants SET granted_at = granted_at - %s",
            [timedelta(seconds=seconds)],
        )

    limiter = PostgresBusinessLimiter(conn, "S1", sleep=sleep, clock=clock)
    other = PostgresBusinessLimiter(conn, "S2", sleep=sleep, clock=clock)
    for _ in range(PER_ACCOUNT):
        limiter.acquire("business/get")
    assert max(waits) <= 1 / PER_SECOND
    assert sum(waits) <= PER_ACCOUNT / PER_SECOND
    waits.clear()
    other.acquire("business/get")
    limiter.acquire("business/video/list")
    assert sum(waits) < 1
    limiter.acquire("business/get")
    assert sum(waits) > 50  # the 37th call of this minute to this account
    # People see one line for the API.
    assert [found.endpoint for found in rate_limits(conn)] == ["business"]


def test_a_late_riser_takes_another_turn(conn: Connection) -> None:
    taken = "SELECT grants FROM rate_limits WHERE endpoint = 'business second'"
    clock = Clock()
    PostgresBusinessLimiter(conn, "S1", clock=clock).acquire("business/get")
    before = conn.execute(taken).fetchone()

    def late(seconds: float) -> None:
        clock.sleep(seconds + 1)

    PostgresBusinessLimiter(conn, "S1", sleep=late, clock=clock).acquire("business/get")
    after = conn.execute(taken).fetchone()
    assert (before, after) == ((1,), (1 + 3,)) or (before, after) == ((1,), (2,))


def test_a_refusal_closes_the_api_for_everyone(conn: Connection) -> None:
    assert timedelta(minutes=5) == LONGEST_PAUSE
    PostgresBusinessLimiter(conn, "S1").pause(300.0)
    time_left = TimeLeft(timedelta(seconds=60))
    for lifted in (False, True):
        other = PostgresBusinessLimiter(conn, "S2", is_lifted=lifted, time_left=time_left)
        with pytest.raises(OutOfTimeError, match="rate limit of business"):
            other.acquire("business/video/list")
