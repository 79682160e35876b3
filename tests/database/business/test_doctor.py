"""Does the doctor name the second grants that need somebody, and only where they are used?"""

from __future__ import annotations

import pytest

from include.tiktok_sync.doctor import business as doctor_business
from include.tiktok_sync.doctor.finding import Finding
from tests.database.business.conftest import BusinessBench


def _found(bench: BusinessBench) -> dict[str, Finding]:
    return {finding.check: finding for finding in doctor_business.check(bench.settings)}


def _attempt(bench: BusinessBench, code: str, outcome: str) -> None:
    key = f"{code} {outcome}"
    bench.conn.execute(
        "INSERT INTO connect_links (link_hash, store_code, created_by, expires_at, api)"
        " VALUES (%s, %s, 'a', now(), 'business')",
        [key.encode(), code],
    )
    bench.conn.execute(
        "INSERT INTO connect_attempts (link_hash, store_code, state_hash, browser_hash, expires_at,"
        " outcome, finished_at, api) VALUES (%s, %s, %s, '', now(), %s, now(), 'business')",
        [key.encode(), code, key.encode(), outcome],
    )


def test_sound_grants_are_found_sound(bench: BusinessBench) -> None:
    assert {finding.status for finding in _found(bench).values()} == {"ok"}


def test_grants_that_need_somebody_are_named(bench: BusinessBench) -> None:
    bench.conn.execute(
        "UPDATE business_tokens SET status = CASE store_code WHEN 'S003' THEN 'missing_scope'"
        " ELSE 'needs_consent' END WHERE store_code IN ('S001', 'S003', 'S007')"
    )

    found = _found(bench)["Accounts API grants"]

    assert found.status == "warn"
    assert found.text == (
        "20 active stores have a grant for the Accounts API: 2 need consent (S001, S007),"
        " 1 miss a permission (S003)"
    )
    assert "stores link CODE --business" in found.todo


def test_tiktok_is_asked_about_a_sample_that_changes(
    bench: BusinessBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_business, "ASKED", 2)
    living = bench.row(
        "SELECT count(*) AS n FROM business_tokens WHERE access_expires_at > now() + '1 minute'"
    )["n"]
    check = "Accounts API permissions"
    for _ in range(6):
        text = _found(bench)[check].text
        assert text.startswith(f"complete for 2 of {living} stores, picked at random")
    calls = bench.sandbox.admin("GET", "/requests", params={"endpoint": "business_token_info"})
    assert len({call["store_code"] for call in calls}) > 2

    monkeypatch.setattr(doctor_business, "ASKED", living)
    assert _found(bench)[check].text == f"complete for {living} of {living} stores"
    bench.business_grant("S001", revoke=True)
    found = _found(bench)[check]
    assert (found.status, "S001: TikTok rejects its token" in found.text) == ("warn", True)
    assert found.text.endswith(f"(asked about {living} of {living} stores)")


def test_a_permission_that_tiktok_has_not_approved_is_named_until_a_login_works(
    bench: BusinessBench,
) -> None:
    _attempt(bench, "S004", "not_approved")
    _attempt(bench, "S002", "not_approved")
    _attempt(bench, "S005", "not_approved")
    bench.conn.execute("UPDATE stores SET is_active = false WHERE store_code = 'S005'")

    found = _found(bench)["Accounts API approval"]

    assert found.status == "warn"
    assert "the managers of 2 stores (S002, S004)" in found.text
    assert "CONNECT_BUSINESS_SCOPES" in found.todo
    _attempt(bench, "S009", "denied")
    assert "Accounts API approval" in _found(bench)
    _attempt(bench, "S009", "connected")
    assert "Accounts API approval" not in _found(bench)


def test_without_the_second_app_no_grant_is_looked_at(
    bench: BusinessBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object, **__: object) -> None:
        pytest.fail("the database was asked")

    bench.conn.execute("UPDATE business_tokens SET status = 'needs_consent'")
    monkeypatch.setattr(doctor_business, "connect", connect)
    off = bench.with_settings(business_app_id="", business_secret="")

    assert [(f.check, f.status) for f in doctor_business.check(off.settings)] == [
        ("Accounts API", "ok")
    ]
