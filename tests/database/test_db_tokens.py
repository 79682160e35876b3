"""Is a store's token refreshed exactly once, kept secret, and its death told from trouble?"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync import oauth, token_store
from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.database import database_errors
from include.tiktok_sync.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    FatalError,
    NeedsConsentError,
    TikTokUnavailableError,
)
from include.tiktok_sync.store_run import VIDEO_JOB
from include.tiktok_sync.tokens import EXPIRY_MARGIN
from include.tiktok_sync.vault import TokenVault
from tests.database.bench import Bench, together
from tests.database.faults import Broken, Edit, Refuse
from tests.sandbox_server import SandboxServer

EXPIRED, FRESH = "S004", "S001"

LIVES = {"2h": (2, 180), "24h": (24, 365)}
"""Regime of the sandbox -> hours of an access token, days of a grant: TikTok's pages of November
2026 and the older ones."""

pytestmark = pytest.mark.usefixtures("no_waits", "regime")


@pytest.fixture(params=LIVES)
def regime(request: pytest.FixtureRequest, sandbox: SandboxServer) -> str:
    """Every test here holds under both of TikTok's sets of lifetimes."""
    sandbox.admin("PATCH", "/settings", json={"token_regime": request.param})
    return str(request.param)


def _status(bench: Bench, code: str) -> tuple[str, str | None]:
    found = bench.row("SELECT status, status_reason FROM store_tokens WHERE store_code = %s", code)
    return found["status"], found["status_reason"]


def _stored(bench: Bench, code: str) -> tuple[str, str]:
    """The pair in the database, decrypted."""
    found = bench.row("SELECT * FROM store_tokens WHERE store_code = %s", code)
    return (
        bench.vault.decrypt(found["access_token"], store_code=code, kind="access"),
        bench.vault.decrypt(found["refresh_token"], store_code=code, kind="refresh"),
    )


def _newest(bench: Bench, code: str) -> tuple[str, str]:
    """The pair that the sandbox gave last."""
    line = bench.sandbox.row(code)
    return line["access_token"], line["refresh_token"]


def test_a_valid_token_is_used_as_it_is(bench: Bench) -> None:
    bench.import_stores(FRESH)
    with bench.client(FRESH) as client:
        assert client.tokens.access_token() == _newest(bench, FRESH)[0]
    assert bench.calls() == {}


@pytest.mark.parametrize("left", [EXPIRY_MARGIN - timedelta(seconds=5), None])
def test_a_token_about_to_end_is_refreshed_before_use(bench: Bench, left: timedelta | None) -> None:
    bench.import_stores(FRESH)
    bench.conn.execute("UPDATE store_tokens SET access_expires_at = now() + %s", [left])
    with bench.client(FRESH) as client:
        client.tokens.access_token()
        assert client.tokens.refreshes == 1
        client.tokens.access_token()
    assert bench.stats()["refreshes"] == {FRESH: 1}


def test_lives_are_what_the_answer_says(bench: Bench, regime: str) -> None:
    hours, days = LIVES[regime]
    bench.import_stores(EXPIRED)
    connected = bench.row("SELECT refresh_expires_at FROM store_tokens")["refresh_expires_at"]
    with bench.client(EXPIRED) as client:
        client.tokens.access_token()
    line = bench.row("SELECT * FROM store_tokens")
    life = line["access_expires_at"] - line["refreshed_at"]
    assert life == pytest.approx(timedelta(hours=hours), abs=timedelta(seconds=30))
    # The end of the grant is anchored to the consent: a refresh does not move it.
    assert line["refresh_expires_at"] == pytest.approx(connected, abs=timedelta(seconds=30))
    assert line["refresh_expires_at"] - line["refreshed_at"] <= timedelta(days=days)


def test_a_token_that_ends_in_the_middle_of_a_listing_is_replaced(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=41)
    bench.import_stores(code)
    pages = 0

    def expire(_: dict[str, object]) -> None:
        nonlocal pages
        pages += 1
        if pages == 1:  # after the first page; the database believes that it is valid
            bench.sandbox.sandbox.tokens.move_access_expiry(code, time.time() - 1)

    bench.sandbox.sandbox.faults = Edit("video_list", expire)
    outcome = bench.sync(VIDEO_JOB, code)
    assert outcome.details["videos"] == len(bench.truth(code)["videos"])
    assert bench.stats()["refreshes"] == {code: 1}


