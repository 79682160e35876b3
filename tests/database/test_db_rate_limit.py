"""Does the shared limit hold for everyone, exactly, and without blocking anyone?"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from include.tiktok_sync import rate_limit
from include.tiktok_sync.database import Connection
from include.tiktok_sync.rate_limit import MARGIN, WINDOW, PostgresRateLimiter
from tests.database.bench import Bench, row, rows, together

PERIOD = (WINDOW + MARGIN).total_seconds()


class Sleeper:
    """Notes waits instead of waiting, and in which state the connection was meanwhile."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.waits: list[float] = []
        self.states: set[TransactionStatus] = set()

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.states.add(self.conn.info.transaction_status)


def _limiter(conn: Connection, per_minute: int) -> tuple[PostgresRateLimiter, Sleeper]:
    sleeper = Sleeper(conn)
    return PostgresRateLimiter(conn, per_minute, sleep=sleeper), sleeper


def test_the_window_is_longer_than_tiktoks_by_a_margin() -> None:
    assert timedelta(seconds=60) == WINDOW
    assert timedelta(0) < MARGIN


def test_a_burst_up_to_the_limit_passes_and_the_next_call_waits_a_window(conn: Connection) -> None:
    limiter, sleeper = _limiter(conn, 5)
    assert [limiter.acquire("user/info") for _ in range(5)] == [0.0] * 5
    assert sleeper.waits == []
    sixth = limiter.acquire("user/info")
    assert PERIOD - 5 < sixth <= PERIOD
    assert sleeper.waits == [sixth]


def test_each_round_of_the_ring_waits_a_window_longer(conn: Connection) -> None:
    limiter, _ = _limiter(conn, 2)
    waits = [limiter.acquire("e") for _ in range(6)]
    for number, wait in enumerate(waits):
        rounds = number // 2
        assert rounds * PERIOD - 5 < wait <= rounds * PERIOD, waits
    assert row(conn, "SELECT count(*) FROM rate_limit_grants") == {"count": 2}


def test_endpoints_have_limits_of_their_own(conn: Connection) -> None:
    limiter, sleeper = _limiter(conn, 1)
    for endpoint in ("user/info", "video/list", "video/query"):
        assert limiter.acquire(endpoint) == 0.0
    assert sleeper.waits == []
    assert limiter.acquire("video/list") > 0


def test_a_place_is_free_again_once_its_window_is_over(conn: Connection) -> None:
    limiter, sleeper = _limiter(conn, 1)
    limiter.acquire("e")
    conn.execute("UPDATE rate_limit_grants SET granted_at = granted_at - %s", [WINDOW + MARGIN])
    assert limiter.acquire("e") == 0.0
    assert sleeper.waits == []


def test_no_window_holds_more_than_the_limit_whoever_calls(db_url: str, conn: Connection) -> None:
    limit, threads, each = 7, 6, 12

    def grants(_: int) -> list[datetime]:
        found = []
        with psycopg.connect(db_url, autocommit=True) as own:
            limiter = _limiter(own, limit)[0]
            for _ in range(each):
                before = row(own, "SELECT clock_timestamp() AS at")["at"]
                found.append(before + timedelta(seconds=limiter.acquire("e")))
        return found

    # Taken before the call, a time is early by no more than the call took; the margin covers it.
    times = sorted(time for found in together(threads, grants) for time in found)
    assert len(times) == threads * each
    for number, time in enumerate(times[limit:]):
        assert time - times[number] >= WINDOW, number
    # ... and no place is wasted: the last round ends when it must.
    rounds = (threads * each - 1) // limit
    assert times[-1] - times[0] < rounds * (WINDOW + MARGIN) + timedelta(seconds=10)
    assert row(conn, "SELECT grants FROM rate_limits") == {"grants": threads * each}


