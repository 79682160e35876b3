"""Is a store's token refreshed in time, exactly once, and kept secret?"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.errors import ConfigurationError, FatalError, RetriableError
from include.tiktok_sync.jobs import VIDEO_JOB
from include.tiktok_sync.tiktok import oauth
from include.tiktok_sync.tiktok.http import Timeouts
from include.tiktok_sync.tiktok.models import KNOWN_SCOPES
from include.tiktok_sync.tokens import store as token_store
from include.tiktok_sync.tokens.scopes import split_scope
from include.tiktok_sync.tokens.source import EXPIRY_MARGIN
from include.tiktok_sync.tokens.vault import TokenVault
from tests.database.bench import Bench, together
from tests.database.faults import Edit, Refuse
from tests.database.rows.token_pairs import (
    EXPIRED,
    FRESH,
    TOKEN_LIVES,
    grant_of,
    newest_pair,
    stored_pair,
)

pytestmark = pytest.mark.usefixtures("no_waits", "regime")


def test_a_valid_token_is_used_as_it_is(bench: Bench) -> None:
    bench.import_stores(FRESH)
    with bench.client(FRESH) as client:
        assert client.tokens.access_token() == newest_pair(bench, FRESH)[0]
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
    hours, days = TOKEN_LIVES[regime]
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

    bench.sandbox.faults.plan = Edit("video_list", expire)
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
    assert {item[0] for item in found} == {newest_pair(bench, EXPIRED)[0]}
    assert sorted(item[1] for item in found) == [0] * 7 + [1]
    stats = bench.stats()
    assert (stats["refreshes"], stats["refresh_calls"]) == ({EXPIRED: 1}, 1)
    assert stats["dead_token_uses"] == 0
    assert stored_pair(bench, EXPIRED) == newest_pair(bench, EXPIRED)


def test_many_with_a_rejected_token_refresh_exactly_once(bench: Bench) -> None:
    bench.import_stores(FRESH)
    rejected = newest_pair(bench, FRESH)[0]

    def token(_: int) -> str:
        with bench.client(FRESH, own_connection=True) as client:
            return client.tokens.replace_rejected(rejected)

    assert set(together(6, token)) == {newest_pair(bench, FRESH)[0]} != {rejected}
    assert bench.stats()["refresh_calls"] == 1


def test_the_new_pair_is_committed_before_it_is_used(bench: Bench, regime: str) -> None:
    bench.import_stores(EXPIRED)
    with bench.client(EXPIRED) as client:
        used = client.tokens.access_token()
        with psycopg.connect(bench.db_url) as other:  # sees only what is committed
            assert stored_pair(replace(bench, conn=other), EXPIRED) == (
                used,
                newest_pair(bench, EXPIRED)[1],
            )
        profile, _ = client.user_info(["open_id", "display_name"])
    assert profile.display_name == bench.truth(EXPIRED)["user"]["display_name"]
    line = bench.row("SELECT * FROM store_tokens WHERE store_code = %s", EXPIRED)
    life = (line["access_expires_at"] - line["refreshed_at"]).total_seconds()
    assert life == pytest.approx(TOKEN_LIVES[regime][0] * 3600, abs=30)
    assert line["open_id"] == profile.open_id
    assert bench.stats()["dead_token_uses"] == 0


def test_a_token_rejected_in_mid_life_costs_one_refresh_and_one_repetition(bench: Bench) -> None:
    bench.import_stores(FRESH)
    bench.grant(FRESH, expire_access=True)  # the database believes that it is valid
    with bench.client(FRESH) as client:
        client.user_info(["open_id"])
        client.user_info(["open_id"])
        assert (client.counts.calls, client.tokens.refreshes) == (3, 1)
    assert bench.calls() == {"user_info": 3, "oauth_token": 1}
    assert bench.stats()["dead_token_uses"] == 1
    assert stored_pair(bench, FRESH) == newest_pair(bench, FRESH)


def test_a_token_rejected_even_when_new_is_not_refreshed_forever(bench: Bench) -> None:
    bench.import_stores(FRESH)
    bench.sandbox.faults.plan = Refuse("user_info", 401, "access_token_invalid")
    with bench.client(FRESH) as client, pytest.raises(FatalError) as caught:
        client.user_info(["open_id"])
    assert caught.value.log_id == "LOG7"
    assert bench.calls() == {"user_info": 2, "oauth_token": 1}
    assert grant_of(bench, FRESH)[0] == "active"


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
    lost = bench.with_settings(token_keys=(new,))
    assert stored_pair(lost, EXPIRED) == newest_pair(bench, EXPIRED)
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


def test_a_row_that_is_held_for_too_long_is_trouble_that_passes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "include.tiktok_sync.tokens.source.CLAIM_MARGIN", timedelta(milliseconds=50)
    )
    app = replace(bench.app, timeouts=Timeouts(connect_s=0.1, read_s=0.1))
    monkeypatch.setattr(oauth, "PAUSE_S", 0.1)
    bench.import_stores(EXPIRED)
    with psycopg.connect(bench.db_url) as holder, bench.client(EXPIRED, app=app) as client:
        holder.execute("SELECT FROM store_tokens WHERE store_code = %s FOR UPDATE", [EXPIRED])
        with pytest.raises(RetriableError, match="held the store's token"):
            client.tokens.access_token()
        assert bench.calls() == {}
        holder.rollback()
    with bench.client(EXPIRED) as client:
        assert client.tokens.access_token() == newest_pair(bench, EXPIRED)[0]


def test_claims_and_those_who_wait_for_them_outlast_the_longest_refresh() -> None:
    default = Timeouts()
    assert oauth.longest_refresh(default) >= timedelta(
        seconds=oauth.ATTEMPTS * (default.connect_s + 2 * default.read_s)
    )
    assert oauth.longest_refresh(default) + token_store.CLAIM_MARGIN < token_store.LOCK_TIMEOUT
    assert timedelta(seconds=5) <= token_store.CLAIM_MARGIN


# In a token answer that is good otherwise: the pair in it is all there is.
ODD: dict[str, dict[str, object]] = {
    "lives of millions of years": {"expires_in": 10**15, "refresh_expires_in": 2**63 - 1},
    "times for lives": {"expires_in": 1_795_900_000_000, "refresh_expires_in": 1_795_900_000_000},
    "lives below zero": {"expires_in": -(10**15), "refresh_expires_in": -1},
    "lives of nothing": {"expires_in": 0, "refresh_expires_in": 0},
    "lives that are no number": {"expires_in": [1], "refresh_expires_in": None},
    "a number for a scope": {"scope": 7},
    "a NUL in the scope": {"scope": ",".join(sorted(KNOWN_SCOPES)) + "\x00"},
    "a list of scopes": {"scope": sorted(KNOWN_SCOPES)},
    "a list of accounts": {"open_id": ["x"]},
    "a number for an account": {"open_id": 12345},
    "a NUL for an account": {"open_id": "\x00"},
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_next_to_a_new_pair_does_not_cost_the_pair(bench: Bench, odd: str) -> None:
    bench.import_stores(EXPIRED)
    before = bench.row("SELECT * FROM store_tokens")
    bench.sandbox.faults.plan = Edit("oauth_token", lambda body: body.update(ODD[odd]))
    with bench.client(EXPIRED) as client:
        assert client.tokens.access_token() == newest_pair(bench, EXPIRED)[0]
    assert stored_pair(bench, EXPIRED) == newest_pair(bench, EXPIRED)
    assert grant_of(bench, EXPIRED) == ("active", None)
    after = bench.row("SELECT * FROM store_tokens")
    assert after["open_id"] == before["open_id"]
    assert split_scope(after["scope"]) == split_scope(before["scope"])
    assert after["refresh_expires_at"] == pytest.approx(
        before["refresh_expires_at"], abs=timedelta(seconds=30)
    )
    assert after["refresh_started_at"] is None


def test_a_refresh_without_a_new_refresh_token_keeps_the_old_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.import_stores(EXPIRED)
    before = stored_pair(bench, EXPIRED)
    grant = oauth.TokenGrant("act.new", 60, None, None, None, None)
    monkeypatch.setattr(oauth.OAuthClient, "refresh", lambda *_: grant)
    with bench.client(EXPIRED) as client:
        assert client.tokens.access_token() == "act.new"
    assert stored_pair(bench, EXPIRED) == ("act.new", before[1])
    assert grant_of(bench, EXPIRED) == ("active", None)
