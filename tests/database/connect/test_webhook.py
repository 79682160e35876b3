"""Does a notice of TikTok do what it should, once, and keep no account without a store?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import psycopg
import pytest
import requests

from include.connect.settings import WEBHOOK_PATH
from include.sandbox.admin.webhook import signature
from include.tiktok_sync.stores import leaving
from include.tiktok_sync.stores.export import export_to_folder
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.tiktok.oauth import OAuthClient
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore
from tests.connect_server import Browser, ConnectServer, running_connect
from tests.database.bench import Bench

GIVEN_BACK = 5
"""TikTok's number for an access that the app itself gave back."""


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    with running_connect(bench) as server:
        yield server


def webhook(app: ConnectServer, code: str = "S001", **body: Any) -> int:
    """An event about a store's account, signed and sent by the sandbox; the app's status."""
    path = f"/stores/{code}/webhook"
    answer = app.bench.sandbox.admin("POST", path, json={"url": app.url + WEBHOOK_PATH, **body})
    return int(answer["status"])


def effects(app: ConnectServer) -> list[tuple[str, int]]:
    found = app.bench.rows("SELECT effect, deliveries FROM webhook_events ORDER BY received_at")
    return [(event["effect"], event["deliveries"]) for event in found]


def test_a_removed_authorization_marks_the_store_once(app: ConnectServer) -> None:
    bench = app.bench
    bench.import_stores("S001", "S002")
    now = int(time.time()) + 1  # the event has whole seconds
    assert webhook(app, reason=1, create_time=now) == 200
    stored = bench.row("SELECT * FROM store_tokens WHERE store_code = 'S001'")
    assert stored["status"] == "needs_consent"
    assert "disconnected the app" in stored["status_reason"]
    assert bench.row("SELECT status FROM store_tokens WHERE store_code = 'S002'") == {
        "status": "active"
    }

    bench.conn.execute("UPDATE store_tokens SET status = 'active' WHERE store_code = 'S001'")
    assert webhook(app, reason=1, create_time=now) == 200
    assert effects(app) == [("needs_consent", 2)]
    assert bench.row("SELECT status FROM store_tokens WHERE store_code = 'S001'") == {
        "status": "active"
    }


def test_an_event_from_before_the_present_grant_ends_nothing(app: ConnectServer) -> None:
    app.bench.import_stores("S001")
    assert webhook(app, create_time=int(time.time()) - 3_600) == 200
    assert effects(app) == [("older_than_grant", 1)]
    assert app.bench.row("SELECT status FROM store_tokens")["status"] == "active"


def test_other_events_and_other_accounts_are_noted_and_do_nothing(app: ConnectServer) -> None:
    app.bench.import_stores("S002")
    assert webhook(app) == 200
    assert webhook(app, event="video.publish.completed") == 200
    assert effects(app) == [("unknown_account", 1), ("ignored", 1)]


def test_an_unsigned_forged_or_old_webhook_is_refused(app: ConnectServer) -> None:
    app.bench.import_stores("S001")
    event = {
        "client_key": app.settings.client_key,
        "event": "authorization.removed",
        "create_time": int(time.time()) + 5,
        "user_openid": app.bench.row("SELECT open_id FROM store_tokens")["open_id"],
        "content": '{"reason": 1}',
    }
    body, now = json.dumps(event).encode(), int(time.time())
    secret = app.settings.client_secret
    other_app = json.dumps({**event, "client_key": "other"}).encode()
    tries = [
        ({}, body, 401),
        ({"TikTok-Signature": ""}, body, 401),
        ({"TikTok-Signature": f"t={now},s="}, body, 401),
        ({"TikTok-Signature": signature("another secret", body, now)}, body, 401),
        ({"TikTok-Signature": signature(secret, body, now)}, body + b" ", 401),
        ({"TikTok-Signature": signature(secret, body, now).replace("t=", "t=1")}, body, 401),
        ({"TikTok-Signature": signature(secret, body, now - 80 * 3_600)}, body, 401),
        ({"TikTok-Signature": signature(secret, body, now + 3_600)}, body, 401),
        ({"TikTok-Signature": signature(secret, b"[]", now)}, b"[]", 400),
        ({"TikTok-Signature": signature(secret, other_app, now)}, other_app, 400),
    ]
    for headers, sent, status in tries:
        url = app.url + WEBHOOK_PATH
        answer = requests.post(url, data=sent, headers=headers, timeout=30)
        assert answer.status_code == status, (headers, answer.text)
    assert effects(app) == []
    assert app.bench.row("SELECT status FROM store_tokens")["status"] == "active"


def soon() -> int:
    """A second that lies after everything so far: events have whole seconds."""
    return int(time.time()) + 2


def grants(app: ConnectServer) -> list[dict[str, Any]]:
    return app.bench.rows("SELECT * FROM store_tokens ORDER BY store_code")


