"""Is an answer of the token endpoint decided by its body, and never costs a pair of tokens?"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable

import pytest

from include.tiktok_sync.errors import (
    MAX_RETRY_AFTER_S,
    ConfigurationError,
    FatalError,
    NeedsConsentError,
    RateLimitedError,
    RetriableError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.tiktok.http import HttpTransport
from include.tiktok_sync.tiktok.oauth import OAuthClient
from tests.unit.tiktok_sync.scripted import Reply, ScriptedServer

OLD = "rft.old"
SECRET = "s3cret"
PAIR = {"access_token": "act.n", "expires_in": 7200, "refresh_token": "rft.n"}


@pytest.fixture
def oauth(http: HttpTransport, waits: list[float]) -> OAuthClient:
    del waits  # its pauses pass at once
    return OAuthClient(http, "key", SECRET)


def test_a_refresh_is_read_whole(server: ScriptedServer, oauth: OAuthClient) -> None:
    server.replies = [
        Reply(200, {**PAIR, "refresh_expires_in": "99", "open_id": "o", "scope": "a,b"})
    ]
    grant = oauth.refresh(OLD)
    assert (grant.access_token, grant.expires_in_s) == ("act.n", 7200)
    assert (grant.refresh_token, grant.refresh_expires_in_s) == ("rft.n", 99)
    assert (grant.open_id, grant.scope) == ("o", "a,b")
    assert "act.n" not in repr(grant)
    assert "rft.n" not in repr(grant)
    assert server.seen[0].body == (
        b"client_key=key&client_secret=s3cret&grant_type=refresh_token&refresh_token=rft.old"
    )


@pytest.mark.parametrize("status", [400, 500])
def test_a_pair_of_tokens_is_kept_under_whatever_status(
    server: ScriptedServer, oauth: OAuthClient, status: int
) -> None:
    server.replies = [Reply(status, PAIR)]  # the old pair is dead by now: this one is all there is
    assert oauth.refresh(OLD).refresh_token == "rft.n"
    assert len(server.seen) == 1


def test_what_a_refresh_leaves_out_is_none(server: ScriptedServer, oauth: OAuthClient) -> None:
    server.replies = [Reply(200, {"access_token": "act.n", "expires_in": 60, "scope": ""})]
    grant = oauth.refresh(OLD)
    assert (grant.refresh_token, grant.refresh_expires_in_s) == (None, None)
    assert (grant.open_id, grant.scope) == (None, None)


LIVES_NO_TOKEN_HAS: list[object] = [
    *(0, -1, -(10**15), 10**12, 1_795_900_000_000, 2**63 - 1, 10**400),
    *(float("inf"), float("nan"), "soon", "1e999", "", None, [1], {}),
]
NO_TEXTS: list[object] = ["", " ", "\x00", 7, 1.5, True, None, {"a": "b"}, {}]


@pytest.mark.parametrize(
    ("value", "life"),
    [
        (86_400, 86_400),
        ("86400", 86_400),
        ("86400.0", 86_400),
        (7200.9, 7200),
        *((odd, None) for odd in LIVES_NO_TOKEN_HAS),
    ],
)
def test_an_odd_life_costs_no_tokens_and_is_unknown(
    server: ScriptedServer, oauth: OAuthClient, value: object, life: int | None
) -> None:
    lives = {"expires_in": value, "refresh_expires_in": value}
    server.replies = [Reply(200, json.dumps(PAIR | lives).encode())]
    grant = oauth.refresh(OLD)
    assert (grant.access_token, grant.refresh_token) == ("act.n", "rft.n")
    assert (grant.expires_in_s, grant.refresh_expires_in_s) == (life or 0, life)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a,b", "a,b"),
        ("a,\x00b\ud800", "a,b?"),
        *((odd, None) for odd in NO_TEXTS),
    ],
)
@pytest.mark.parametrize("name", ["open_id", "scope", "refresh_token"])
def test_an_odd_text_costs_no_tokens_and_counts_as_left_out(
    server: ScriptedServer, oauth: OAuthClient, name: str, value: object, text: str | None
) -> None:
    server.replies = [Reply(200, json.dumps(PAIR | {name: value}).encode())]
    grant = oauth.refresh(OLD)
    assert (grant.access_token, getattr(grant, name)) == ("act.n", text)
    assert name == "refresh_token" or grant.refresh_token == "rft.n"


def test_a_list_of_scopes_is_read_and_one_of_accounts_is_not(
    server: ScriptedServer, oauth: OAuthClient
) -> None:
    server.replies = [Reply(200, {**PAIR, "scope": ["a", 7, "b"], "open_id": ["o"]})]
    grant = oauth.refresh(OLD)
    assert (grant.scope, grant.open_id) == ("a,b", None)


def test_half_a_character_in_an_access_token_does_not_cost_the_refresh_token(
    server: ScriptedServer, oauth: OAuthClient
) -> None:
    server.replies = [Reply(200, b'{"access_token": "act.\\ud800", "refresh_token": "rft.n"}')]
    grant = oauth.refresh(OLD)
    assert (grant.access_token.encode(), grant.refresh_token) == (b"act.?", "rft.n")


@pytest.mark.parametrize(
    ("reply", "error", "calls"),
    [
        (Reply(400, {"error": "invalid_grant", "log_id": "L"}), NeedsConsentError, 1),
        (Reply(200, {"error": "invalid_grant"}), NeedsConsentError, 1),
        (Reply(401, {"error": "invalid_client"}), ConfigurationError, 1),
        (Reply(400, {"error": "invalid_request"}), FatalError, 1),
        (Reply(500, b"<h1>"), TikTokUnavailableError, 2),
        (Reply(200, b"<h1>Welcome to the hotel</h1>"), TikTokUnavailableError, 2),
        (Reply(429, {}), RateLimitedError, 1),
        (Reply(403, b"<h1>Access Denied</h1>"), TikTokUnavailableError, 2),
        (Reply(403, {"message": "Forbidden"}), TikTokUnavailableError, 2),
        (Reply(403, {"error": "Forbidden"}), TikTokUnavailableError, 2),
        (Reply(401, b""), TikTokUnavailableError, 2),
        (Reply(302, b"", {"Location": "/login"}), TikTokUnavailableError, 2),
        (Reply(400, {"error": "brand_new", "log_id": "L"}), FatalError, 1),
    ],
)
def test_a_refresh_that_fails(
    server: ScriptedServer, oauth: OAuthClient, reply: Reply, error: type[SyncError], calls: int
) -> None:
    server.replies = [reply]
    with pytest.raises(error) as caught:
        oauth.refresh(OLD)
    assert len(server.seen) == calls
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.detail)
    assert OLD not in shown
    assert SECRET not in shown


def test_a_lost_answer_is_asked_for_again_with_the_same_token(
    server: ScriptedServer, oauth: OAuthClient
) -> None:
    server.replies = [Reply(502, b""), Reply(200, PAIR)]
    assert oauth.refresh(OLD).access_token == "act.n"
    assert len({seen.body for seen in server.seen}) == 1


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, {"code": "x"}, TikTokUnavailableError),
        # not marked as TikTok's
        *((400, {"code": code}, TikTokUnavailableError) for code in ("x", "invalid_grant")),
        (403, {"code": "access_denied"}, TikTokUnavailableError),
        (400, {"code": "x", "log_id": "L"}, FatalError),
        (200, {"code": "internal_error", "message": "m", "log_id": "L"}, TikTokUnavailableError),
        (200, {"code": "timeout"}, TikTokUnavailableError),
        (200, {"code": "rate_limit_exceeded", "log_id": "L"}, RateLimitedError),
        (401, {"code": "invalid_client", "log_id": "L"}, ConfigurationError),
        (200, {"code": ["x"], "log_id": {"a": "b"}}, TikTokUnavailableError),
        (200, ["x"], TikTokUnavailableError),
        (200, 7, TikTokUnavailableError),
        (200, None, TikTokUnavailableError),
        (200, {}, TikTokUnavailableError),
        (200, "x\x00", TikTokUnavailableError),
    ],
)
@pytest.mark.parametrize("call", ["refresh", "check_app", "revoke"])
def test_an_error_in_another_form_than_documented_is_read_too(
    server: ScriptedServer,
    oauth: OAuthClient,
    call: str,
    status: int,
    body: object,
    error: type[SyncError],
) -> None:
    server.replies = [Reply(status, json.dumps({"error": body}).encode())]
    calls: dict[str, Callable[[], object]] = {
        "refresh": lambda: oauth.refresh(OLD),
        "check_app": oauth.check_app,
        "revoke": lambda: oauth.revoke("act.n"),
    }
    with pytest.raises(error) as caught:
        calls[call]()
    assert caught.value.log_id == (
        "L" if isinstance(body, dict) and body.get("log_id") == "L" else None
    )
    assert "\x00" not in str(caught.value.detail)


def test_a_refresh_that_says_ok_and_holds_no_tokens_is_asked_for_again(
    server: ScriptedServer, oauth: OAuthClient
) -> None:
    server.replies = [Reply(200, {"data": {}, "error": {"code": "ok", "log_id": "L"}})]
    with pytest.raises(TikTokUnavailableError):
        oauth.refresh(OLD)
    with pytest.raises(TikTokUnavailableError):
        oauth.check_app()


def test_the_check_of_the_app_takes_a_refused_kind_of_grant_in_another_form(
    server: ScriptedServer, oauth: OAuthClient
) -> None:
    server.replies = [Reply(400, {"error": {"code": "unauthorized_client", "log_id": "L"}})]
    oauth.check_app()


def test_the_check_of_the_app_touches_no_store(server: ScriptedServer, oauth: OAuthClient) -> None:
    server.replies = [Reply(200, {"access_token": "clt.x", "expires_in": 7200})]
    oauth.check_app()
    assert server.seen[0].body.endswith(b"grant_type=client_credentials")


@pytest.mark.parametrize(
    "trouble", [Reply(403, b"<h1>Access Denied</h1>"), Reply(502, b""), Reply(200, b"welcome")]
)
def test_the_check_of_the_app_is_not_put_off_by_passing_trouble(
    server: ScriptedServer, oauth: OAuthClient, trouble: Reply
) -> None:
    server.replies = [trouble, Reply(200, {"access_token": "clt.x", "expires_in": 7200})]
    oauth.check_app()
    server.replies = [trouble]
    with pytest.raises(TikTokUnavailableError):
        oauth.check_app()


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_of_a_day_is_not_passed_on(
    server: ScriptedServer, oauth: OAuthClient, status: int
) -> None:
    server.replies = [Reply(status, b"", {"Retry-After": "86400"})]
    for call in (lambda: oauth.refresh(OLD), oauth.check_app, lambda: oauth.revoke("act.n")):
        with pytest.raises(RetriableError) as caught:
            call()
        assert caught.value.retry_after_s == MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    "done",
    [
        {},
        {"log_id": "L"},
        {"error": "", "error_description": "", "log_id": "L"},
        {"data": {}, "error": {"code": "ok", "message": "", "log_id": "L"}},
    ],
)
def test_a_revocation_sends_the_secret_in_the_body_only(
    server: ScriptedServer, oauth: OAuthClient, done: dict[str, object]
) -> None:
    server.replies = [Reply(200, done)]
    oauth.revoke("act.n")
    assert server.seen[0].path == "/v2/oauth/revoke/"
    assert server.seen[0].body == b"client_key=key&client_secret=s3cret&token=act.n"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, {"error": "invalid_grant", "log_id": "L"}), NeedsConsentError),
        (Reply(400, {"error": "invalid_grant"}), NeedsConsentError),
        (Reply(200, {"error": "invalid_client"}), ConfigurationError),
        (Reply(200, b""), TikTokUnavailableError),
        (Reply(200, b"<h1>Welcome to the hotel</h1>"), TikTokUnavailableError),
        (Reply(503, {}), TikTokUnavailableError),
        (Reply(429, {}), RateLimitedError),
        (Reply(403, b"<h1>Access Denied</h1>"), TikTokUnavailableError),
        (Reply(403, {"message": "Forbidden"}), TikTokUnavailableError),
        *(
            (Reply(200, body), TikTokUnavailableError)
            for body in ({"message": "Forbidden"}, {"code": "forbidden"}, {"error": None})
        ),
        (Reply(200, {"code": "forbidden", "log_id": "L"}), FatalError),
        (
            Reply(200, {"error": {"code": None, "message": "m", "log_id": "L"}}),
            TikTokUnavailableError,
        ),
    ],
)
def test_a_revocation_is_done_only_where_tiktok_says_so(
    server: ScriptedServer, oauth: OAuthClient, reply: Reply, error: type[SyncError]
) -> None:
    server.replies = [reply]
    with pytest.raises(error) as caught:
        oauth.revoke("act.n")
    assert (caught.value.detail or "").startswith("oauth/revoke: HTTP ")
    assert "act.n" not in str(caught.value.detail)