def test_really_waiting_callers_keep_the_limit(
    db_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "WINDOW", timedelta(seconds=0.4))
    monkeypatch.setattr(rate_limit, "MARGIN", timedelta(seconds=0.1))
    passed: list[datetime] = []
    guard = threading.Lock()

    def call(_: int) -> None:
        with psycopg.connect(db_url, autocommit=True) as own:
            limiter = PostgresRateLimiter(own, 3)
            for _ in range(3):
                limiter.acquire("e")
                with guard:
                    passed.append(row(own, "SELECT clock_timestamp() AS at")["at"])

    together(3, call)
    assert len(passed) == 9
    # Three rounds of three: the last sets off two windows after the first.
    assert max(passed) - min(passed) >= timedelta(seconds=2 * 0.5 - 0.25)


def test_a_pause_closes_the_endpoint_for_everyone(db_url: str, conn: Connection) -> None:
    limiter, _ = _limiter(conn, 600)
    assert limiter.acquire("video/list") == 0.0
    limiter.pause("video/list", 30)
    limiter.pause("video/list", 10)  # a shorter one does not open it again
    with psycopg.connect(db_url, autocommit=True) as other:
        other_limiter, sleeper = _limiter(other, 600)
        assert 25 < other_limiter.acquire("video/list") <= 30
        assert other_limiter.acquire("user/info") == 0.0
        assert len(sleeper.waits) == 1
    state = row(conn, "SELECT * FROM rate_limits WHERE endpoint = 'video/list'")
    assert (state["refusals"], state["grants"]) == (2, 2)
    conn.execute("UPDATE rate_limits SET paused_until = clock_timestamp() - interval '1 s'")
    assert limiter.acquire("video/list") == 0.0


def test_a_pause_before_the_first_call_counts_too(conn: Connection) -> None:
    limiter, _ = _limiter(conn, 600)
    limiter.pause("e", 30)
    assert 25 < limiter.acquire("e") <= 30


def test_after_a_pause_no_more_than_the_limit_set_off_at_once(conn: Connection) -> None:
    limiter, _ = _limiter(conn, 2)
    limiter.pause("e", 30)
    waits = [limiter.acquire("e") for _ in range(4)]
    assert all(25 < wait <= 30 for wait in waits[:2])
    assert all(25 + PERIOD < wait <= 30 + PERIOD for wait in waits[2:])


def test_no_limit_means_no_wait_and_no_row(conn: Connection) -> None:
    limiter, sleeper = _limiter(conn, 0)
    assert [limiter.acquire("e") for _ in range(100)] == [0.0] * 100
    assert sleeper.waits == []
    for table in ("rate_limits", "rate_limit_grants"):
        assert rows(conn, f"SELECT FROM {table}") == []
    limiter.pause("e", 3)
    assert sleeper.waits == [3]


def test_nothing_is_held_while_waiting(db_url: str, conn: Connection) -> None:
    limiter, sleeper = _limiter(conn, 1)
    limiter.acquire("e")
    limiter.acquire("e")
    limiter.pause("e", 1)
    assert sleeper.states == {TransactionStatus.IDLE}
    with psycopg.connect(db_url, autocommit=True) as other:
        other.execute("SET statement_timeout = '5s'")
        assert _limiter(other, 1)[0].acquire("e") > PERIOD


def test_the_client_waits_under_the_limit_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "WINDOW", timedelta(seconds=0.3))
    monkeypatch.setattr(rate_limit, "MARGIN", timedelta(seconds=0.1))
    bench.import_stores("S001")
    with bench.with_settings(rate_limit_per_minute=2).client("S001") as client:
        for _ in range(5):
            client.user_info(["open_id"])
        assert client.counts.calls == 5
        assert client.counts.waited_s == pytest.approx(0.8, abs=0.4)
    times = [entry["at"] for entry in bench.sandbox.admin("GET", "/requests")]
    assert all(later - times[number] >= 0.3 for number, later in enumerate(times[2:]))
