"""Are the grants of the second API kept as carefully as those of the first, and apart from them?"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import (
    ConfigurationError,
    ImplausibleRefusalsError,
    NeedsConsentError,
    OtherAppError,
    SyncError,
)
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.stores.importing.load import import_stores
from include.tiktok_sync.stores.importing.rows import BUSINESS_COLUMNS
from include.tiktok_sync.tokens.grant_table import BUSINESS
from include.tiktok_sync.tokens.key_rotation import rotate_keys
from include.tiktok_sync.tokens.recheck import marked_stores, recheck
from include.tiktok_sync.tokens.sealed_rows import key_use
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore
from include.tiktok_sync.tokens.vault import TokenVault
from tests.database.bench import together
from tests.database.business.conftest import CODES, BusinessBench
from tests.database.commands import run_command
from tests.second_consent import add_account_days, disconnect

pytestmark = pytest.mark.usefixtures("no_waits")


def _with_source(
    bench: BusinessBench, code: str, work: Callable[[TokenSource], str], run: str | None = None
) -> str:
    with psycopg.connect(bench.db_url, autocommit=True) as conn, bench.business.transport() as http:
        source = TokenSource(
            code,
            store=TokenStore(conn, BUSINESS),
            vault=bench.vault,
            oauth=bench.business.oauth(http),
            run=run,
        )
        return work(source)


def _token(bench: BusinessBench, code: str, run: str | None = None) -> str:
    return _with_source(bench, code, lambda source: source.access_token(), run)


def _refreshes(bench: BusinessBench) -> int:
    return bench.calls().get("business_refresh", 0)


def test_an_import_brings_both_grants_and_a_bad_second_one_costs_only_itself(
    bench: BusinessBench,
) -> None:
    assert {bench.status_of(code) for code in CODES} == {"active"}
    text = bench.sandbox.admin("GET", "/stores.csv", params={"codes": "S001,S002,S003,S004"})
    lines = list(csv.DictReader(io.StringIO(text)))
    lines[0] |= {"business_scope": "no.such.scope"}
    lines[1] |= {"business_access_token": ""}
    lines[2] |= {"business_open_id": lines[3]["business_open_id"]}
    lines[3] |= dict.fromkeys(BUSINESS_COLUMNS, "")
    for line, code in zip(lines, ("N1", "N2", "N3", "N4"), strict=True):
        line |= {"store_code": code, "open_id": f"new-{code}"}
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, lines[0])
    writer.writeheader()
    writer.writerows(lines)
    report = import_stores(io.StringIO(out.getvalue(), newline=""), bench.conn, bench.vault)
    assert sorted(report.loaded) == ["N1", "N2", "N3", "N4"]
    assert (report.business, sorted(report.business_refused)) == ([], ["N1", "N2", "N3"])
    reasons = {problem.line: problem.reason for problem in report.problems}
    assert "known are user.account.type" in reasons[2]
    assert "access_token is empty" in reasons[3]
    assert "business_open_id is that of store S004" in reasons[4]
    held = bench.rows("SELECT store_code FROM store_tokens WHERE store_code LIKE 'N%%'")
    assert len(held) == 4
    assert bench.rows("SELECT FROM business_tokens WHERE store_code LIKE 'N%%'") == []


def test_a_second_import_of_the_same_tokens_changes_nothing(bench: BusinessBench) -> None:
    before = bench.rows("SELECT * FROM business_tokens ORDER BY 1")
    bench.import_stores()
    assert bench.rows("SELECT * FROM business_tokens ORDER BY 1") == before


def test_an_import_of_another_account_takes_the_days_along_that_may_change(
    bench: BusinessBench,
) -> None:
    final, _ = add_account_days(bench.conn, "S001")
    add_account_days(bench.conn, "S002")
    text = bench.sandbox.admin("GET", "/stores.csv", params={"codes": "S001,S003"})
    line, other = csv.DictReader(io.StringIO(text))
    disconnect(bench, "S003")
    line |= {column: other[column] for column in BUSINESS_COLUMNS}
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, line)
    writer.writeheader()
    writer.writerow(line)
    report = import_stores(
        io.StringIO(out.getvalue(), newline=""), bench.conn, bench.vault, replace_tokens=True
    )
    assert (report.business, report.problems) == (["S001"], [])
    days = "SELECT metric_date FROM account_daily WHERE store_code = %s"
    assert bench.rows(days, "S001") == [{"metric_date": final}]
    assert len(bench.rows(days, "S002")) == 2


def test_one_account_of_each_api_belongs_to_one_store(bench: BusinessBench) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        bench.conn.execute(
            "UPDATE business_tokens SET open_id ="
            " (SELECT open_id FROM business_tokens WHERE store_code = 'S002')"
            " WHERE store_code = 'S001'"
        )
    # An id that the other API uses is another account's.
    bench.conn.execute(
        "UPDATE business_tokens SET open_id ="
        " (SELECT open_id FROM store_tokens WHERE store_code = 'S002')"
        " WHERE store_code = 'S001'"
    )
    assert accounts.other_holder(bench.conn, "S001") is None


def test_one_refresh_for_many_who_ask_and_the_end_of_the_consent_stays(
    bench: BusinessBench,
) -> None:
    bench.conn.execute("UPDATE business_tokens SET access_expires_at = now()")
    ends = "SELECT refresh_expires_at AS at FROM business_tokens WHERE store_code = 'S001'"
    before = bench.row(ends)["at"]
    tokens = together(4, lambda _: _token(bench, "S001"))
    assert (len(set(tokens)), _refreshes(bench)) == (1, 1)
    assert abs((bench.row(ends)["at"] - before).total_seconds()) < 120
    assert bench.row(
        "SELECT app_fingerprint AS app FROM business_tokens WHERE store_code = 'S001'"
    )["app"] == (bench.business.fingerprint)
    display = bench.row("SELECT refreshed_at FROM store_tokens WHERE store_code = 'S001'")
    assert display["refreshed_at"] is None


def test_a_revoked_grant_is_marked_here_and_the_first_one_lives_on(bench: BusinessBench) -> None:
    bench.business_grant("S001", revoke=True)
    bench.conn.execute("UPDATE business_tokens SET access_expires_at = now()")
    with pytest.raises(NeedsConsentError, match="Accounts API has ended"):
        _token(bench, "S001")
    assert bench.status_of("S001") == "needs_consent"
    assert marked_stores(bench.conn, BUSINESS) == ["S001"]
    assert marked_stores(bench.conn) == []
    moves = bench.rows("SELECT action, details FROM store_audit WHERE action <> 'import'")
    assert [(move["action"], move["details"]["api"]) for move in moves] == [
        ("grant_ended", "business")
    ]
    assert bench.row("SELECT status FROM store_tokens WHERE store_code = 'S001'")["status"] == (
        "active"
    )


def test_many_refusals_at_once_cost_no_grant(bench: BusinessBench) -> None:
    bench.conn.execute("UPDATE business_tokens SET access_expires_at = now()")
    for code in CODES:
        bench.business_grant(code, revoke=True)
    kinds: Counter[str] = Counter()
    for code in CODES:
        with pytest.raises(SyncError) as caught:
            _token(bench, code, run="sync_insights_daily night")
        kinds[caught.value.kind] += 1
    assert set(kinds) == {NeedsConsentError.kind, ImplausibleRefusalsError.kind}
    assert marked_stores(bench.conn, BUSINESS) == []
    with pytest.raises(ImplausibleRefusalsError, match="tiktok_business"):
        _token(bench, "S001", run="sync_insights_daily night")


def test_another_app_is_neither_asked_nor_believed(bench: BusinessBench) -> None:
    bench.conn.execute(
        "UPDATE business_tokens SET access_expires_at = now(), app_fingerprint = 'another app'"
    )
    with pytest.raises(OtherAppError, match="Accounts API app"):
        _token(bench, "S001")
    assert (_refreshes(bench), bench.status_of("S001")) == (0, "active")


def test_a_wrong_secret_is_the_apps_and_no_stores_matter(bench: BusinessBench) -> None:
    bench.conn.execute("UPDATE business_tokens SET access_expires_at = now()")
    wrong = bench.with_settings(business_secret="wrong")
    with pytest.raises(ConfigurationError, match="tiktok_business"):
        _token(wrong, "S001")
    with pytest.raises(ConfigurationError):
        wrong.business.check()
    bench.business.check()
    assert bench.status_of("S001") == "active"


def test_recheck_restores_a_grant_that_was_marked_by_mistake(bench: BusinessBench) -> None:
    TokenStore(bench.conn, BUSINESS).mark("S001", "needs_consent", "by mistake")
    answer = _with_source(
        bench, "S001", lambda source: recheck("S001", source, bench.conn, utc_now())
    )
    assert answer == "restored, its grant is still valid (active)"
    assert bench.status_of("S001") == "active"


def test_recheck_of_the_command_line_asks_the_api_that_is_named(
    bench: BusinessBench, command_env: dict[str, str]
) -> None:
    env = {
        **command_env,
        "TIKTOK_BUSINESS_URL": bench.settings.business_url,
        "TIKTOK_BUSINESS_APP_ID": bench.settings.business_app_id,
        "TIKTOK_BUSINESS_SECRET": bench.settings.business_secret,
    }
    TokenStore(bench.conn, BUSINESS).mark("S002", "needs_consent", "by mistake")
    done = run_command(env, "tokens", "recheck", "--api", "business")
    assert (done.returncode, "S002" in done.stdout) == (0, True)
    assert bench.status_of("S002") == "active"


def test_keys_are_rotated_in_both_tables(bench: BusinessBench) -> None:
    both = TokenVault((Fernet.generate_key().decode(), *bench.settings.token_keys))
    assert key_use(bench.conn, both).by_place == {1: 40}
    assert key_use(bench.conn, both, "display").by_place == {1: 20}
    assert rotate_keys(bench.conn, both).complete
    assert key_use(bench.conn, both).by_place == {0: 40}
    with bench.business.transport() as http:
        source = TokenSource(
            "S001",
            store=TokenStore(bench.conn, BUSINESS),
            vault=both,
            oauth=bench.business.oauth(http),
        )
        assert source.access_token().startswith("act.")


def test_token_info_revoke_and_what_is_stored_agree(bench: BusinessBench) -> None:
    stored = bench.row("SELECT open_id, scope FROM business_tokens WHERE store_code = 'S003'")
    with bench.business.transport() as http:
        oauth = bench.business.oauth(http)
        token = _token(bench, "S003")
        info = oauth.token_info(token)
        assert info.open_id == stored["open_id"]
        assert set((info.scope or "").split(",")) == set(stored["scope"].split(","))
        oauth.revoke(token)
        with pytest.raises(NeedsConsentError):
            oauth.token_info(token)