def audit(app: ConnectServer) -> list[dict[str, Any]]:
    return app.bench.rows("SELECT * FROM store_audit ORDER BY id")


def disconnect(app: ConnectServer, code: str, oauth: OAuthClient | None = None) -> str:
    """As `stores disconnect` does it."""
    bench = app.bench
    with bench.app.transport() as http:
        oauth = oauth or bench.app.oauth(http)
        source = TokenSource(code, store=TokenStore(bench.conn), vault=bench.vault, oauth=oauth)
        return leaving.disconnect(code, Lifecycle(bench.conn, "anna"), source=source, oauth=oauth)


@pytest.mark.parametrize("reason", [0, 1, 2, GIVEN_BACK])
def test_a_notice_after_our_own_disconnect_changes_nothing(app: ConnectServer, reason: int) -> None:
    app.bench.import_stores("S001")
    disconnect(app, "S001")
    before = grants(app), audit(app)
    assert before[0][0]["status_reason"].startswith("Disconnected on")
    assert webhook(app, reason=reason, create_time=soon()) == 200
    assert (grants(app), audit(app)) == before
    assert effects(app) == [("already_ended", 1)]


def test_a_notice_that_comes_while_we_give_the_access_back_changes_nothing(
    app: ConnectServer,
) -> None:
    """TikTok may be quicker with its notice than we are with writing down what it answered."""

    class Quick(OAuthClient):
        def revoke(self, access_token: str) -> None:
            super().revoke(access_token)
            assert webhook(app, reason=GIVEN_BACK, create_time=soon()) == 200

    app.bench.import_stores("S001")
    with app.bench.app.transport() as http:
        own = vars(app.bench.app.oauth(http))
        quick = Quick.__new__(Quick)
        vars(quick).update(own)
        assert disconnect(app, "S001", quick) == "removed and its grant revoked at TikTok"
    assert [row["action"] for row in audit(app)][-2:] == ["disconnect", "revoke"]
    assert grants(app)[0]["status_reason"].startswith("Disconnected on")
    assert effects(app) == [("already_ended", 1)]


def test_a_second_notice_with_other_words_changes_nothing(app: ConnectServer) -> None:
    app.bench.import_stores("S001")
    assert webhook(app, reason=1, create_time=soon()) == 200
    before = grants(app), audit(app)
    assert before[1][-1]["action"] == "grant_ended"
    assert webhook(app, reason=2, create_time=soon() + 5) == 200
    assert (grants(app), audit(app)) == before
    assert effects(app) == [("needs_consent", 1), ("already_ended", 1)]


def test_a_grant_found_dead_by_a_sync_keeps_its_reason(app: ConnectServer) -> None:
    app.bench.import_stores("S001")
    app.bench.conn.execute(
        "UPDATE store_tokens SET status = 'needs_consent', status_reason = 'found by a refresh',"
        " status_since = '2026-01-01'"
    )
    before = grants(app), audit(app)
    assert webhook(app, create_time=soon()) == 200
    assert (grants(app), audit(app)) == before


def test_a_paused_stores_grant_ends_and_the_store_stays_paused(app: ConnectServer) -> None:
    app.bench.import_stores("S001")
    lifecycle = Lifecycle(app.bench.conn, "anna")
    lifecycle.pause("S001", "renovation")
    assert webhook(app, reason=1, create_time=soon()) == 200
    assert lifecycle.state("S001") == "paused"
    assert lifecycle.resume("S001") == "needs_consent"


def test_a_late_notice_does_not_end_the_consent_given_after_it(app: ConnectServer) -> None:
    """The manager took the access away, and gave it again before TikTok's notice came."""
    app.bench.import_stores("S001")
    browser = Browser(app)
    back = browser.consent(browser.leave(app.link("S001")), account="S001")
    assert (
        "Done. Thank you!" in browser.get(browser.get("/callback", **back).headers["Location"]).text
    )
    before = grants(app), audit(app)
    given = int(before[0][0]["connected_at"].timestamp())
    for happened in (given - 3_600, given):  # the second of the consent itself proves nothing
        event(app, "S001", create_time=happened)
    assert (grants(app), audit(app)) == before
    assert effects(app) == [("older_than_grant", 1)] * 2


def test_an_event_dated_in_the_future_happened_when_it_was_signed(app: ConnectServer) -> None:
    bench = app.bench
    bench.import_stores("S001")
    bench.conn.execute("UPDATE store_tokens SET connected_at = now() - interval '1 hour'")
    now = int(time.time())
    tomorrow = {"create_time": now + 86_400}
    assert event(app, "S001", signed_at=now - 60, **tomorrow) == "needs_consent"
    happened = bench.row("SELECT happened_at FROM webhook_events")["happened_at"]
    assert int(happened.timestamp()) == now - 60
    reason = grants(app)[0]["status_reason"]
    assert f"on {datetime.fromtimestamp(now - 60, timezone.utc):%Y-%m-%d %H:%M} UTC" in reason
    # The store is connected again: neither its repetition nor another from before ends that.
    bench.conn.execute(
        "UPDATE store_tokens SET status = 'active', status_reason = NULL, connected_at = now()"
    )
    assert event(app, "S001", **tomorrow) == "repeated"
    other = {"create_time": now + 86_401}
    assert event(app, "S001", signed_at=now - 30, **other) == "older_than_grant"
    assert grants(app)[0]["status"] == "active"


