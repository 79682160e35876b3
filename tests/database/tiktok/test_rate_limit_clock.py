"""Does a database clock that was wrong, and was put right, hold calls up or let too many pass?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from include.tiktok_sync.errors import OutOfTimeError
from include.tiktok_sync.status.health import rate_limits
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.past_day import claim
from include.tiktok_sync.tiktok.rate_limit import (
    JITTER,
    MARGIN,
    MAX_PAUSE,
    WINDOW,
    PostgresRateLimiter,
)
from include.tiktok_sync.tiktok.time_left import TimeLeft
from tests.database.bench import row, run_of

PERIOD = (WINDOW + MARGIN).total_seconds()
SPREAD = JITTER.total_seconds()
AHEAD = timedelta(hours=6)


def _limiter(conn: Connection, per_minute: int, limit: timedelta | None = None) -> Any:
    time_left = TimeLeft(limit)
    return PostgresRateLimiter(conn, per_minute, time_left=time_left, sleep=lambda _: None)


def _was_wrong(conn: Connection, by: timedelta) -> None:
    """All that was written so far was written by a clock that was ahead by so much."""
    conn.execute("UPDATE rate_limits SET paused_until = paused_until + %s", [by])
    conn.execute("UPDATE rate_limit_grants SET granted_at = granted_at + %s", [by])


@pytest.mark.parametrize("ahead", [timedelta(minutes=3), AHEAD, timedelta(days=400)])
def test_places_of_a_clock_that_was_ahead_are_a_window_away_at_most(
    conn: Connection, ahead: timedelta
) -> None:
    limiter = _limiter(conn, 5)
    for _ in range(5):
        limiter.acquire("e")
    _was_wrong(conn, ahead)
    # ... and never less: those five may have gone a moment ago.
    waits = [limiter.acquire("e") for _ in range(10)]
    assert waits[:5] == pytest.approx([PERIOD] * 5, abs=1)
    assert waits[5:] == pytest.approx([2 * PERIOD] * 5, abs=1)


def test_a_queue_that_was_there_is_still_waited_for(conn: Connection) -> None:
    limiter = _limiter(conn, 5)
    before = [limiter.acquire("e") for _ in range(1000)][-5:]
    assert before == pytest.approx([199 * PERIOD] * 5, abs=15)  # it is long, and in order
    _was_wrong(conn, AHEAD)
    after = [limiter.acquire("e") for _ in range(5)]
    assert after == pytest.approx([200 * PERIOD] * 5, abs=15)


def test_a_clock_that_was_behind_holds_nobody_up(conn: Connection) -> None:
    limiter = _limiter(conn, 5)
    for _ in range(5):
        limiter.acquire("e")
    limiter.pause("e", 30)
    _was_wrong(conn, -AHEAD)
    assert [limiter.acquire("e") for _ in range(5)] == [0.0] * 5
    assert limiter.acquire("e") == pytest.approx(PERIOD, abs=1)


def test_a_place_written_before_there_was_a_wait_is_a_window_away_at_most(
    conn: Connection,
) -> None:
    conn.execute("INSERT INTO rate_limits (endpoint, grants) VALUES ('e', 0)")
    conn.execute(
        "INSERT INTO rate_limit_grants (endpoint, place, granted_at)"
        " SELECT 'e', n, now() + interval '6 hours' FROM generate_series(0, 4) AS n"
    )
    assert _limiter(conn, 5).acquire("e") == pytest.approx(PERIOD, abs=1)


@pytest.mark.parametrize("per_minute", [0, 600])
def test_a_pause_of_a_clock_that_was_ahead_does_not_count(
    conn: Connection, per_minute: int
) -> None:
    limiter = _limiter(conn, per_minute)
    limiter.pause("e", 30)
    _was_wrong(conn, AHEAD)
    assert limiter.acquire("e") == 0.0
    limiter.pause("e", 20)  # a new one does, and replaces it
    assert row(
        conn, "SELECT paused_until < now() + interval '21 seconds' AS is_new FROM rate_limits"
    ) == {"is_new": True}


def test_no_pause_is_longer_than_it_may_be(conn: Connection) -> None:
    limiter = _limiter(conn, 600)
    limiter.pause("e", 86_400)
    found = row(conn, "SELECT paused_until - clock_timestamp() AS rest FROM rate_limits")
    assert timedelta(0) < MAX_PAUSE - found["rest"] < timedelta(seconds=30)


def test_the_status_page_counts_nobody_as_waiting_for_such_a_place(conn: Connection) -> None:
    limiter = _limiter(conn, 5)
    for _ in range(10):
        limiter.acquire("e")
    limiter.pause("e", 30)
    (before,) = rate_limits(conn)
    assert (before.waiting, before.paused_until is not None) == (5, True)
    _was_wrong(conn, AHEAD)
    (found,) = rate_limits(conn)
    assert (found.waiting, found.paused_until) == (0, None)


def test_a_long_wait_is_logged_with_its_reason(conn: Connection) -> None:
    limiter = _limiter(conn, 5)
    with capture_logs() as logs:
        for _ in range(5):
            limiter.acquire("video/list")
        assert logs == []
        limiter.acquire("video/list")
    (line,) = logs
    assert (line["event"], line["endpoint"]) == ("Waiting for the rate limit", "video/list")
    assert line["seconds"] == pytest.approx(PERIOD, abs=2)
    assert line["reason"] == "5 calls a minute are allowed, and others are before this one"


@pytest.mark.parametrize("per_minute", [0, 600])
def test_a_long_pause_is_logged_as_such(conn: Connection, per_minute: int) -> None:
    limiter = PostgresRateLimiter(
        conn,
        per_minute,
        sleep=lambda _: _was_wrong(conn, -AHEAD),
    )
    limiter.pause("e", 100)
    with capture_logs() as logs:
        limiter.acquire("e")
    (line,) = logs
    assert "TikTok answered 429" in line["reason"]


def test_a_wait_that_does_not_fit_into_the_try_fails_at_once(conn: Connection) -> None:
    limiter = _limiter(conn, 1, timedelta(seconds=30))
    limiter.acquire("video/list")
    with pytest.raises(OutOfTimeError, match=r"turn under the rate limit of video/list \(6\d s"):
        limiter.acquire("video/list")


def test_a_claim_of_a_clock_that_was_ahead_keeps_nobody_out(
    conn: Connection, stores: list[str]
) -> None:
    assert claim(conn, run_of(stores[0], run_id="run-1"))
    assert not claim(conn, run_of(stores[0], run_id="run-2"))
    conn.execute("UPDATE backfill_readings SET claimed_until = claimed_until + %s", [AHEAD])
    assert claim(conn, run_of(stores[0], run_id="run-2"))
