"""Does the shared limit hold for everyone, exactly, and without blocking anyone?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok import rate_limit
from include.tiktok_sync.tiktok.rate_limit import JITTER, MARGIN, WINDOW, PostgresRateLimiter
from tests.database.bench import Bench, row, rows, together
from tests.database.witnesses.grant_log import grant_times, most_in_a_window, record_grants

PERIOD = (WINDOW + MARGIN).total_seconds()
PERIOD_US = (WINDOW + MARGIN) // timedelta(microseconds=1)
SPREAD = JITTER.total_seconds()


class Sleeper:
    """Notes waits instead of waiting, and in which state the connection was meanwhile."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.waits: list[float] = []
        self.states: set[TransactionStatus] = set()

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.states.add(self.conn.info.transaction_status)


class TimePasses(Sleeper):
    """Lets the time pass in the database instead; `meanwhile` happens when it begins."""

    def __init__(self, conn: Connection, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(conn)
        self.meanwhile = meanwhile

    def __call__(self, seconds: float) -> None:
        super().__call__(seconds)
        self.meanwhile()
        passed = timedelta(seconds=seconds)
        self.conn.execute("UPDATE rate_limits SET paused_until = paused_until - %s", [passed])
        self.conn.execute("UPDATE rate_limit_grants SET granted_at = granted_at - %s", [passed])


class NeverWakesError(Exception):
    """Raised in the place of a sleep: the caller dies in it."""


def _dies(_: float) -> None:
    raise NeverWakesError


class CountedConnection(psycopg.Connection[Any]):
    """Counts its round trips."""

    trips = 0

    def execute(self, *args: Any, **options: Any) -> psycopg.Cursor[Any]:
        self.trips += 1
        return super().execute(*args, **options)


def _limiter(conn: Connection, per_minute: int) -> tuple[PostgresRateLimiter, Sleeper]:
    sleeper = Sleeper(conn)
    return PostgresRateLimiter(conn, per_minute, sleep=sleeper), sleeper


def _passing(conn: Connection, per_minute: int) -> tuple[PostgresRateLimiter, TimePasses]:
    sleeper = TimePasses(conn)
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


def test_no_window_holds_more_than_the_limit_across_all_callers(
    db_url: str, conn: Connection
) -> None:
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


@pytest.mark.parametrize(("old", "new"), [(5, 3), (3, 5), (6, 1), (1, 6), (4, 2), (4, 7), (7, 4)])
def test_a_changed_limit_never_lets_more_through_than_the_larger(
    conn: Connection, old: int, new: int
) -> None:
    record_grants(conn)
    workers = {limit: _limiter(conn, limit)[0] for limit in (old, new)}
    for limit in [old] * 10 + [old, new] * 6 + [new] * (3 * new):  # deployed worker by worker
        workers[limit].acquire("e")
    times = grant_times(conn)
    assert len(times) == 22 + 3 * new
    assert most_in_a_window(times, PERIOD_US) <= max(old, new)
    changed = max(grant_times(conn, first=22))
    assert most_in_a_window([at for at in times if at > changed + PERIOD_US], PERIOD_US) <= new
    # ... and the change costs no place that the calls before it have not booked.
    assert max(times) <= changed + 3 * PERIOD_US


def test_a_pause_closes_the_endpoint_for_everyone(db_url: str, conn: Connection) -> None:
    limiter, _ = _passing(conn, 600)
    assert limiter.acquire("video/list") == 0.0
    limiter.pause("video/list", 30)
    limiter.pause("video/list", 10)  # a shorter one does not open it again
    with psycopg.connect(db_url, autocommit=True) as other:
        other_limiter, sleeper = _passing(other, 600)
        assert other_limiter.acquire("user/info") == 0.0
        assert 25 < other_limiter.acquire("video/list") <= 30 + SPREAD
        assert len(sleeper.waits) == 1
    state = row(conn, "SELECT * FROM rate_limits WHERE endpoint = 'video/list'")
    assert (state["refusals"], state["grants"]) == (2, 2)
    assert limiter.acquire("video/list") == 0.0


def test_a_pause_before_the_first_call_counts_too(conn: Connection) -> None:
    limiter, _ = _passing(conn, 600)
    limiter.pause("e", 30)
    assert 25 < limiter.acquire("e") <= 30 + SPREAD


def test_a_caller_asleep_when_a_pause_begins_takes_a_new_place_behind_it(
    db_url: str, conn: Connection
) -> None:
    record_grants(conn)
    limiter, sleeper = _passing(conn, 5)
    with psycopg.connect(db_url, autocommit=True) as other:
        refused = PostgresRateLimiter(other, 5)
        for _ in range(5):
            limiter.acquire("e")
        pauses = iter([100, 10])
        sleeper.meanwhile = lambda: refused.pause("e", next(pauses))
        waited = limiter.acquire("e")
    # The window first, then what is left of the pause; the second pause is over in time.
    assert sleeper.waits == [pytest.approx(PERIOD, abs=5), pytest.approx(100 - PERIOD, abs=6)]
    assert waited == sum(sleeper.waits)
    state = row(conn, "SELECT grants, refusals FROM rate_limits")
    assert state == {"grants": 7, "refusals": 2}


def test_a_pause_that_ends_before_the_place_opens_costs_nothing(conn: Connection) -> None:
    limiter, sleeper = _passing(conn, 1)
    limiter.acquire("e")
    sleeper.meanwhile = lambda: limiter.pause("e", 30)
    assert limiter.acquire("e") <= PERIOD
    assert len(sleeper.waits) == 1
    assert row(conn, "SELECT grants FROM rate_limits") == {"grants": 2}


@pytest.mark.parametrize("per_minute", [0, 600])
def test_a_call_that_need_not_wait_is_one_round_trip(db_url: str, per_minute: int) -> None:
    with CountedConnection.connect(db_url, autocommit=True) as counted:
        limiter = PostgresRateLimiter(counted, per_minute)
        for _ in range(20):
            limiter.acquire("e")
        assert counted.trips == 20


def test_after_a_pause_callers_set_off_spread_and_no_more_than_the_limit(conn: Connection) -> None:
    limit = 40
    limiter = PostgresRateLimiter(conn, limit, sleep=_dies)
    limiter.pause("e", 30)
    for _ in range(limit):
        with pytest.raises(NeverWakesError):
            limiter.acquire("e")
    after = "extract(epoch FROM g.granted_at - r.paused_until)::float8 AS after"
    query = f"SELECT {after} FROM rate_limit_grants g JOIN rate_limits r USING (endpoint)"  # noqa: S608 - a constant
    spread = sorted(found["after"] for found in rows(conn, query))
    assert len(spread) == limit
    assert spread[0] >= 0
    assert spread[-1] <= SPREAD
    assert spread[-1] - spread[0] > SPREAD / 2
    # The next round waits for these, whenever it was that they set off.
    for _ in range(limit):
        with pytest.raises(NeverWakesError):
            limiter.acquire("e")
    later = sorted(found["after"] for found in rows(conn, query))
    assert later == pytest.approx([before + PERIOD for before in spread], abs=0.001)


def test_no_limit_means_no_wait_and_no_row(conn: Connection) -> None:
    limiter, sleeper = _limiter(conn, 0)
    assert [limiter.acquire("e") for _ in range(100)] == [0.0] * 100
    assert sleeper.waits == []
    for table in ("rate_limits", "rate_limit_grants"):
        assert rows(conn, f"SELECT FROM {table}") == []


def test_without_a_limit_a_pause_holds_for_everyone_too(db_url: str, conn: Connection) -> None:
    limiter, sleeper = _passing(conn, 0)
    with psycopg.connect(db_url, autocommit=True) as other:
        refused = PostgresRateLimiter(other, 0)
        refused.pause("e", 30)
        pauses = iter([50, 5])
        sleeper.meanwhile = lambda: refused.pause("e", next(pauses))
        waited = limiter.acquire("e")
    # The second one began with the wait for the first; the third ended within the second.
    assert [25 < wait <= 30 + SPREAD for wait in sleeper.waits[:1]] == [True]
    assert 45 < waited <= 50 + SPREAD
    assert len(sleeper.waits) == 2
    assert limiter.acquire("e") == limiter.acquire("other") == 0.0
    assert row(conn, "SELECT grants, refusals FROM rate_limits") == {"grants": 0, "refusals": 3}


def test_nothing_is_held_while_waiting(db_url: str, conn: Connection) -> None:
    limiter, sleeper = _limiter(conn, 1)
    limiter.acquire("e")
    limiter.acquire("e")
    limiter.pause("e", 1)
    assert sleeper.states == {TransactionStatus.IDLE}
    with psycopg.connect(db_url, autocommit=True) as other:
        other.execute("SET statement_timeout = '5s'")
        with pytest.raises(NeverWakesError):
            PostgresRateLimiter(other, 1, sleep=_dies).acquire("e")


def test_the_client_waits_under_the_limit_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sandbox notes when a call arrives: the margin covers its way there from the grant.
    monkeypatch.setattr(rate_limit, "WINDOW", timedelta(seconds=0.3))
    monkeypatch.setattr(rate_limit, "MARGIN", timedelta(seconds=3))
    bench.import_stores("S001")
    with bench.with_settings(rate_limit_per_minute=2).client("S001") as client:
        for _ in range(3):
            client.user_info(["open_id"])
        assert client.counts.calls == 3
        # A window, less what two calls took.
        assert 0 < client.counts.waited_s <= 3.3
    times = [entry["at"] for entry in bench.sandbox.admin("GET", "/requests")]
    assert times[2] - times[0] >= 0.3
