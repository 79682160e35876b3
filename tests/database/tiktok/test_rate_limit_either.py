"""Does a call that two endpoints can serve go to the right one, and do both limits hold?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok import rate_limit
from include.tiktok_sync.tiktok.rate_limit import MARGIN, WINDOW, PostgresRateLimiter
from tests.database.bench import rows, together
from tests.database.tiktok.test_rate_limit import (
    CountedConnection,
    NeverWakesError,
    TimePasses,
)
from tests.database.witnesses.grant_log import most_in_a_window, record_grants
from tests.sandbox_server import until

LIMIT = 5


def _dies(_: float) -> None:
    raise NeverWakesError


def _taken(limiter: PostgresRateLimiter, times: int, reserve: int) -> str:
    """Where calls went: ``l`` preferred, ``q`` the other."""
    return "".join(limiter.acquire_either("l", "q", reserve=reserve)[0] for _ in range(times))


def _grants(conn: Connection) -> dict[str, int]:
    found = rows(conn, "SELECT endpoint, grants FROM rate_limits")
    return {line["endpoint"]: line["grants"] for line in found}


@pytest.mark.parametrize(
    ("reserve", "expected"),
    [
        (0, "lllll" + "qqqqq"),
        (2, "lll" + "qqqqq" + "ll"),
        (4, "l" + "qqqqq" + "llll"),
        (600, "l" + "qqqqq" + "llll"),
    ],
)
def test_the_reserve_is_left_until_the_other_endpoint_is_shut(
    conn: Connection, reserve: int, expected: str
) -> None:
    limiter = PostgresRateLimiter(conn, LIMIT, sleep=_dies)
    assert _taken(limiter, 2 * LIMIT, reserve) == expected
    assert _grants(conn) == {"l": LIMIT, "q": LIMIT}


def test_when_both_are_shut_the_place_that_opens_first_is_taken(conn: Connection) -> None:
    limiter = PostgresRateLimiter(conn, 1, sleep=_dies)
    limiter.acquire("q")
    limiter.acquire("l")
    conn.execute(
        "UPDATE rate_limit_grants SET granted_at = granted_at - interval '20 s'"
        " WHERE endpoint = 'q'"
    )
    with pytest.raises(NeverWakesError):
        limiter.acquire_either("l", "q", reserve=0)
    assert _grants(conn) == {"l": 1, "q": 2}
    # The queue there is longer now.
    with pytest.raises(NeverWakesError):
        limiter.acquire_either("l", "q", reserve=0)
    assert _grants(conn) == {"l": 2, "q": 2}


@pytest.mark.parametrize("per_minute", [0, LIMIT])
def test_a_pause_closes_its_own_endpoint_only(conn: Connection, per_minute: int) -> None:
    limiter = PostgresRateLimiter(conn, per_minute, sleep=_dies)
    limiter.pause("l", 30)
    assert _taken(limiter, 2, 0) == "qq"
    limiter.pause("q", 20)
    limiter.pause("l", 60)
    with pytest.raises(NeverWakesError):
        limiter.acquire_either("l", "q", reserve=0)
    if per_minute:
        assert _grants(conn) == {"l": 0, "q": 3}


def test_the_choice_is_made_again_when_a_pause_began_during_the_wait(conn: Connection) -> None:
    sleeper = TimePasses(conn)
    limiter = PostgresRateLimiter(conn, 1, sleep=sleeper)
    limiter.acquire("l")
    limiter.acquire("q")

    def pause_once() -> None:
        sleeper.meanwhile = lambda: None
        limiter.pause("l", 120)

    sleeper.meanwhile = pause_once
    endpoint, waited = limiter.acquire_either("l", "q", reserve=0)
    assert endpoint == "q"
    assert waited <= (WINDOW + MARGIN).total_seconds() + 1
    assert _grants(conn) == {"l": 2, "q": 2}


@pytest.mark.parametrize("per_minute", [0, 600])
def test_a_choice_that_need_not_wait_is_one_round_trip(db_url: str, per_minute: int) -> None:
    with CountedConnection.connect(db_url, autocommit=True) as counted:
        limiter = PostgresRateLimiter(counted, per_minute)
        assert _taken(limiter, 20, 0) == "l" * 20
        assert counted.trips == 20


def test_an_open_place_is_taken_and_a_shut_one_is_not(conn: Connection) -> None:
    limiter = PostgresRateLimiter(conn, LIMIT, sleep=_dies)
    assert not limiter.acquire_open("l")  # nobody has called there yet
    limiter.acquire("l")
    assert [limiter.acquire_open("l") for _ in range(LIMIT)] == [True] * (LIMIT - 1) + [False]
    assert _grants(conn) == {"l": LIMIT}
    conn.execute("UPDATE rate_limit_grants SET granted_at = granted_at - interval '90 s'")
    assert limiter.acquire_open("l")
    limiter.pause("l", 30)
    assert not limiter.acquire_open("l")
    assert _grants(conn) == {"l": LIMIT + 1}


def test_without_a_limit_only_a_pause_shuts_an_endpoint(conn: Connection) -> None:
    limiter = PostgresRateLimiter(conn, 0, sleep=_dies)
    assert limiter.acquire_open("l")
    limiter.pause("l", 30)
    assert not limiter.acquire_open("l")


def test_no_open_place_is_taken_twice(
    db_url: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers, limit = 8, 40
    monkeypatch.setattr(rate_limit, "WINDOW", timedelta(hours=1))
    PostgresRateLimiter(conn, limit).acquire("l")

    def take_all(_: int) -> int:
        with psycopg.connect(db_url, autocommit=True) as own:
            limiter = PostgresRateLimiter(own, limit, sleep=_dies)
            return sum(limiter.acquire_open("l") for _ in range(limit))

    assert sum(together(callers, take_all)) == limit - 1
    assert _grants(conn) == {"l": limit}


def test_a_place_that_others_took_while_one_waited_for_the_lock_is_not_open(
    db_url: str, conn: Connection
) -> None:
    """The whole ring went round meanwhile, which only a tiny limit allows."""
    PostgresRateLimiter(conn, 1).acquire("l")
    conn.execute("UPDATE rate_limit_grants SET granted_at = granted_at - interval '90 s'")

    def take_open() -> bool:
        with psycopg.connect(db_url, autocommit=True) as own:
            return PostgresRateLimiter(own, 1, sleep=_dies).acquire_open("l")

    with psycopg.connect(db_url) as other, ThreadPoolExecutor(1) as thread:
        PostgresRateLimiter(other, 1, sleep=_dies).acquire("l")
        taken = thread.submit(take_open)
        waits = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted"
        until(lambda: bool(rows(conn, waits)[0]["n"]))
        other.commit()
        assert not taken.result()


def test_many_at_once_overfill_no_window_and_lose_no_place(
    db_url: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers, each, limit, window_s = 8, 15, 10, 0.5
    monkeypatch.setattr(rate_limit, "WINDOW", timedelta(seconds=window_s))
    monkeypatch.setattr(rate_limit, "MARGIN", timedelta(0))
    record_grants(conn)

    def call(number: int) -> list[str]:
        with psycopg.connect(db_url, autocommit=True) as own:
            limiter = PostgresRateLimiter(own, limit)
            return [limiter.acquire_either("l", "q", reserve=number)[0] for _ in range(each)]

    went = [endpoint for calls in together(callers, call) for endpoint in calls]
    assert _grants(conn) == {lane: went.count(lane) for lane in ("l", "q")}
    for lane in ("l", "q"):
        times = [
            line["at"]
            for line in rows(
                conn,
                "SELECT (extract(epoch FROM granted_at) * 1000000)::bigint AS at FROM grant_log"
                " WHERE endpoint = %s",
                lane,
            )
        ]
        assert len(times) == went.count(lane) > limit
        assert most_in_a_window(times, int(window_s * 1_000_000)) == limit
