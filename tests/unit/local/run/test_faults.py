"""``FAULTS`` puts the sandbox in a storm, and the next sync without it ends the storm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from include.local.errors import LocalSyncError
from include.local.run.faults import report_faults, switch_faults
from include.local.stack import Stack
from tests.sandbox_server import SandboxServer, running_sandbox

if TYPE_CHECKING:
    from tests.unit.local.conftest import Bench

STORES = [f"S{number:03d}" for number in range(1, 21)]


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(rate_limit_per_minute=0, stores=60) as server:
        yield server


def stack(bench: Bench, sandbox: SandboxServer, faults: str = "") -> Stack:
    port = sandbox.url.rpartition(":")[2]
    return Stack(bench.workspace, bench.settings({"SANDBOX_PORT": port, "FAULTS": faults}))


def test_a_storm_strikes_among_the_stores_of_the_sync(
    bench: Bench, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    switch_faults(stack(bench, sandbox, "storm"), STORES)

    plan = sandbox.admin("GET", "/faults")
    struck = {code for rule in plan["rules"] for code in rule["stores"] or ()}
    assert plan["scenario"] == "storm"
    assert struck
    assert struck <= set(STORES)
    told = capsys.readouterr().err
    assert "storm, seed 1; for good: " in told
    assert all(code in told for code in struck)


def test_rules_set_by_hand_stay_and_are_named(
    bench: Bench, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.admin("POST", "/faults", json={"rules": [{"fault": "reset"}]})

    switch_faults(stack(bench, sandbox), STORES)

    assert len(sandbox.admin("GET", "/faults")["rules"]) == 1
    assert "rules set by hand: 1" in capsys.readouterr().err


def test_a_healthy_tiktok_needs_no_report(
    bench: Bench, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy = stack(bench, sandbox)

    switch_faults(healthy, STORES)
    report_faults(healthy)

    assert capsys.readouterr() == ("", "")


def test_the_report_counts_what_struck(
    bench: Bench, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    stormy = stack(bench, sandbox, "storm")
    switch_faults(stormy, STORES)
    report_faults(stormy)
    assert capsys.readouterr().out.endswith("in answers:\n  nothing\n")
    token = sandbox.row("S001")["refresh_token"]
    statuses = [sandbox.refresh(token).status_code for _ in range(60)]

    report_faults(stormy)

    struck = sandbox.admin("GET", "/faults")["rules"]
    hits = sum(rule["hits"] for rule in struck if rule["fault"] == "oauth_server_error")
    assert hits == statuses.count(500) > 0
    assert f"oauth_server_error {hits}" in capsys.readouterr().out


def test_a_sandbox_that_does_not_answer_is_one_clear_error(bench: Bench) -> None:
    with running_sandbox() as gone:
        pass
    with pytest.raises(
        LocalSyncError, match=r"The sandbox did not answer /admin/faults/storm\. Its"
    ):
        switch_faults(stack(bench, gone, "storm"), STORES)
