"""How long answers take: constant, or a long tail around the same mean, the same for one seed."""

from __future__ import annotations

from statistics import fmean, median
from typing import Any

import pytest

from include.sandbox.settings import SandboxSettings
from include.sandbox.wire.latency import Latencies
from tests.sandbox_server import running_sandbox


def latencies(**overrides: Any) -> Latencies:
    return Latencies(SandboxSettings(client_key="key", client_secret="secret", **overrides))


def draws(of: Latencies, number: int = 20_000) -> list[float]:
    return [of.draw("user_info", f"S{store:03}") for store in range(number)]


def test_without_a_spread_every_answer_takes_the_same() -> None:
    assert set(draws(latencies(latency=0.5), 100)) == {0.5}


def test_no_latency_has_no_tail() -> None:
    assert set(draws(latencies(latency=0, latency_spread=1.0), 100)) == {0.0}


@pytest.mark.parametrize("spread", [0.3, 0.8, 1.0])
def test_the_mean_is_the_configured_latency(spread: float) -> None:
    assert fmean(draws(latencies(latency=3.0, latency_spread=spread))) == pytest.approx(3, rel=0.03)


def test_the_tail_is_lognormal() -> None:
    found = sorted(draws(latencies(latency=3.0, latency_spread=0.8)))
    # exp(mu) and exp(mu + 2.326 sigma), with mu = ln 3 - 0.32.
    assert median(found) == pytest.approx(2.178, rel=0.03)
    assert found[int(len(found) * 0.99)] == pytest.approx(14.0, rel=0.08)
    assert found[0] > 0


def test_a_seed_has_one_schedule_however_the_stores_interleave() -> None:
    first, second = latencies(latency_spread=0.8), latencies(latency_spread=0.8)
    a = [first.draw("video_list", code) for code in ("S001", "S001", "S002", None)]
    b = [second.draw("video_list", code) for code in (None, "S002", "S001", "S001")]
    assert [b[2], b[3], b[1], b[0]] == a
    assert len(set(a)) == 4
    other = latencies(latency_spread=0.8, seed=2)
    assert other.draw("video_list", "S001") != a[0]
    assert first.draw("user_info", "S001") != a[0]


def test_it_begins_again_when_it_is_set() -> None:
    with running_sandbox(latency=0.02, latency_spread=0.8) as server:
        latencies = server.sandbox.latencies
        first = [latencies.draw("user_info", "S001") for _ in range(3)]
        server.admin("PATCH", "/settings", json={"stores": 21})
        assert server.sandbox.latencies is latencies
        server.admin("PATCH", "/settings", json={"latency_spread": 0.8})
        again = [server.sandbox.latencies.draw("user_info", "S001") for _ in range(3)]
        assert again == first


def test_answers_wait_as_drawn() -> None:
    with running_sandbox(latency=0.05, latency_spread=1.0, rate_limit_per_minute=0) as server:
        expected = Latencies(server.sandbox.settings)
        for code in ("S001", "S002", "S001"):
            server.user_info(server.row(code)["access_token"])
        waited = [entry["duration_s"] for entry in server.admin("GET", "/requests")]
        drawn = [expected.draw("user_info", code) for code in ("S001", "S002", "S001")]
    assert [took >= wait for took, wait in zip(waited, drawn, strict=True)] == [True] * 3
