"""Which calls a rule hits, what a bad rule is answered, and what outlives the sandbox."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
import requests

from include.sandbox.faults.plan import RulePlan
from include.sandbox.faults.rules import FAULT_TEXTS, FAULTS
from include.sandbox.setting_checks import SettingsError
from include.sandbox.settings import ENDPOINTS
from tests.sandbox_server import running_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox_server import SandboxServer

STORES = ("S001", "S002", "S005")


def switch(sandbox: SandboxServer, *rules: dict[str, Any], seed: int = 1) -> dict[str, Any]:
    shown: dict[str, Any] = sandbox.admin("POST", "/faults", json={"seed": seed, "rules": rules})
    return shown


def hits(sandbox: SandboxServer) -> list[int]:
    return [rule["hits"] for rule in sandbox.admin("GET", "/faults")["rules"]]


def statuses(sandbox: SandboxServer, code: str, calls: int) -> list[int]:
    token = sandbox.row(code)["access_token"]
    return [sandbox.user_info(token).status_code for _ in range(calls)]


def test_every_fault_says_what_it_does_and_where() -> None:
    assert set(FAULT_TEXTS) == set(FAULTS)
    assert all(FAULT_TEXTS.values())
    assert all(set(fault.endpoints) <= set(ENDPOINTS) for fault in FAULTS.values())
    assert all(fault.endpoints for fault in FAULTS.values())


def test_a_healthy_sandbox_has_no_rules(shared: SandboxServer) -> None:
    assert shared.admin("GET", "/faults") == {"seed": 1, "scenario": None, "rules": []}
    assert shared.admin("GET", "/faults/kinds") == dict(FAULT_TEXTS)


def test_a_rule_is_shown_whole_with_its_hits(sandbox: SandboxServer) -> None:
    shown = switch(sandbox, {"fault": "internal_error", "times": 2}, seed=9)
    assert shown["seed"] == 9
    assert shown["rules"] == [
        {
            "fault": "internal_error",
            "stores": None,
            "endpoints": ["user_info", "video_list", "video_query"],
            "rate": 1.0,
            "times": 2,
            "times_per_store": None,
            "after": 0,
            "burst": 1,
            "seconds": None,
            "by": None,
            "hits": 0,
        }
    ]
    assert statuses(sandbox, "S001", 4) == [500, 500, 200, 200]
    assert hits(sandbox) == [2]


def test_a_rule_strikes_the_named_stores_and_endpoints(sandbox: SandboxServer) -> None:
    switch(sandbox, {"fault": "internal_error", "stores": ["S002"], "endpoints": ["video_list"]})
    for code, expected in (("S001", (200, 200, 200)), ("S002", (200, 500, 200))):
        token = sandbox.row(code)["access_token"]
        got = (
            sandbox.user_info(token).status_code,
            sandbox.video_list(token).status_code,
            sandbox.video_query(token, ["1"]).status_code,
        )
        assert got == expected


def test_after_counts_the_matching_calls_of_each_store(sandbox: SandboxServer) -> None:
    switch(sandbox, {"fault": "internal_error", "endpoints": ["user_info"], "after": 2})
    token = sandbox.row("S001")["access_token"]
    assert sandbox.video_list(token).status_code == 200
    assert statuses(sandbox, "S001", 3) == [200, 200, 500]
    assert statuses(sandbox, "S002", 3) == [200, 200, 500]


def test_times_per_store_leaves_every_store_its_share(sandbox: SandboxServer) -> None:
    switch(sandbox, {"fault": "internal_error", "times_per_store": 1})
    assert [statuses(sandbox, code, 2) for code in STORES] == [[500, 200]] * 3
    assert hits(sandbox) == [3]


def test_a_rate_hits_about_its_share(sandbox: SandboxServer) -> None:
    switch(sandbox, {"fault": "internal_error", "rate": 0.25})
    found = statuses(sandbox, "S001", 200)
    assert 25 <= found.count(500) <= 75
    switch(sandbox, {"fault": "internal_error", "rate": 0.0})
    assert statuses(sandbox, "S001", 5) == [200] * 5


def test_a_burst_is_all_or_none(sandbox: SandboxServer) -> None:
    switch(sandbox, {"fault": "internal_error", "rate": 0.4, "burst": 3})
    found = statuses(sandbox, "S001", 60)
    groups = {tuple(found[start : start + 3]) for start in range(0, 60, 3)}
    assert groups == {(500, 500, 500), (200, 200, 200)}


def schedule(order: list[str], *, seed: int = 4) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {code: [] for code in STORES}
    with running_sandbox(rate_limit_per_minute=0) as sandbox:
        rules: list[dict[str, Any]] = [
            {"fault": "internal_error", "rate": 0.3},
            {"fault": "bad_gateway_html", "rate": 0.3, "times_per_store": 4},
            {"fault": "rate_limited", "rate": 0.2, "after": 3},
        ]
        switch(sandbox, *rules, seed=seed)
        tokens = {code: sandbox.row(code)["access_token"] for code in STORES}
        for code in order:
            sandbox.video_list(tokens[code])  # other endpoints do not disturb it either
            found[code].append(sandbox.user_info(tokens[code]).status_code)
    return found


def test_the_schedule_depends_on_the_seed_and_not_on_the_interleaving() -> None:
    in_turn = list(itertools.chain.from_iterable([code] * 20 for code in STORES))
    mixed = [code for _ in range(20) for code in reversed(STORES)]
    first = schedule(in_turn)
    assert schedule(mixed) == first
    assert {500, 502, 429} <= set(itertools.chain.from_iterable(first.values()))
    assert len({tuple(found) for found in first.values()}) == 3
    assert schedule(in_turn, seed=5) != first


def test_rules_are_tried_in_order_until_one_replaces_the_answer(sandbox: SandboxServer) -> None:
    switch(
        sandbox,
        {"fault": "unknown_field"},
        {"fault": "internal_error", "times": 1},
        {"fault": "bad_gateway_html", "times": 1},
    )
    token = sandbox.row("S001")["access_token"]
    assert [sandbox.user_info(token).status_code for _ in range(3)] == [500, 502, 200]
    log = sandbox.admin("GET", "/requests")
    assert [entry["faults"] for entry in log] == [
        ["unknown_field", "internal_error"],
        ["unknown_field", "bad_gateway_html"],
        ["unknown_field"],
    ]
    assert [entry["code"] for entry in log] == ["internal_error", "unreadable", "ok"]
    assert hits(sandbox) == [3, 1, 1]


def test_a_fault_without_anything_to_work_on_is_no_hit(sandbox: SandboxServer) -> None:
    empty = "S003"
    switch(sandbox, {"fault": "short_page", "times": 1}, {"fault": "oauth_server_error"})
    data = sandbox.video_list(sandbox.row(empty)["access_token"]).json()["data"]
    assert data == {"videos": [], "cursor": 0, "has_more": False}
    assert sandbox.oauth("client_credentials").status_code == 200
    assert hits(sandbox) == [0, 0]


def test_an_unknown_caller_is_hit_by_rules_for_all_stores_only(sandbox: SandboxServer) -> None:
    switch(sandbox, {"fault": "internal_error", "stores": ["S001"]})
    assert sandbox.user_info("act.unknown").status_code == 401
    switch(sandbox, {"fault": "internal_error"})
    assert sandbox.user_info("act.unknown").status_code == 500


def test_healing_and_replacing_take_effect_at_once(sandbox: SandboxServer) -> None:
    switch(sandbox, {"fault": "internal_error"})
    switch(sandbox, {"fault": "bad_gateway_html"})
    assert statuses(sandbox, "S001", 1) == [502]
    assert sandbox.admin("DELETE", "/faults") is None
    assert statuses(sandbox, "S001", 1) == [200]
    assert sandbox.admin("GET", "/faults")["rules"] == []


def test_a_plan_can_be_set_in_the_process(sandbox: SandboxServer) -> None:
    sandbox.faults.plan = RulePlan(3, [{"fault": "internal_error", "times": 1}])
    assert statuses(sandbox, "S001", 2) == [500, 200]
    assert hits(sandbox) == [1]
    with pytest.raises(SettingsError, match=r"rules\[0\]\.fault: 'boom' is unknown"):
        RulePlan(3, [{"fault": "boom"}])


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, "rules[1].fault: None is unknown; only short_page"),
        ({"fault": "boom"}, "rules[1].fault: 'boom' is unknown"),
        ({"fault": ["reset"]}, "rules[1].fault: ['reset'] is unknown"),
        ({"fault": "reset", "store": ["S001"]}, "rules[1].rule: store unknown; only fault"),
        ({"fault": "reset", "stores": ["S021"]}, "rules[1].stores: S021: no such store"),
        ({"fault": "reset", "stores": "S001"}, "rules[1].stores: must be a list"),
        ({"fault": "reset", "endpoints": ["users"]}, "rules[1].endpoints: users is unknown"),
        (
            {"fault": "short_page", "endpoints": ["user_info"]},
            "rules[1].endpoints: short_page strikes only video_list, not user_info",
        ),
        ({"fault": "reset", "rate": 1.1}, "rules[1].rate: must be a number from 0 to 1"),
        ({"fault": "reset", "rate": True}, "rules[1].rate: must be a number"),
        ({"fault": "reset", "times": -1}, "rules[1].times: must be a whole number from 0"),
        ({"fault": "reset", "times_per_store": 1.5}, "rules[1].times_per_store: must be"),
        ({"fault": "reset", "after": "2"}, "rules[1].after: must be a whole number"),
        ({"fault": "reset", "burst": 0}, "rules[1].burst: must be a whole number from 1"),
        ({"fault": "slow", "seconds": -1}, "rules[1].seconds: must be a number"),
        ("reset", "rules[1].rule: must be a JSON object"),
    ],
)
def test_a_bad_rule_is_refused_and_the_plan_stays(
    sandbox: SandboxServer, rule: object, says: str
) -> None:
    before = switch(sandbox, {"fault": "slow", "seconds": 0})
    url = f"{sandbox.url}/admin/faults"
    response = requests.post(url, json={"rules": [{"fault": "reset"}, rule]}, timeout=30)
    assert response.status_code == 400
    assert response.json()["error"].startswith(says)
    assert sandbox.admin("GET", "/faults") == before


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "rules: must be a list"),
        ({"rules": {}}, "rules: must be a list"),
        ({"rules": [], "seeds": 1}, "seeds: unknown; only rules, seed"),
        ({"rules": [], "seed": "1"}, "seed: must be a whole number"),
        ([], "the body must be a JSON object"),
    ],
)
def test_a_bad_plan_is_refused(shared: SandboxServer, body: object, says: str) -> None:
    response = requests.post(f"{shared.url}/admin/faults", json=body, timeout=30)
    assert response.status_code == 400
    assert response.json()["error"].startswith(says)


def test_the_plan_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    rules = [
        {"fault": "internal_error", "times_per_store": 2, "after": 1},
        {"fault": "bad_gateway_html", "rate": 0.5},
    ]
    with running_sandbox() as whole:
        switch(whole, *rules, seed=3)
        expected = statuses(whole, "S001", 30)
    with running_sandbox(state=state) as first:
        switch(first, *rules, seed=3)
        found = statuses(first, "S001", 2)
        shown = first.admin("GET", "/faults")
    with running_sandbox(state=state) as second:
        assert second.admin("GET", "/faults") == shown
        found += statuses(second, "S001", 28)
        second.admin("DELETE", "/faults")
    assert found == expected
    with running_sandbox(state=state) as third:
        assert third.admin("GET", "/faults")["rules"] == []


def test_a_new_plan_counts_from_zero_after_a_restart_too(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    rule = {"fault": "internal_error", "times": 1}
    with running_sandbox(state=state) as first:
        switch(first, rule)
        assert statuses(first, "S001", 2) == [500, 200]
        switch(first, rule)
    with running_sandbox(state=state) as second:
        assert statuses(second, "S001", 2) == [500, 200]
