"""Is a refresh a claim and no open transaction, and is nothing lost that happens meanwhile?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.errors import (
    FatalError,
    NeedsConsentError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.tiktok.oauth import OAuthClient
from include.tiktok_sync.tokens.key_rotation import rotate_keys
from include.tiktok_sync.tokens.store import TokenStore
from tests.database.bench import Bench
from tests.database.faults import Broken, Meanwhile, Refuse
from tests.database.rows.token_pairs import EXPIRED, grant_of, newest_pair, stored_pair

CLAIM = (
    "SELECT refresh_claim IS NOT NULL AS claimed, refresh_claimed_until > now() AS lasts,"
    " refresh_started_at IS NOT NULL AS begun FROM store_tokens"
)
FREE = {"claimed": False, "lasts": None, "begun": False}

pytestmark = pytest.mark.usefixtures("no_waits")


@pytest.fixture
def expired(bench: Bench) -> Bench:
    bench.import_stores(EXPIRED)
    return bench


def token(bench: Bench) -> str:
    """The store's token, by a process of its own."""
    with bench.client(EXPIRED, own_connection=True) as client:
        return client.tokens.access_token()


def meanwhile(bench: Bench, act: Callable[[], object], *, before: bool = False) -> None:
    bench.sandbox.faults.plan = Meanwhile("oauth_token", act, before=before)


def mark(bench: Bench, reason: str) -> None:
    TokenStore(bench.conn).mark(EXPIRED, "needs_consent", reason)


def test_while_tiktok_is_asked_the_row_is_claimed_and_no_transaction_is_open(
    expired: Bench,
) -> None:
    seen = []

    def look() -> None:
        seen.append(expired.row(CLAIM))
        seen.extend(
            expired.rows(
                "SELECT state FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
            )
        )

    meanwhile(expired, look)
    assert token(expired) == newest_pair(expired, EXPIRED)[0]
    assert seen == [{"claimed": True, "lasts": True, "begun": True}]
    assert expired.row(CLAIM) == FREE


def test_who_finds_a_claim_waits_for_its_answer_and_uses_it(expired: Bench) -> None:
    found: list[str] = []
    waiter = threading.Thread(target=lambda: found.append(token(expired)))
    meanwhile(expired, waiter.start)
    first = token(expired)
    waiter.join(60)
    assert found == [first]
    assert expired.stats()["refresh_calls"] == 1


def test_the_claim_of_a_process_that_died_runs_out(expired: Bench) -> None:
    store = TokenStore(expired.conn)
    assert store.claim(store.read(EXPIRED), uuid4(), timedelta(seconds=1)) is not None
    assert store.claim(store.read(EXPIRED), uuid4(), timedelta(seconds=1)) is None
    assert token(expired) == newest_pair(expired, EXPIRED)[0]
    assert expired.row(CLAIM) == FREE


