"""The sliding window, latency, in-flight gauges and the request log."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from include.sandbox.wire.rate_limit import SlidingWindow
from include.sandbox.wire.request_log import RequestLog
from tests.sandbox_server import asked, running_sandbox

if TYPE_CHECKING:
    from tests.sandbox_server import SandboxServer


def test_the_window_slides_and_is_exact() -> None:
    window = SlidingWindow(limit=3, window=60)
    assert [window.admit("user_info", at) for at in (0, 10, 20)] == [0, 0, 0]
    assert window.admit("user_info", 59.999) == pytest.approx(0.001)
    assert window.admit("user_info", 60) == 0
    assert window.admit("user_info", 60) == 10
    assert window.admit("user_info", 70) == 0


def test_refused_calls_do_not_count_and_endpoints_are_separate() -> None:
    window = SlidingWindow(limit=1, window=60)
    assert window.admit("user_info", 0) == 0
    assert all(window.admit("user_info", at) > 0 for at in range(1, 60))
    assert window.admit("video_list", 30) == 0
    assert window.admit("user_info", 60) == 0


def test_a_lowered_limit_waits_for_enough_places() -> None:
    window = SlidingWindow(limit=3, window=60)
    for at in (0, 10, 20):
        window.admit("user_info", at)
    window.limit = 1
    assert window.admit("user_info", 30) == 50
    assert window.admit("user_info", 80) == 0


def test_no_limit_never_refuses() -> None:
    window = SlidingWindow(limit=0, window=60)
    assert not any(window.admit("user_info", 0) for _ in range(2_000))


def test_the_largest_window_is_exact() -> None:
    log = RequestLog(window=60)
    for at in (0, 1, 59, 60, 61, 200):
        log.arrive("user_info", at, at).leave(at)
    assert log.stats()["endpoints"]["user_info"]["largest_window"] == 3


def test_the_log_is_bounded_and_says_what_it_dropped() -> None:
    log = RequestLog(window=60, max_entries=3)
    for at in range(5):
        log.arrive("user_info", at, at).leave(at)
    assert [entry["n"] for entry in log.matching(None, None, None)] == [3, 4, 5]
    assert (log.dropped, log.stats()["requests_dropped"]) == (2, 2)


def test_a_call_answered_after_a_clear_belongs_to_the_time_before() -> None:
    log = RequestLog(window=60)
    early = log.arrive("user_info", 0, 0)
    log.clear()
    figures = log.stats()["endpoints"]["user_info"]
    assert (figures["calls"], figures["in_flight"], figures["in_flight_max"]) == (0, 1, 1)
    early.leave(1)
    figures = log.stats()["endpoints"]["user_info"]
    assert (figures["in_flight"], figures["by_code"]) == (0, {})
    assert log.matching(None, None, None) == []


def test_over_the_limit_is_429_for_all_stores_of_one_endpoint() -> None:
    with running_sandbox(rate_limit_per_minute=3) as sandbox:
        one, two = (sandbox.row(code)["access_token"] for code in ("S001", "S002"))
        assert [sandbox.user_info(token).status_code for token in (one, two, one)] == [200] * 3
        refused = sandbox.user_info(two)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert len(refused.json()["error"]["log_id"]) == 34
        assert "Retry-After" not in refused.headers
        assert not [name for name in refused.headers if "ratelimit" in name.lower()]
        assert sandbox.video_list(one).status_code == 200
        assert sandbox.video_query(one, ["1"]).status_code == 200
        sandbox.admin("PATCH", "/settings", json={"retry_after": True})
        assert 30 <= int(sandbox.user_info(one).headers["Retry-After"]) <= 60
        sandbox.admin("PATCH", "/settings", json={"window_seconds": 0.001})
        assert sandbox.user_info(one).status_code == 200
        figures = sandbox.admin("GET", "/stats")["endpoints"]["user_info"]
        assert figures["by_code"] == {"ok": 4, "rate_limit_exceeded": 2}
        assert figures["largest_window"] == 5


def test_oauth_has_no_limit() -> None:
    with running_sandbox(rate_limit_per_minute=1) as sandbox:
        answers = [sandbox.oauth("client_credentials").status_code for _ in range(4)]
        assert answers == [200] * 4


def test_many_calls_are_in_flight_at_once() -> None:
    latency = {"user_info": 3.0}  # all arrive before the first is answered
    with running_sandbox(latency=latency) as sandbox, ExitStack() as calls:
        token = sandbox.row("S001")["access_token"]
        url = f"{sandbox.url}/v2/user/info/?fields=open_id"
        began = time.monotonic()
        opened = [calls.enter_context(asked(url, token=token)) for _ in range(40)]
        assert {call.getresponse().status for call in opened} == {200}
        # One after the other would be two minutes.
        assert 3.0 <= time.monotonic() - began < 60
        figures = sandbox.admin("GET", "/stats")["endpoints"]
        assert figures["user_info"]["in_flight_max"] == 40
        assert figures["user_info"]["in_flight"] == 0
        assert figures["video_list"]["in_flight_max"] == 0
        logged = sandbox.admin("GET", "/requests", params={"endpoint": "user_info"})
        assert len(logged) == 40
        assert all(entry["duration_s"] >= 3.0 for entry in logged)


def test_the_request_log_tells_who_called_what(sandbox: SandboxServer) -> None:
    row = sandbox.row("S001")
    sandbox.user_info(row["access_token"])
    data = sandbox.video_list(row["access_token"]).json()["data"]
    sandbox.video_list(row["access_token"], cursor=data["cursor"])
    new = sandbox.refresh(row["refresh_token"]).json()["access_token"]
    sandbox.user_info(new)
    sandbox.user_info("act.unknown")
    sandbox.user_info(sandbox.row("S002")["access_token"], "nonsense")
    log = sandbox.admin("GET", "/requests")
    keys = ("n", "endpoint", "store_code", "status", "code", "cursor", "token_generation")
    assert [tuple(entry[key] for key in keys) for entry in log] == [
        (1, "user_info", "S001", 200, "ok", None, 1),
        (2, "video_list", "S001", 200, "ok", None, 1),
        (3, "video_list", "S001", 200, "ok", data["cursor"], 1),
        (4, "oauth_token", "S001", 200, "ok", None, 1),
        (5, "user_info", "S001", 200, "ok", None, 2),
        (6, "user_info", None, 401, "access_token_invalid", None, None),
        (7, "user_info", "S002", 400, "invalid_params", None, 1),
    ]
    assert all(abs(entry["at"] - time.time()) < 60 for entry in log)
    last = sandbox.admin("GET", "/requests", params={"store_code": "S001", "limit": 2})
    assert [entry["n"] for entry in last] == [4, 5]
    assert sandbox.admin("GET", "/requests", params={"limit": 0}) == []
    sandbox.admin("DELETE", "/requests")
    assert sandbox.admin("GET", "/requests") == []
    stats = sandbox.admin("GET", "/stats")
    assert stats["endpoints"]["user_info"]["calls"] == 0
    assert stats["refreshes"] == {}


def test_every_use_of_a_dead_token_counts(sandbox: SandboxServer) -> None:
    row = sandbox.row("S001")
    sandbox.refresh(row["refresh_token"])
    assert sandbox.admin("GET", "/stats")["dead_token_uses"] == 0
    sandbox.refresh(row["refresh_token"])
    sandbox.revoke(row["access_token"])
    sandbox.user_info(row["access_token"])
    sandbox.video_list(row["access_token"])
    sandbox.video_query(row["access_token"], ["1"])
    sandbox.revoke(row["access_token"])
    sandbox.user_info(sandbox.row("S004")["access_token"])
    sandbox.user_info("act.unknown")
    assert sandbox.admin("GET", "/stats")["dead_token_uses"] == 6