def test_many_at_once_refresh_exactly_once(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    bench.sandbox.admin("PATCH", "/settings", json={"latency": {"oauth_token": 0.3}})

    def token(_: int) -> tuple[str, int]:
        with bench.client(EXPIRED, own_connection=True) as client:
            return client.tokens.access_token(), client.tokens.refreshes

    found = together(8, token)
    assert {item[0] for item in found} == {_newest(bench, EXPIRED)[0]}
    assert sorted(item[1] for item in found) == [0] * 7 + [1]
    stats = bench.stats()
    assert (stats["refreshes"], stats["refresh_calls"]) == ({EXPIRED: 1}, 1)
    assert stats["dead_token_uses"] == 0
    assert _stored(bench, EXPIRED) == _newest(bench, EXPIRED)


def test_many_with_a_rejected_token_refresh_exactly_once(bench: Bench) -> None:
    bench.import_stores(FRESH)
    rejected = _newest(bench, FRESH)[0]

    def token(_: int) -> str:
        with bench.client(FRESH, own_connection=True) as client:
            return client.tokens.replace_rejected(rejected)

    assert set(together(6, token)) == {_newest(bench, FRESH)[0]} != {rejected}
    assert bench.stats()["refresh_calls"] == 1


def test_the_new_pair_is_committed_before_it_is_used(bench: Bench, regime: str) -> None:
    bench.import_stores(EXPIRED)
    with bench.client(EXPIRED) as client:
        used = client.tokens.access_token()
        with psycopg.connect(bench.db_url) as other:  # sees only what is committed
            assert _stored(replace(bench, conn=other), EXPIRED) == (
                used,
                _newest(bench, EXPIRED)[1],
            )
        profile, _ = client.user_info(["open_id", "display_name"])
    assert profile.display_name == bench.truth(EXPIRED)["user"]["display_name"]
    line = bench.row("SELECT * FROM store_tokens WHERE store_code = %s", EXPIRED)
    life = (line["access_expires_at"] - line["refreshed_at"]).total_seconds()
    assert life == pytest.approx(LIVES[regime][0] * 3600, abs=30)
    assert line["open_id"] == profile.open_id
    assert bench.stats()["dead_token_uses"] == 0


def test_a_dead_grant_is_marked_and_never_asked_again(bench: Bench) -> None:
    bench.import_stores(EXPIRED, "S008")
    bench.grant(EXPIRED, revoke=True)
    with bench.client(EXPIRED) as client, pytest.raises(NeedsConsentError) as caught:
        client.tokens.access_token()
    assert caught.value.log_id
    assert _status(bench, EXPIRED) == ("needs_consent", caught.value.message)
    assert _status(bench, "S008")[0] == "active"
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
    assert _status(bench, EXPIRED) == ("active", None)
    with bench.client(EXPIRED) as client:
        assert client.user_info(["open_id"])[0].open_id


def test_nothing_listening_marks_nothing(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    before = _stored(bench, EXPIRED)
    nowhere = TikTokApp("http://127.0.0.1:1", "key", "secret")
    with bench.client(EXPIRED, app=nowhere) as client, pytest.raises(TikTokUnavailableError):
        client.tokens.access_token()
    assert _status(bench, EXPIRED) == ("active", None)
    assert _stored(bench, EXPIRED) == before
    with bench.client(EXPIRED) as client:
        client.tokens.access_token()
    assert bench.stats()["refreshes"] == {EXPIRED: 1}


def test_trouble_at_tiktok_is_tried_once_more_and_marks_nothing(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    bench.sandbox.sandbox.faults = Broken("oauth_token", times=2)
    with bench.client(EXPIRED) as client, pytest.raises(TikTokUnavailableError):
        client.tokens.access_token()
    assert bench.calls() == {"oauth_token": 2}
    assert _status(bench, EXPIRED) == ("active", None)
    bench.sandbox.sandbox.faults = Broken("oauth_token", times=1)
    with bench.client(EXPIRED) as client:
        assert client.tokens.access_token() == _newest(bench, EXPIRED)[0]


def test_a_lost_answer_to_a_refresh_is_proved_by_trying_the_same_token(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    bench.sandbox.sandbox.faults = Broken("oauth_token", times=1, lost_answer=True)
    with bench.client(EXPIRED) as client, pytest.raises(NeedsConsentError):
        client.tokens.access_token()
    assert bench.stats()["refreshes"] == {EXPIRED: 1}  # TikTok rotated, nobody heard
    status, reason = _status(bench, EXPIRED)
    assert status == "needs_consent"
    assert (reason or "").startswith("The answer to a token refresh of 20")


def test_a_refresh_that_was_cut_off_is_named_when_the_grant_turns_out_dead(bench: Bench) -> None:
    bench.import_stores(EXPIRED, "S008")
    # As a process leaves it that is killed between TikTok's answer and the commit.
    bench.sandbox.refresh(_newest(bench, EXPIRED)[1]).raise_for_status()
    bench.conn.execute(
        "UPDATE store_tokens SET refresh_started_at = '2026-03-01T02:03:04Z' WHERE store_code = %s",
        [EXPIRED],
    )
    with (
        bench.client(EXPIRED) as client,
        pytest.raises(NeedsConsentError, match="refresh of 2026-03-01 02:03 UTC was lost"),
    ):
        client.tokens.access_token()
    assert "was lost" in (_status(bench, EXPIRED)[1] or "")
    bench.grant("S008", revoke=True)
    with bench.client("S008") as client, pytest.raises(NeedsConsentError, match="has ended at"):
        client.tokens.access_token()


def test_a_refresh_without_an_answer_leaves_its_mark_until_one_succeeds(bench: Bench) -> None:
    bench.import_stores(EXPIRED)

    def begun() -> bool:
        return bench.row("SELECT refresh_started_at IS NOT NULL AS x FROM store_tokens") == {
            "x": True
        }

    bench.sandbox.sandbox.faults = Refuse("oauth_token", 400, "x")
    wrong = TikTokApp(bench.sandbox.url, bench.sandbox.client_key, "not-the-secret")
    with bench.client(EXPIRED, app=wrong) as client, pytest.raises(FatalError):
        client.tokens.access_token()
    assert not begun()  # TikTok answered: nothing was rotated
    bench.sandbox.sandbox.faults = Broken("oauth_token", times=2)
    with bench.client(EXPIRED) as client:
        with pytest.raises(TikTokUnavailableError):
            client.tokens.access_token()
        assert begun()
        client.tokens.access_token()
        assert not begun()


def test_a_token_rejected_in_mid_life_costs_one_refresh_and_one_repetition(bench: Bench) -> None:
    bench.import_stores(FRESH)
    bench.grant(FRESH, expire_access=True)  # the database believes that it is valid
    with bench.client(FRESH) as client:
        client.user_info(["open_id"])
        client.user_info(["open_id"])
        assert (client.counts.calls, client.tokens.refreshes) == (3, 1)
    assert bench.calls() == {"user_info": 3, "oauth_token": 1}
    assert bench.stats()["dead_token_uses"] == 1
    assert _stored(bench, FRESH) == _newest(bench, FRESH)


def test_a_token_rejected_even_when_new_is_not_refreshed_for_ever(bench: Bench) -> None:
    bench.import_stores(FRESH)
    bench.sandbox.sandbox.faults = Refuse("user_info", 401, "access_token_invalid")
    with bench.client(FRESH) as client, pytest.raises(FatalError) as caught:
        client.user_info(["open_id"])
    assert caught.value.log_id == "LOG7"
    assert bench.calls() == {"user_info": 2, "oauth_token": 1}
    assert _status(bench, FRESH)[0] == "active"


def test_a_wrong_client_secret_is_the_operators_fault_not_the_stores(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    wrong = TikTokApp(bench.sandbox.url, bench.sandbox.client_key, "not-the-secret")
    with pytest.raises(ConfigurationError, match="TIKTOK_CLIENT_SECRET") as caught:
        wrong.check()
    bench.app.check()
    assert "not-the-secret" not in f"{caught.value!r} {caught.value.detail}"
    with bench.client(EXPIRED, app=wrong) as client, pytest.raises(ConfigurationError):
        client.tokens.access_token()
    assert _status(bench, EXPIRED) == ("active", None)
    assert bench.stats()["refreshes"] == {}


def test_a_refresh_brings_the_scope_up_to_date(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    bench.grant(EXPIRED, scope="user.info.basic")
    with bench.client(EXPIRED) as client:
        client.tokens.access_token()
        assert client.tokens.scopes == {"user.info.basic"}
    assert _status(bench, EXPIRED)[0] == "missing_scope"
    bench.grant(EXPIRED, scope="user.info.basic,user.info.profile,user.info.stats,video.list")
    with bench.client(EXPIRED) as client:
        client.tokens.replace_rejected(_newest(bench, EXPIRED)[0])
    assert _status(bench, EXPIRED)[0] == "active"


def test_tokens_are_ciphertext_in_every_table(bench: Bench) -> None:
    bench.import_stores()
    with bench.client(EXPIRED) as client:
        client.user_info(["open_id"])
    dump = bench.dump()
    assert dump["store_tokens"].count("gAAAAA") == 2 * 20  # Fernet's first bytes: it looked
    text = "\n".join(dump.values())
    assert "act." not in text
    assert "rft." not in text
    secrets = bench.sandbox.admin("GET", "/secrets")
    assert len(secrets["access_tokens"]) == 21
    assert [value for kind in secrets.values() for value in kind if value in text] == []


def test_swapped_rows_are_refused(bench: Bench) -> None:
    bench.import_stores(FRESH, "S002")
    bench.conn.execute(
        "UPDATE store_tokens SET access_token = other.access_token FROM store_tokens other"
        " WHERE store_tokens.store_code = 'S001' AND other.store_code = 'S002'"
    )
    with bench.client(FRESH) as client, pytest.raises(ConfigurationError, match="S002"):
        client.user_info(["open_id"])
    assert bench.calls() == {}


def test_keys_rotate(bench: Bench) -> None:
    bench.import_stores(FRESH, EXPIRED)
    old, new = bench.settings.token_keys[0], Fernet.generate_key().decode()
    both = bench.with_settings(token_keys=(new, old))
    with both.client(FRESH) as client:
        assert client.user_info(["open_id"])[0].open_id
    with both.client(EXPIRED) as client:  # refreshed, hence written with the new key
        client.tokens.access_token()
    assert _stored(bench.with_settings(token_keys=(new,)), EXPIRED) == _newest(bench, EXPIRED)
    lost = bench.with_settings(token_keys=(new,))
    with lost.client(FRESH) as client, pytest.raises(ConfigurationError, match="TIKTOK_TOKEN_KEYS"):
        client.tokens.access_token()
    with pytest.raises(ConfigurationError):
        TokenVault((old,)).decrypt(
            bench.row("SELECT access_token FROM store_tokens WHERE store_code = %s", EXPIRED)[
                "access_token"
            ],
            store_code=EXPIRED,
            kind="access",
        )


def test_a_lock_that_is_not_to_be_had_is_the_databases_trouble(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "LOCK_TIMEOUT", timedelta(milliseconds=100))
    bench.import_stores(EXPIRED)
    with psycopg.connect(bench.db_url) as holder, bench.client(EXPIRED) as client:
        holder.execute("SELECT FROM store_tokens WHERE store_code = %s FOR UPDATE", [EXPIRED])
        with pytest.raises(DatabaseUnavailableError, match="held the store's token"):  # noqa: SIM117 - what is under test stands inside
            with database_errors():
                client.tokens.access_token()
        assert bench.calls() == {}
        holder.rollback()
        assert client.tokens.access_token() == _newest(bench, EXPIRED)[0]
    assert bench.row("SHOW lock_timeout") == {"lock_timeout": "0"}  # local to the transaction


def test_a_store_without_tokens_is_told_apart(bench: Bench) -> None:
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('X', 'x')")
    with (
        bench.client("X") as client,
        pytest.raises(NeedsConsentError, match=r"Store X was never connected\. Send its manager"),
    ):
        client.tokens.access_token()


def test_a_refresh_without_a_new_refresh_token_keeps_the_old_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.import_stores(EXPIRED)
    before = _stored(bench, EXPIRED)
    grant = oauth.TokenGrant("act.new", 60, None, None, None, None)
    monkeypatch.setattr(oauth.OAuthClient, "refresh", lambda *_: grant)
    with bench.client(EXPIRED) as client:
        assert client.tokens.access_token() == "act.new"
    assert _stored(bench, EXPIRED) == ("act.new", before[1])
    assert _status(bench, EXPIRED) == ("active", None)
