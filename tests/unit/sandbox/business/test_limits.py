"""Three windows over one app, the penalty after a minute's limit, and the count of violations."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox_server import running_sandbox, until

if TYPE_CHECKING:
    from tests.sandbox_server import SandboxServer

RESTRICTED = "Due to too many requests, requests from App are temporarily restricted."
FREE = {"per_second": 0, "per_minute": 0, "per_account_minute": 0}


def _answer(sandbox: SandboxServer, code: str = "S001", path: str = "get/") -> Any:
    response = sandbox.business(path, code, business_category="PETS")
    assert response.status_code == 200
    assert "Retry-After" not in response.headers
    body = response.json()
    return 0 if body["code"] == 0 else (body["code"], body["message"])


def _violations(sandbox: SandboxServer) -> dict[str, int]:
    found: dict[str, int] = sandbox.admin("GET", "/business/limits")["violations"]
    return found


def test_a_second_is_over_after_a_second() -> None:
    limits = {**FREE, "per_second": 2, "windows": "fixed"}
    with running_sandbox(business=limits) as sandbox:
        until(lambda: time.monotonic() % 1 < 0.1)
        answers = [_answer(sandbox, path=path) for path in ("get/", "benchmark/", "video/list/")]
        if answers[2] != 0:  # all three came within the second, as on any machine that is awake
            assert answers == [0, 0, (40100, "App reaches the QPS limit.")]
            assert _violations(sandbox) == {"second": 1}
        until(lambda: _answer(sandbox) == 0)
        assert sandbox.admin("GET", "/business/limits")["suspended"] == 0


@pytest.mark.parametrize("windows", ["sliding", "fixed"])
def test_a_minutes_limit_suspends_the_whole_app(windows: str) -> None:
    limits = {**FREE, "per_minute": 3, "penalty_seconds": 2, "windows": windows}
    with running_sandbox(business=limits, window_seconds=3600) as sandbox:
        codes = ("S001", "S002", "S003", "S004", "S005")
        answers = [_answer(sandbox, code) for code in codes]
        assert answers == [0, 0, 0, (40100, RESTRICTED), (40100, RESTRICTED)]
        assert _violations(sandbox) == {"minute": 1, "penalty": 1}
        sandbox.admin("DELETE", "/business/limits?lift=1")
        assert [_answer(sandbox, code) for code in codes[:3]] == [0, 0, 0]
        assert _violations(sandbox) == {}


def test_an_accounts_limit_is_its_own_and_an_endpoints() -> None:
    limits = {**FREE, "per_account_minute": 2, "penalty_seconds": 0.5}
    with running_sandbox(business=limits, window_seconds=0.5) as sandbox:
        assert [_answer(sandbox) for _ in range(2)] == [0, 0]
        refused = _answer(sandbox)
        assert refused in (0, (40100, RESTRICTED))
        assert _answer(sandbox, "S002") == 0
        assert _answer(sandbox, path="video/list/") == 0
        until(lambda: _answer(sandbox) == 0)
        assert sandbox.admin("GET", "/business/limits")["largest"]["account_minute"] >= 2


def test_the_limits_are_tiktoks_and_lifted_for_the_reference_load() -> None:
    with running_sandbox(business={}) as sandbox:
        business = sandbox.sandbox.settings.business
        assert business is not None
        assert business.limits(lifted=False) == (10, 600, 40)
        assert business.limits(lifted=True) == (0, 0, 0)
        assert business.penalty_seconds == 300
    with running_sandbox(business={}, profile="reference", stores=2) as sandbox:
        assert [_answer(sandbox) for _ in range(45)] == [0] * 45
        assert _violations(sandbox) == {}


def test_calls_for_tokens_count_if_switched_on() -> None:
    limits = {**FREE, "per_minute": 1, "count_token_calls": True}
    with running_sandbox(business=limits) as sandbox:
        for code in (40105, 40100):
            assert sandbox.business_oauth("token_info/get/", access_token="x")["code"] == code
        sandbox.admin("PATCH", "/settings", json={"business": {"count_token_calls": False}})
        assert sandbox.business_oauth("token_info/get/", access_token="x")["code"] == 40105
