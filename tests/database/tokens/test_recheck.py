"""Does `tokens recheck` take back the stores whose grant lives, and say why the others stay?"""

from __future__ import annotations

import json

import pytest

from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.database.bench import Bench
from tests.database.commands import run_command
from tests.database.rows.token_pairs import grant_of, newest_pair, stored_pair
from tests.database.tokens.refused import ALL, end, marked, refresh, revoke

pytestmark = pytest.mark.usefixtures("no_waits")


def test_recheck_takes_back_what_lives_and_names_the_rest(
    expired: Bench, command_env: dict[str, str]
) -> None:
    revoke(expired, ["S002"])
    expired.conn.execute(
        "UPDATE store_tokens SET status = 'needs_consent', status_reason = 'x'"
        " WHERE store_code < 'S005'"
    )
    expired.conn.execute(
        "UPDATE store_tokens SET refresh_expires_at = '2026-03-01T00:00:00Z'"
        " WHERE store_code = 'S003'"
    )
    Lifecycle(expired.conn, "test").remove("S004")
    done = run_command(command_env, "tokens", "recheck", "--as", "anna")
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["S001: restored, its grant is still valid (active)"]
    refused, over = done.stderr.splitlines()
    assert refused.startswith("S002: still refused. The store's grant has ended at TikTok.")
    assert over.startswith("S003: its consent ended on 2026-03-01; send its manager a link")
    assert marked(expired) == {"S002", "S003", "S004"}
    assert grant_of(expired, "S002") == ("needs_consent", "x")
    assert stored_pair(expired, "S001") == newest_pair(expired, "S001")
    assert expired.stats()["refresh_calls"] == 2
    move = expired.row("SELECT actor, details FROM store_audit WHERE action = 'grant_restored'")
    assert move == {"actor": "anna", "details": {"from": "needs_consent", "to": "active"}}
    # By code: one that is not marked, one that has left, one that nobody knows.
    done = run_command(command_env, "tokens", "recheck", "S001", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["ok"]) == (0, True)
    done = run_command(command_env, "tokens", "recheck", "S004")
    assert (done.returncode, "stores resume S004" in done.stderr) == (1, True)
    done = run_command(command_env, "tokens", "recheck", "nobody")
    assert (done.returncode, "no store nobody" in done.stderr) == (2, True)
    assert expired.stats()["refresh_calls"] == 2


@pytest.mark.usefixtures("expired")
def test_recheck_of_nothing_says_so(command_env: dict[str, str]) -> None:
    done = run_command(command_env, "tokens", "recheck")
    assert (done.returncode, done.stdout) == (0, "No store is marked needs_consent.\n")


def test_rechecked_refusals_are_no_evidence_against_tiktok(
    expired: Bench, command_env: dict[str, str]
) -> None:
    revoke(expired, ALL[:8])
    refresh(expired, ALL)
    assert marked(expired) == set()  # they came first
    end(expired)
    assert marked(expired) == set(ALL[:8])
    assert run_command(command_env, "tokens", "recheck").returncode == 1
    refresh(expired, ALL[8:], run="next")
    assert marked(expired) == set(ALL[:8])