def event(app: ConnectServer, code: str, *, signed_at: int | None = None, **changes: Any) -> str:
    """An event about a store's account that leaves the sandbox's grant alone; its effect."""
    body = json.dumps(
        {
            "client_key": app.settings.client_key,
            "event": "authorization.removed",
            "create_time": soon(),
            "user_openid": app.bench.sandbox.sandbox.world.store_of(code).open_id,
            "content": '{"reason": 1}',
            **changes,
        }
    ).encode()
    header = signature(app.settings.client_secret, body, signed_at or int(time.time()))
    answer = requests.post(
        app.url + WEBHOOK_PATH, data=body, headers={"TikTok-Signature": header}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["effect"])


OTHER = "video.publish.completed"


def test_an_event_about_a_store_is_exported_and_erased_with_it(
    app: ConnectServer, tmp_path: Any
) -> None:
    bench = app.bench
    bench.import_stores("S001", "S002")
    account = grants(app)[0]["open_id"]
    for code in ("S001", "S002"):
        assert event(app, code, event=OTHER) == "ignored"
    export_to_folder(bench.conn, "S001", tmp_path / "out", "csv")
    assert account in (tmp_path / "out" / "webhook_events.csv").read_text()

    disconnect(app, "S001")
    assert leaving.erase("S001", Lifecycle(bench.conn, "anna"))["webhook_events"] == 1
    assert [row["store_code"] for row in bench.rows("SELECT * FROM webhook_events")] == ["S002"]
    assert account not in "".join(bench.dump().values())


@pytest.mark.parametrize("name", [OTHER, "authorization.removed"])
def test_an_event_that_comes_after_the_erasure_leaves_no_row(app: ConnectServer, name: str) -> None:
    bench = app.bench
    bench.import_stores("S001")
    account = grants(app)[0]["open_id"]
    first: dict[str, Any] = {"event": name, "create_time": int(time.time()) - 60}
    event(app, "S001", **first)
    disconnect(app, "S001")
    leaving.erase("S001", Lifecycle(bench.conn, "anna"))
    for again in (first, {"event": name}):  # a repetition, and a new one
        assert event(app, "S001", **again) == "erased"
    assert account not in "".join(bench.dump().values())
    assert bench.rows("SELECT * FROM webhook_events") == []
    plain = bench.row("SELECT sha256(%s) AS hash", account.encode())["hash"]
    (trace,) = bench.rows("SELECT * FROM erased_accounts")
    assert trace["account_hash"] != plain  # a list of accounts alone proves nothing
    # The account is connected again: it counts like any other.
    bench.import_stores("S001")
    assert event(app, "S001", event=name, create_time=int(time.time()) + 2) != "erased"


def test_an_event_of_an_account_that_moved_belongs_to_the_store_that_has_it(
    app: ConnectServer,
) -> None:
    app.bench.import_stores("S001")
    disconnect(app, "S001")
    app.bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', 'x')")
    app.bench.conn.execute(
        "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
        " connected_at) SELECT 'N1', open_id, scope, '', '', now() FROM store_tokens"
    )
    assert event(app, "S001") == "needs_consent"
    marked = app.bench.row("SELECT * FROM store_audit WHERE action = 'grant_ended'")
    assert marked["store_code"] == "N1"
    assert app.bench.row("SELECT store_code FROM webhook_events") == {"store_code": "N1"}


def test_an_event_during_an_erasure_waits_for_it(app: ConnectServer, db_url: str) -> None:
    """It neither blocks the erasure nor writes a row for the store that is gone."""
    app.bench.import_stores("S001")
    account = grants(app)[0]["open_id"]
    call = "SELECT connect_webhook('x', 'authorization.removed', %s, 1, now(), 'm')"
    with psycopg.connect(db_url) as erasing, psycopg.connect(db_url, autocommit=True) as telling:
        erasing.execute("SELECT FROM stores WHERE store_code = 'S001' FOR UPDATE")
        telling.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            telling.execute(call, [account])
        erasing.execute("DELETE FROM store_tokens")
        erasing.execute("DELETE FROM stores")
        erasing.commit()
        assert telling.execute(call, [account]).fetchone() == ("unknown_account",)
    assert app.bench.row("SELECT open_id FROM webhook_events") == {"open_id": None}
