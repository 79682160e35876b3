"""Does a notice about the Accounts API end that grant, once, and no other?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from include.connect.settings import BUSINESS_WEBHOOK_PATH, WEBHOOK_PATH
from include.sandbox.admin.webhook import signature
from tests.connect_server import ConnectServer
from tests.database.bench import Bench
from tests.sandbox_server import SandboxServer, running_sandbox
from tests.second_consent import UNLIMITED, both_apis


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(rate_limit_per_minute=0, business=UNLIMITED) as server:
        yield server


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    with both_apis(bench) as server:
        bench.import_stores("S001", "S002")
        yield server


def statuses(app: ConnectServer, table: str) -> list[str]:
    found = app.bench.rows(f"SELECT status FROM {table} ORDER BY store_code")  # noqa: S608 - ours
    return [str(one["status"]) for one in found]


def effects(app: ConnectServer) -> list[tuple[str, str]]:
    found = app.bench.rows("SELECT api, effect FROM webhook_events ORDER BY received_at")
    return [(one["api"], one["effect"]) for one in found]


def event(
    app: ConnectServer,
    code: str = "S001",
    *,
    path: str = BUSINESS_WEBHOOK_PATH,
    secret: str | None = None,
    signed_at: int | None = None,
    **changes: Any,
) -> requests.Response:
    """An event that leaves the sandbox's grant alone."""
    bench = app.bench
    body = json.dumps(
        {
            "client_key": app.settings.business_app_id,
            "event": "authorization.removed",
            "create_time": int(time.time()) + 2,
            "user_openid": bench.sandbox.row(code)["business_open_id"],
            "content": '{"reason": 1}',
            **changes,
        }
    ).encode()
    key = app.settings.business_secret if secret is None else secret
    header = signature(key, body, signed_at or int(time.time()))
    headers = {"TikTok-Signature": header}
    return requests.post(app.url + path, data=body, headers=headers, timeout=30)


def test_a_removed_authorization_ends_the_second_grant_alone(app: ConnectServer) -> None:
    sent = {"url": app.url + BUSINESS_WEBHOOK_PATH, "create_time": int(time.time()) + 2}
    params = {"api": "business"}
    for _ in range(2):  # TikTok delivers at least once
        answer = app.bench.sandbox.admin(
            "POST", "/stores/S001/webhook", params=params, json={**sent, "reason": 1}
        )
        assert answer["status"] == 200
    assert statuses(app, "business_tokens") == ["needs_consent", "active"]
    assert statuses(app, "store_tokens") == ["active", "active"]
    reason = app.bench.row("SELECT status_reason FROM business_tokens WHERE store_code = 'S001'")
    assert "stores link --business" in reason["status_reason"]
    told = app.bench.row("SELECT api, effect, deliveries, store_code FROM webhook_events")
    assert told == {
        "api": "business",
        "effect": "needs_consent",
        "deliveries": 2,
        "store_code": "S001",
    }
    ended = app.bench.row("SELECT * FROM store_audit WHERE action = 'grant_ended'")
    assert ended["details"] == {"api": "business", "reason": 1}


def test_each_app_signs_its_own_events(app: ConnectServer) -> None:
    settings, old = app.settings, int(time.time()) - 80 * 3_600
    tries = [
        (event(app, secret=settings.client_secret), 401),
        (event(app, secret=settings.client_secret, path=WEBHOOK_PATH), 400),  # of another app
        (event(app, client_key=settings.client_key), 400),
        (event(app, path=WEBHOOK_PATH), 401),
        (event(app, signed_at=old), 401),
    ]
    assert [answer.status_code for answer, _ in tries] == [status for _, status in tries]
    assert statuses(app, "business_tokens") == ["active", "active"]
    assert effects(app) == []


def test_late_future_and_unknown_events_end_nothing_they_should_not(app: ConnectServer) -> None:
    now = int(time.time())
    said = [
        event(app, create_time=now - 3_600),  # before the grant
        event(app, user_openid="-000nobody"),
        event(app, user_openid=app.bench.sandbox.row("S001")["open_id"]),  # the other app's id
        event(app, event="comment.update", content='{"comment_id":7385350567722402578}'),
    ]
    assert [one.json()["effect"] for one in said] == [
        "older_than_grant",
        "unknown_account",
        "unknown_account",
        "ignored",
    ]
    assert statuses(app, "business_tokens") == ["active", "active"]
    app.bench.conn.execute("UPDATE business_tokens SET connected_at = now() - interval '1 hour'")
    tomorrow = event(app, create_time=now + 86_400, signed_at=now - 60)
    assert tomorrow.json()["effect"] == "needs_consent"
    ended = "SELECT happened_at AS at FROM webhook_events WHERE effect = 'needs_consent'"
    happened = app.bench.row(ended)["at"]
    assert int(happened.timestamp()) == now - 60  # not before it was signed
