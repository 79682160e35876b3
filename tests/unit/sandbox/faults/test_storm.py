"""The scenario `storm`: what it is made of, and that it leaves nothing behind."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import requests

from include.sandbox.faults.fault import DISPLAY
from include.sandbox.faults.rules import FAULTS
from include.sandbox.faults.storm import SCENARIOS
from include.sandbox.settings import FAULT_SCENARIOS
from tests.sandbox_server import running_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox_server import SandboxServer

LASTING = {"grant_revoked", "scope_refused", "internal_error", "invalid_json"}


def lasting(shown: dict[str, Any]) -> dict[str, str]:
    """Fault -> the one store that it strikes for good."""
    return {rule["fault"]: rule["stores"][0] for rule in shown["rules"] if rule["stores"]}


def test_the_settings_know_every_scenario() -> None:
    assert tuple(SCENARIOS) == FAULT_SCENARIOS


def test_a_storm_has_small_troubles_for_all_and_a_few_lasting_ones() -> None:
    with running_sandbox(stores=300) as sandbox:
        shown = sandbox.admin("POST", "/faults/storm")
        again = sandbox.admin("POST", "/faults/storm", json={"seed": 1})
        other = sandbox.admin("POST", "/faults/storm", json={"seed": 2})
        counts = {row["store_code"]: row["video_count"] for row in sandbox.admin("GET", "/stores")}
    assert (shown["seed"], shown["scenario"]) == (1, "storm")
    assert shown == again
    assert lasting(other) != lasting(shown)
    assert set(lasting(shown)) == LASTING
    assert len(set(lasting(shown).values())) == 4
    assert counts[lasting(shown)["invalid_json"]] > 20, "its second page must exist"
    small = [rule for rule in shown["rules"] if not rule["stores"]]
    assert all(0 < rule["rate"] <= 0.1 for rule in small)
    # Every try of a call fails with some probability; four in a row must stay rare.
    failing = [
        rule["rate"]
        for rule in small
        if FAULTS[rule["fault"]].replaces and set(rule["endpoints"]) & set(DISPLAY)
    ]
    assert 0.1 < sum(failing) < 0.25
    kinds = {rule["fault"] for rule in shown["rules"]}
    assert {"reset", "cut_body", "stall", "slow", "rate_limited", "token_rejected"} <= kinds
    assert {"short_page", "empty_page", "duplicate_video", "cursor_stuck"} <= kinds
    assert {"counter_absent", "counter_null", "counter_string", "nul_in_text"} <= kinds
    assert {"oauth_server_error", "oauth_error_in_200"} <= kinds


@pytest.mark.parametrize(
    ("stores", "count"), [(3, 0), (4, 1), (8, 2), (24, 2), (25, 3), (49, 3), (50, 4)]
)
def test_few_stores_have_few_lasting_troubles(stores: int, count: int) -> None:
    with running_sandbox(stores=stores) as sandbox:
        assert len(lasting(sandbox.admin("POST", "/faults/storm"))) == count


def test_lasting_trouble_strikes_the_named_stores_only(sandbox: SandboxServer) -> None:
    codes = [f"S{number:03d}" for number in range(5, 15)]
    shown = sandbox.admin("POST", "/faults/storm", json={"stores": codes})
    assert len(lasting(shown)) == 2
    assert set(lasting(shown).values()) <= set(codes)


def blows(sandbox: SandboxServer, code: str, calls: int) -> Counter[str]:
    token = sandbox.row(code)["access_token"]
    found: Counter[str] = Counter()
    for _ in range(calls):
        try:
            response = sandbox.user_info(token)
            code = response.json().get("error", {}).get("code", "bare")
        except requests.JSONDecodeError:
            code = "unreadable"
        except requests.RequestException:
            code = "broken"
        found[code] += 1
    return found


def test_most_calls_get_through_and_healing_undoes_all(sandbox: SandboxServer) -> None:
    before = sandbox.admin("GET", "/truth"), sandbox.admin("GET", "/stores.csv")
    sandbox.admin("PATCH", "/settings", json={"stores": 60})
    marked = lasting(sandbox.admin("POST", "/faults/storm"))
    assert blows(sandbox, marked["internal_error"], 10) == {"internal_error": 10}
    assert blows(sandbox, marked["grant_revoked"], 10) == {"access_token_invalid": 10}
    well = next(code for code in ("S001", "S002", "S005") if code not in marked.values())
    found = blows(sandbox, well, 150)
    assert 100 <= found["ok"] <= 143
    assert found["internal_error"] >= 3
    sandbox.admin("DELETE", "/faults")
    sandbox.admin("PATCH", "/settings", json={"stores": 20})
    assert (sandbox.admin("GET", "/truth"), sandbox.admin("GET", "/stores.csv")) == before


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("hurricane", {}, 404, "hurricane: no such scenario; only storm"),
        ("storm", {"rules": []}, 400, "rules: unknown; only seed, stores"),
        ("storm", {"stores": ["S999"]}, 404, "S999: no such store"),
        ("storm", {"stores": "S001"}, 400, "stores: must be a list of texts"),
        ("storm", {"seed": -1}, 400, "seed: must be a whole number"),
    ],
)
def test_bad_requests_are_refused(
    shared: SandboxServer, path: str, body: object, status: int, says: str
) -> None:
    response = requests.post(f"{shared.url}/admin/faults/{path}", json=body, timeout=30)
    assert response.status_code == status
    assert response.json()["error"].startswith(says)
    assert shared.admin("GET", "/faults")["rules"] == []


def test_a_sandbox_can_start_in_a_storm_and_goes_on_with_it(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with running_sandbox(state=state, faults="storm") as first:
        blows(first, "S001", 30)
        shown = first.admin("GET", "/faults")
        assert shown["scenario"] == "storm"
        assert any(rule["hits"] for rule in shown["rules"])
    with running_sandbox(state=state, faults="storm") as second:
        assert second.admin("GET", "/faults") == shown
        second.admin("DELETE", "/faults")
    with running_sandbox(state=state) as third:
        assert third.admin("GET", "/faults")["scenario"] is None
