"""Does the grant of the Accounts API leave with its store: revoked, exported, erased, wiped?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import ConfigurationError, DataError
from include.tiktok_sync.store_db.personal_retention import clear_personal
from include.tiktok_sync.store_db.retention import RetentionSettings
from include.tiktok_sync.stores import leaving
from include.tiktok_sync.stores.at_once import wiping
from include.tiktok_sync.stores.at_once.reach import reach
from include.tiktok_sync.stores.at_once.revoking import revoke_all
from include.tiktok_sync.stores.consents import consents_ending
from include.tiktok_sync.stores.export import export_to_folder
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.database.bench import Bench
from tests.sandbox_server import SandboxServer, running_sandbox
from tests.second_consent import UNLIMITED, disconnect, with_business


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(rate_limit_per_minute=0, business=UNLIMITED) as server:
        yield server


@pytest.fixture
def both(bench: Bench) -> Bench:
    """Two stores with both grants, and the settings of both apps."""
    bench.import_stores("S001", "S002")
    return with_business(bench)


def revoked(bench: Bench, code: str) -> tuple[bool, bool]:
    """Whether the first and the second grant are, at the sandbox."""
    state = bench.sandbox.sandbox
    return state.tokens.grant(code).revoked, state.business_tokens.grant(code).revoked


def test_a_store_that_leaves_loses_both(both: Bench) -> None:
    said = disconnect(both, "S001")
    assert said.startswith("removed and its grant revoked at TikTok; Accounts API: ")
    assert revoked(both, "S001") == (True, True)
    assert revoked(both, "S002") == (False, False)
    assert both.row("SELECT status FROM business_tokens WHERE store_code = 'S001'") == {
        "status": "needs_consent"
    }
    assert disconnect(both, "S001") == "removed; it had no living grant"


def test_without_the_second_app_the_store_is_not_erased_over_a_living_grant(both: Bench) -> None:
    with pytest.raises(ConfigurationError, match="TIKTOK_BUSINESS_APP_ID"):
        disconnect(both, "S001", has_business=False)
    assert revoked(both, "S001") == (True, False)
    with pytest.raises(DataError, match="not revoked yet"):
        leaving.erase("S001", Lifecycle(both.conn, "anna"))
    assert disconnect(both, "S001").endswith("and its grant revoked at TikTok")


def test_it_is_exported_erased_and_leaves_a_hash(both: Bench, tmp_path: Path) -> None:
    account = both.sandbox.row("S001")["business_open_id"]
    export_to_folder(both.conn, "S001", tmp_path / "out", "page")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "business_tokens" in page
    assert account in (tmp_path / "out" / "business_tokens.csv").read_text()
    disconnect(both, "S001")
    assert leaving.erase("S001", Lifecycle(both.conn, "anna"))["business_tokens"] == 1
    assert account not in "".join(both.dump().values())
    hashes = both.row("SELECT erased_account_hash(%s) AS hash", account)
    assert hashes["hash"] in [one["account_hash"] for one in both.rows("TABLE erased_accounts")]


def test_an_incident_ends_every_grant_and_says_which_is_the_second(both: Bench) -> None:
    found = reach(both.conn, {})
    assert all(one.business_scope for one in found.stores)
    done = revoke_all(both.conn, both.settings, both.app, "anna", "Revoked in an incident")
    assert [(one.store_code, one.api, one.ok) for one in done] == [
        ("S001", "display", True),
        ("S002", "display", True),
        ("S001", "business", True),
        ("S002", "business", True),
    ]
    assert done[2].message == "Accounts API: revoked"
    assert [revoked(both, code) for code in ("S001", "S002")] == [(True, True)] * 2


def test_without_the_second_app_the_first_grants_end_and_the_others_are_named(
    both: Bench,
) -> None:
    without = both.with_settings(business_app_id="", business_secret="")
    done = revoke_all(both.conn, without.settings, both.app, "anna", "Wiped")
    assert [one.ok for one in done] == [True, True, False, False]
    assert "TIKTOK_BUSINESS_APP_ID" in done[2].message


def test_a_wipe_counts_and_deletes_them(both: Bench) -> None:
    plan = wiping.plan(both.conn)
    assert plan.grants == 4
    assert plan.rows["business_tokens"] == 2
    wiping.begin(both.conn, "anna", plan)
    wiping.wipe(both.conn, "anna", revoked=0, not_revoked=4)
    assert both.rows("TABLE business_tokens") == []
    assert both.row("SELECT count(*) FROM erased_accounts") == {"count": 4}


def test_the_calendar_has_both_consents(both: Bench) -> None:
    soon: Any = utc_now() + timedelta(days=5)
    both.conn.execute("UPDATE business_tokens SET refresh_expires_at = %s", [soon])
    found = consents_ending(both.conn, 30)
    assert [(one.store_code, one.api, one.stage) for one in found] == [
        ("S001", "business", 14),
        ("S002", "business", 14),
    ]
    assert consents_ending(both.conn, 30, api="display") == []
    assert len(consents_ending(both.conn, 4_000)) == 4


def test_a_second_consent_that_was_withdrawn_is_forgotten_and_the_first_stays(both: Bench) -> None:
    both.conn.execute(
        "UPDATE business_tokens SET status = 'needs_consent',"
        " status_since = now() - interval '31 days' WHERE store_code = 'S001'"
    )
    before = both.rows("SELECT open_id FROM store_tokens ORDER BY store_code")
    now = utc_now()
    done = clear_personal(both.conn, RetentionSettings(), now=now, today=now.date(), dry_run=False)
    assert [(one.table, one.rows) for one in done] == [("business_tokens", 1)]
    found = both.rows("SELECT open_id FROM business_tokens ORDER BY store_code")
    assert found[0]["open_id"] == "forgotten:S001"
    assert found[1]["open_id"] == both.sandbox.row("S002")["business_open_id"]
    assert both.rows("SELECT open_id FROM store_tokens ORDER BY store_code") == before