def test_a_process_killed_while_it_asks_leaves_claim_and_announcement(
    expired: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = OAuthClient.refresh

    def killed(self: OAuthClient, refresh_token: str) -> None:
        refresh(self, refresh_token)
        raise KeyboardInterrupt

    monkeypatch.setattr(OAuthClient, "refresh", killed)
    with pytest.raises(KeyboardInterrupt):
        token(expired)
    monkeypatch.undo()
    assert expired.row(CLAIM) == {"claimed": True, "lasts": True, "begun": True}
    expired.conn.execute("UPDATE store_tokens SET refresh_claimed_until = now()")
    with pytest.raises(NeedsConsentError, match=r"answer to a token refresh of 20.* was lost"):
        token(expired)


@pytest.mark.parametrize("revoked", [False, True])
def test_a_consent_that_comes_meanwhile_is_not_overwritten(
    expired: Bench, *, revoked: bool
) -> None:
    expired.grant(EXPIRED, revoke=revoked)

    def consent() -> None:
        code = expired.sandbox.admin("POST", f"/stores/{EXPIRED}/code", json={})["code"]
        expired.sandbox.oauth("authorization_code", code=code, redirect_uri="x").raise_for_status()
        expired.import_stores(EXPIRED)

    meanwhile(expired, consent)
    assert token(expired) == newest_pair(expired, EXPIRED)[0]
    assert stored_pair(expired, EXPIRED) == newest_pair(expired, EXPIRED)
    assert grant_of(expired, EXPIRED) == ("active", None)
    assert expired.row(CLAIM) == FREE
    assert expired.rows("SELECT FROM store_audit WHERE action = 'grant_ended'") == []


@pytest.mark.parametrize("revoked", [False, True])
def test_a_mark_that_comes_meanwhile_stands_and_the_new_pair_is_kept(
    expired: Bench, *, revoked: bool
) -> None:
    expired.grant(EXPIRED, revoke=revoked)
    meanwhile(expired, lambda: mark(expired, "The manager withdrew."))
    with pytest.raises(NeedsConsentError, match=r"The manager withdrew\."):
        token(expired)
    assert grant_of(expired, EXPIRED) == ("needs_consent", "The manager withdrew.")
    if not revoked:
        assert stored_pair(expired, EXPIRED) == newest_pair(expired, EXPIRED)
    assert expired.row(CLAIM) == FREE
    assert expired.rows("SELECT FROM store_audit WHERE action <> 'import'") == []


def test_a_store_that_leaves_meanwhile_stays_away(expired: Bench) -> None:
    meanwhile(expired, lambda: Lifecycle(expired.conn, "anna").remove(EXPIRED))
    token(expired)
    assert Lifecycle(expired.conn, "anna").state(EXPIRED) == "removed"


def test_a_store_erased_meanwhile_is_gone(expired: Bench) -> None:
    meanwhile(expired, lambda: expired.conn.execute("DELETE FROM stores"))
    with pytest.raises(NeedsConsentError, match="was never connected"):
        token(expired)


def test_an_answer_later_than_its_claim_still_brings_its_pair(expired: Bench) -> None:
    """As when an answer trickles in: another process asked meanwhile, and was refused."""

    def overtake() -> None:
        expired.conn.execute("UPDATE store_tokens SET refresh_claimed_until = now()")
        with pytest.raises(NeedsConsentError, match="was lost"):
            token(expired)

    meanwhile(expired, overtake)
    with pytest.raises(NeedsConsentError, match="was lost"):
        token(expired)
    assert stored_pair(expired, EXPIRED) == newest_pair(expired, EXPIRED)  # tokens recheck finds it
    assert expired.row(CLAIM) == FREE


def test_a_refusal_later_than_its_claim_does_not_count_against_the_new_pair(
    expired: Bench,
) -> None:
    """Another process took over and got the pair; what was sent is no longer what is stored."""

    def overtake() -> None:
        expired.conn.execute("UPDATE store_tokens SET refresh_claimed_until = now()")
        token(expired)

    meanwhile(expired, overtake, before=True)
    assert token(expired) == newest_pair(expired, EXPIRED)[0]
    assert grant_of(expired, EXPIRED) == ("active", None)
    assert expired.row(CLAIM) == FREE


@pytest.mark.parametrize("unavailable", [True, False])
def test_a_failed_refresh_lets_the_next_one_try_at_once(
    expired: Bench, *, unavailable: bool
) -> None:
    expired.sandbox.faults.plan = (
        Broken("oauth_token", times=2) if unavailable else Refuse("oauth_token", 400, "x")
    )
    expected: type[SyncError] = TikTokUnavailableError if unavailable else FatalError
    with pytest.raises(expected):
        token(expired)
    assert expired.row(CLAIM) == {"claimed": False, "lasts": None, "begun": unavailable}


def test_an_answer_that_proves_nothing_leaves_the_lost_one_before_it_known(expired: Bench) -> None:
    expired.conn.execute("UPDATE store_tokens SET refresh_started_at = '2026-03-01T02:03:04Z'")
    expired.sandbox.faults.plan = Refuse("oauth_token", 400, "x")
    with pytest.raises(FatalError):
        token(expired)
    expired.grant(EXPIRED, revoke=True)
    expired.sandbox.faults.plan = Broken("oauth_token", times=0)
    with pytest.raises(NeedsConsentError, match="refresh of 2026-03-01 02:03 UTC was lost"):
        token(expired)


def test_a_rotation_of_keys_during_a_refresh_costs_no_pair(expired: Bench) -> None:
    both = expired.with_settings(
        token_keys=(Fernet.generate_key().decode(), *expired.settings.token_keys)
    )
    with psycopg.connect(expired.db_url, autocommit=True) as conn:
        rotating = replace(both, conn=conn)
        done: list[bool] = []

        def rotate() -> None:
            done.append(rotate_keys(rotating.conn, rotating.vault, patience_s=0.3).complete)

        meanwhile(expired, rotate)
        assert token(expired) == newest_pair(expired, EXPIRED)[0]
        assert done == [False]
        assert rotate_keys(rotating.conn, rotating.vault).complete
        assert stored_pair(rotating, EXPIRED) == newest_pair(expired, EXPIRED)
