"""Is the death of a grant told from trouble, and written down once?"""

from __future__ import annotations

import pytest

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.errors import (
    ConfigurationError,
    FatalError,
    NeedsConsentError,
    TikTokUnavailableError,
)
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.tiktok.models import KNOWN_SCOPES
from tests.database.bench import Bench, together
from tests.database.faults import Broken, Refuse
from tests.database.rows.token_pairs import (
    EXPIRED,
    FRESH,
    grant_of,
    newest_pair,
    stored_pair,
)

pytestmark = pytest.mark.usefixtures("no_waits", "regime")


def test_a_dead_grant_is_marked_and_never_asked_again(bench: Bench) -> None:
    bench.import_stores(EXPIRED, "S008")
    bench.grant(EXPIRED, revoke=True)
    with bench.client(EXPIRED) as client, pytest.raises(NeedsConsentError) as caught:
        client.tokens.access_token()
    assert caught.value.log_id
    assert grant_of(bench, EXPIRED) == ("needs_consent", caught.value.message)
    assert grant_of(bench, "S008")[0] == "active"
    assert bench.stats()["refresh_calls"] == 1
    with bench.client(EXPIRED) as client:
        for attempt in (
            client.tokens.access_token,
            lambda: client.tokens.scopes,
            lambda: client.tokens.replace_rejected("x"),
            lambda: client.user_info(["open_id"]),
        ):
            with pytest.raises(NeedsConsentError, match="connect the account again"):
                attempt()
    assert bench.calls() == {"oauth_token": 1}


