"""Are the token endpoints of the Accounts API app called and believed as documented?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from include.tiktok_sync.business.client import business_transport
from include.tiktok_sync.business.oauth import BusinessOAuth
from include.tiktok_sync.errors import (
    ConfigurationError,
    FatalError,
    NeedsConsentError,
    RateLimitedError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.tiktok.http import Timeouts
from tests.unit.tiktok_sync.scripted import Reply, ScriptedServer

pytestmark = pytest.mark.usefixtures("waits")


def said(code: int, data: Any = None, message: str = "why") -> Reply:
    body = {"code": code, "message": message, "request_id": "R1"}
    return Reply(200, body if data is None else {**body, "data": data})


TOKENS = said(
    0,
    {
        "access_token": "act.new",
        "expires_in": 86400,
        "open_id": "-000x",
        "refresh_token": "rft.new",
        "refresh_token_expires_in": "31527314",
        "scope": "video.list,user.insights",
        "token_type": "Bearer",
    },
)
LOST = Reply(504, b"<html>gateway time-out</html>")


@pytest.fixture
def oauth(server: ScriptedServer) -> Iterator[BusinessOAuth]:
    http = business_transport(server.url, Timeouts(connect_s=5, read_s=10))
    yield BusinessOAuth(http, "7300", "s3cret")
    http.close()


def test_an_exchange_sends_json_and_reads_the_lives_from_the_answer(
    server: ScriptedServer, oauth: BusinessOAuth
) -> None:
    server.replies = [TOKENS]
    grant = oauth.exchange("code*1", redirect_uri="https://shop.example/business/callback/")
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/open_api/v1.3/tt_user/oauth2/token/")
    assert "Access-Token" not in seen.headers
    assert json.loads(seen.body) == {
        "client_id": "7300",
        "client_secret": "s3cret",
        "grant_type": "authorization_code",
        "auth_code": "code*1",
        "redirect_uri": "https://shop.example/business/callback/",
    }
    assert (grant.access_token, grant.refresh_token, grant.open_id) == (
        "act.new",
        "rft.new",
        "-000x",
    )
    assert (grant.expires_in_s, grant.refresh_expires_in_s) == (86400, 31527314)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (said(40107), NeedsConsentError),
        (said(40103), NeedsConsentError),
        (said(40105), NeedsConsentError),
        (said(40101), ConfigurationError),
        (said(40113), ConfigurationError),
        (said(40002), FatalError),
        (said(40001), FatalError),
        (said(40100), RateLimitedError),
        (said(50000), TikTokUnavailableError),
        (said(0), TikTokUnavailableError),
        (said(0, {}), TikTokUnavailableError),
        (LOST, TikTokUnavailableError),
        (Reply(403, {"code": 40107, "message": "by a gateway"}), TikTokUnavailableError),
        (Reply(403, {"code": 999, "message": "by a gateway"}), TikTokUnavailableError),
    ],
)
def test_a_refresh_that_fails(
    server: ScriptedServer, oauth: BusinessOAuth, reply: Reply, error: type[SyncError]
) -> None:
    server.replies = [reply]
    with pytest.raises(error) as caught:
        oauth.refresh("rft.old")
    assert "rft.old" not in repr(vars(caught.value))
    if error is NeedsConsentError:
        assert not caught.value.explained  # type: ignore[attr-defined]  # of that class


@pytest.mark.parametrize(
    ("reply", "wait_s"),
    [
        (said(40100), 300),
        (Reply(429, b""), 300),
        (said(40100, message="App reaches the QPS limit."), 1),
        (Reply(429, b"", {"Retry-After": "7"}), 7),
    ],
)
def test_too_many_calls_are_over_when_tiktok_says(
    server: ScriptedServer, oauth: BusinessOAuth, reply: Reply, wait_s: float
) -> None:
    server.replies = [reply]
    with pytest.raises(RateLimitedError) as caught:
        oauth.refresh("rft.old")
    assert caught.value.retry_after_s == wait_s


def test_a_refresh_whose_answer_was_lost_explains_the_refusal_that_follows(
    server: ScriptedServer, oauth: BusinessOAuth
) -> None:
    server.replies = [LOST, said(40107)]
    with pytest.raises(NeedsConsentError, match="was lost") as caught:
        oauth.refresh("rft.old")
    assert caught.value.explained
    server.replies = [LOST, TOKENS]
    assert oauth.refresh("rft.old").access_token == "act.new"


def test_a_code_is_never_sent_twice(server: ScriptedServer, oauth: BusinessOAuth) -> None:
    server.replies = [LOST]
    with pytest.raises(TikTokUnavailableError):
        oauth.exchange("c", redirect_uri="https://shop.example/")
    assert len(server.seen) == 1
    server.replies = [said(40110)]
    with pytest.raises(NeedsConsentError, match="code of the consent"):
        oauth.exchange("c", redirect_uri="https://shop.example/")


@pytest.mark.parametrize("reply", [said(0), said(0, {}), said(0, None)])
def test_a_revocation_may_answer_with_no_data(
    server: ScriptedServer, oauth: BusinessOAuth, reply: Reply
) -> None:
    server.replies = [reply]
    oauth.revoke("act.x")
    assert json.loads(server.seen[0].body)["access_token"] == "act.x"


def test_token_info_names_the_account_and_its_scopes(
    server: ScriptedServer, oauth: BusinessOAuth
) -> None:
    server.replies = [said(0, {"app_id": "7300", "creator_id": "-000x", "scope": "video.list"})]
    found = oauth.token_info("act.x")
    assert (found.open_id, found.scope) == ("-000x", "video.list")
    assert json.loads(server.seen[0].body) == {"app_id": "7300", "access_token": "act.x"}


@pytest.mark.parametrize("code", [40107, 40103, 40105, 40002, 40000, 40999])
def test_the_app_is_known_whatever_tiktok_says_of_a_token_that_cannot_exist(
    server: ScriptedServer, oauth: BusinessOAuth, code: int
) -> None:
    server.replies = [said(code)]
    oauth.check_app()


def test_the_app_is_checked_without_a_store(server: ScriptedServer, oauth: BusinessOAuth) -> None:
    server.replies = [said(40101)]
    with pytest.raises(ConfigurationError, match="tiktok_business"):
        oauth.check_app()
    server.replies = [LOST]
    with pytest.raises(TikTokUnavailableError):
        oauth.check_app()