def test_a_new_import_connects_a_dead_store_again(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    bench.grant(EXPIRED, revoke=True)
    with bench.client(EXPIRED) as client, pytest.raises(NeedsConsentError):
        client.tokens.access_token()
    code = bench.sandbox.admin("POST", f"/stores/{EXPIRED}/code", json={})["code"]
    bench.sandbox.oauth("authorization_code", code=code, redirect_uri="x").raise_for_status()
    bench.import_stores(EXPIRED)
    assert grant_of(bench, EXPIRED) == ("active", None)
    with bench.client(EXPIRED) as client:
        assert client.user_info(["open_id"])[0].open_id


def test_nothing_listening_marks_nothing(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    before = stored_pair(bench, EXPIRED)
    nowhere = TikTokApp("http://127.0.0.1:1", "key", "secret")
    with bench.client(EXPIRED, app=nowhere) as client, pytest.raises(TikTokUnavailableError):
        client.tokens.access_token()
    assert grant_of(bench, EXPIRED) == ("active", None)
    assert stored_pair(bench, EXPIRED) == before
    with bench.client(EXPIRED) as client:
        client.tokens.access_token()
    assert bench.stats()["refreshes"] == {EXPIRED: 1}


def test_trouble_at_tiktok_is_tried_once_more_and_marks_nothing(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    bench.sandbox.faults.plan = Broken("oauth_token", times=2)
    with bench.client(EXPIRED) as client, pytest.raises(TikTokUnavailableError):
        client.tokens.access_token()
    assert bench.calls() == {"oauth_token": 2}
    assert grant_of(bench, EXPIRED) == ("active", None)
    bench.sandbox.faults.plan = Broken("oauth_token", times=1)
    with bench.client(EXPIRED) as client:
        assert client.tokens.access_token() == newest_pair(bench, EXPIRED)[0]


def test_a_lost_answer_to_a_refresh_is_proved_by_trying_the_same_token(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    bench.sandbox.faults.plan = Broken("oauth_token", times=1, lost_answer=True)
    with bench.client(EXPIRED) as client, pytest.raises(NeedsConsentError):
        client.tokens.access_token()
    assert bench.stats()["refreshes"] == {EXPIRED: 1}  # TikTok rotated, nobody heard
    status, reason = grant_of(bench, EXPIRED)
    assert status == "needs_consent"
    assert (reason or "").startswith("The answer to a token refresh of 20")


def test_a_refresh_that_was_cut_off_is_named_when_the_grant_turns_out_dead(bench: Bench) -> None:
    bench.import_stores(EXPIRED, "S008")
    bench.conn.execute("SET TIME ZONE 'America/New_York'")  # the message is in UTC all the same
    # As a process leaves it that is killed between TikTok's answer and the commit.
    bench.sandbox.refresh(newest_pair(bench, EXPIRED)[1]).raise_for_status()
    bench.conn.execute(
        "UPDATE store_tokens SET refresh_started_at = '2026-03-01T02:03:04Z' WHERE store_code = %s",
        [EXPIRED],
    )
    with (
        bench.client(EXPIRED) as client,
        pytest.raises(NeedsConsentError, match="refresh of 2026-03-01 02:03 UTC was lost"),
    ):
        client.tokens.access_token()
    assert "was lost" in (grant_of(bench, EXPIRED)[1] or "")
    bench.grant("S008", revoke=True)
    with bench.client("S008") as client, pytest.raises(NeedsConsentError, match="has ended at"):
        client.tokens.access_token()


def test_a_refresh_without_an_answer_leaves_its_mark_until_one_succeeds(bench: Bench) -> None:
    bench.import_stores(EXPIRED)

    def begun() -> bool:
        return bench.row("SELECT refresh_started_at IS NOT NULL AS x FROM store_tokens") == {
            "x": True
        }

    bench.sandbox.faults.plan = Refuse("oauth_token", 400, "x")
    wrong = TikTokApp(bench.sandbox.url, bench.sandbox.client_key, "not-the-secret")
    with bench.client(EXPIRED, app=wrong) as client, pytest.raises(FatalError):
        client.tokens.access_token()
    assert not begun()  # TikTok answered: nothing was rotated
    bench.sandbox.faults.plan = Broken("oauth_token", times=2)
    with bench.client(EXPIRED) as client:
        with pytest.raises(TikTokUnavailableError):
            client.tokens.access_token()
        assert begun()
        client.tokens.access_token()
        assert not begun()


def test_a_wrong_client_secret_is_the_operators_fault_not_the_stores(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    wrong = TikTokApp(bench.sandbox.url, bench.sandbox.client_key, "not-the-secret")
    with pytest.raises(ConfigurationError, match="TIKTOK_CLIENT_SECRET") as caught:
        wrong.check()
    bench.app.check()
    assert "not-the-secret" not in f"{caught.value!r} {caught.value.detail}"
    with bench.client(EXPIRED, app=wrong) as client, pytest.raises(ConfigurationError):
        client.tokens.access_token()
    assert grant_of(bench, EXPIRED) == ("active", None)
    assert bench.stats()["refreshes"] == {}


def test_a_refresh_brings_the_scope_up_to_date(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    bench.grant(EXPIRED, scope="user.info.basic")
    with bench.client(EXPIRED) as client:
        client.tokens.access_token()
        assert client.tokens.scopes == {"user.info.basic"}
    assert grant_of(bench, EXPIRED)[0] == "missing_scope"
    bench.grant(EXPIRED, scope="user.info.basic,user.info.profile,user.info.stats,video.list")
    with bench.client(EXPIRED) as client:
        client.tokens.replace_rejected(newest_pair(bench, EXPIRED)[0])
    assert grant_of(bench, EXPIRED)[0] == "active"


def test_a_store_without_tokens_is_told_apart(bench: Bench) -> None:
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('X', 'x')")
    with (
        bench.client("X") as client,
        pytest.raises(NeedsConsentError, match=r"Store X was never connected\. Send its manager"),
    ):
        client.tokens.access_token()


def moves(bench: Bench, code: str) -> list[tuple[str, str, dict[str, str]]]:
    """What is in the store's history besides its import."""
    found = bench.rows(
        "SELECT action, actor, details FROM store_audit"
        " WHERE store_code = %s AND action <> 'import' ORDER BY id",
        code,
    )
    return [(line["action"], line["actor"], line["details"]) for line in found]


def test_the_run_that_finds_a_grant_dead_writes_it_into_the_stores_history_once(
    bench: Bench,
) -> None:
    bench.import_stores(EXPIRED, FRESH)
    bench.grant(EXPIRED, revoke=True)
    for job in (USER_JOB, VIDEO_JOB, USER_JOB):
        with pytest.raises(NeedsConsentError):
            bench.sync(job, EXPIRED)
        bench.sync(job, FRESH)
    _, reason = grant_of(bench, EXPIRED)
    details = {"from": "active", "to": "needs_consent", "reason": reason}
    assert moves(bench, EXPIRED) == [("grant_ended", "TikTok", details)]
    assert moves(bench, FRESH) == []


def test_a_refresh_that_changes_the_permissions_writes_it_into_the_stores_history(
    bench: Bench,
) -> None:
    bench.import_stores(EXPIRED)
    for scope in ("user.info.basic", "user.info.basic", ",".join(KNOWN_SCOPES)):
        bench.grant(EXPIRED, scope=scope)
        with bench.client(EXPIRED) as client:
            client.tokens.replace_rejected(newest_pair(bench, EXPIRED)[0])
    assert moves(bench, EXPIRED) == [
        ("lose_scope", "TikTok", {"from": "active", "to": "missing_scope"}),
        ("regain_scope", "TikTok", {"from": "missing_scope", "to": "active"}),
    ]


def test_of_many_that_find_a_grant_dead_one_writes_it_down(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    bench.grant(EXPIRED, revoke=True)

    def find(_: int) -> None:
        with bench.client(EXPIRED, own_connection=True) as client, pytest.raises(NeedsConsentError):
            client.tokens.access_token()

    together(4, find)
    assert [move[0] for move in moves(bench, EXPIRED)] == ["grant_ended"]
