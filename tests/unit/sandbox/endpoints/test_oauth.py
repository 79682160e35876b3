"""Tokens on the wire: three grants, rotation, deadlines, revocation, refusals."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.sandbox_server import running_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox_server import SandboxServer

STORE = "S001"
FULL = "user.info.basic,user.info.profile,user.info.stats,video.list"
DAY = 86_400


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    """The module's sandbox, with a new consent of `STORE` and empty statistics."""
    server.admin("PATCH", "/settings", json={"refresh_kills_access_token": False})
    code = server.admin("POST", f"/stores/{STORE}/code")["code"]
    consent = server.oauth("authorization_code", code=code, redirect_uri="https://x/")
    assert consent.status_code == 200
    server.admin("DELETE", "/requests")
    return server


def error_of(response: requests.Response) -> tuple[int, str, str]:
    body = response.json()
    assert set(body) == {"error", "error_description", "log_id"}
    assert len(body["log_id"]) == 34
    return response.status_code, body["error"], body["error_description"]


DEAD_REFRESH = (400, "invalid_grant", "Refresh token is invalid or expired.")
DEAD_CODE = (400, "invalid_grant", "Authorization code is expired.")
DEAD_ACCESS = (400, "invalid_grant", "Access token is invalid or expired.")
MALFORMED = (400, "invalid_request", "The request parameters are malformed.")
MISSING = (400, "invalid_request", "The request is missing a required parameter.")


def test_a_refresh_answers_flat_with_a_new_pair(sandbox: SandboxServer) -> None:
    row = sandbox.row(STORE)
    response = sandbox.refresh(row["refresh_token"])
    body = response.json()
    assert response.status_code == 200
    assert set(body) == {
        "open_id",
        "scope",
        "access_token",
        "expires_in",
        "refresh_token",
        "refresh_expires_in",
        "token_type",
    }
    assert body["open_id"] == row["open_id"]
    assert body["scope"] == FULL
    assert body["token_type"] == "Bearer"
    assert type(body["expires_in"]) is int
    assert body["access_token"] != row["access_token"]
    assert body["refresh_token"] != row["refresh_token"]
    assert sandbox.user_info(body["access_token"]).status_code == 200
    assert sandbox.row(STORE)["access_token"] == body["access_token"]


def test_tokens_look_like_recorded_ones(sandbox: SandboxServer) -> None:
    row = sandbox.row(STORE)
    client = sandbox.oauth("client_credentials").json()["access_token"]
    tokens = ((row["access_token"], "act"), (row["refresh_token"], "rft"), (client, "clt"))
    for token, prefix in tokens:
        assert re.fullmatch(prefix + r"\.[\w-]{40,}\*\d!\d{4}\.va", token)


def test_the_old_refresh_token_dies_at_once(sandbox: SandboxServer) -> None:
    old = sandbox.row(STORE)["refresh_token"]
    new = sandbox.refresh(old).json()["refresh_token"]
    assert error_of(sandbox.refresh(old)) == DEAD_REFRESH
    assert sandbox.refresh(new).status_code == 200


def test_the_old_access_token_lives_on_by_default(sandbox: SandboxServer) -> None:
    row = sandbox.row(STORE)
    sandbox.refresh(row["refresh_token"])
    assert sandbox.user_info(row["access_token"]).status_code == 200


def test_the_old_access_token_dies_when_switched_so(sandbox: SandboxServer) -> None:
    sandbox.admin("PATCH", "/settings", json={"refresh_kills_access_token": True})
    row = sandbox.row(STORE)
    new = sandbox.refresh(row["refresh_token"]).json()
    assert sandbox.user_info(row["access_token"]).status_code == 401
    assert sandbox.user_info(new["access_token"]).status_code == 200
    assert sandbox.refresh(new["refresh_token"]).status_code == 200


@pytest.mark.parametrize(("regime", "access", "days"), [("2h", 7200, 180), ("24h", DAY, 365)])
def test_both_regimes_of_lifetimes(regime: str, access: int, days: int) -> None:
    with running_sandbox(token_regime=regime) as sandbox:
        refreshed = sandbox.refresh(sandbox.row(STORE)["refresh_token"]).json()
        assert refreshed["expires_in"] == access
        assert 0 < refreshed["refresh_expires_in"] <= days * DAY
        code = sandbox.admin("POST", f"/stores/{STORE}/code")["code"]
        fresh = sandbox.oauth("authorization_code", code=code, redirect_uri="https://x/").json()
        assert fresh["expires_in"] == access
        assert fresh["refresh_expires_in"] == days * DAY


def test_the_refresh_deadline_stays_where_the_consent_put_it(sandbox: SandboxServer) -> None:
    seeded = "S002"  # its consent lies days back
    before = sandbox.row(seeded)
    token, remaining = before["refresh_token"], []
    for _ in range(3):
        answer = sandbox.refresh(token).json()
        token = answer["refresh_token"]
        remaining.append(answer["refresh_expires_in"])
    after = sandbox.row(seeded)
    assert after["refresh_expires_at"] == before["refresh_expires_at"]
    assert after["access_expires_at"] >= before["access_expires_at"]
    assert remaining == sorted(remaining, reverse=True)
    assert remaining[0] < 180 * DAY - DAY


def test_concurrent_refreshes_have_one_winner() -> None:
    with running_sandbox(latency={"oauth_token": 0.1}) as sandbox:
        token = sandbox.row(STORE)["refresh_token"]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(sandbox.refresh, [token] * 8))
        winners = [answer for answer in answers if answer.status_code == 200]
        assert len(winners) == 1
        losers = [answer for answer in answers if answer.status_code != 200]
        assert {error_of(answer) for answer in losers} == {DEAD_REFRESH}
        assert sandbox.row(STORE)["refresh_token"] == winners[0].json()["refresh_token"]
        stats = sandbox.admin("GET", "/stats")
        assert stats["refreshes"] == {STORE: 1}
        assert stats["refresh_calls"] == 8
        assert stats["dead_token_uses"] == 7


def test_a_code_works_once(sandbox: SandboxServer) -> None:
    code = sandbox.admin("POST", f"/stores/{STORE}/code", json={"scope": "user.info.basic"})["code"]
    assert "*" in code
    assert "!" in code
    first = sandbox.oauth("authorization_code", code=code, redirect_uri="https://x/cb")
    assert first.status_code == 200
    assert first.json()["scope"] == "user.info.basic"
    assert sandbox.row(STORE)["scope"] == "user.info.basic"
    again = sandbox.oauth("authorization_code", code=code, redirect_uri="https://x/cb")
    assert error_of(again) == DEAD_CODE


def test_a_code_must_be_decoded_and_known(sandbox: SandboxServer) -> None:
    code = sandbox.admin("POST", f"/stores/{STORE}/code")["code"]
    encoded = code.replace("*", "%2A").replace("!", "%21")
    for wrong in (encoded, "nothing*0!1234.va"):
        answer = sandbox.oauth("authorization_code", code=wrong, redirect_uri="https://x/")
        assert error_of(answer) == DEAD_CODE


def test_the_redirect_uri_must_be_the_one_of_the_code(sandbox: SandboxServer) -> None:
    body = {"redirect_uri": "https://shop.example/cb"}
    code = sandbox.admin("POST", f"/stores/{STORE}/code", json=body)["code"]
    assert error_of(sandbox.oauth("authorization_code", code=code)) == MISSING
    wrong = sandbox.oauth("authorization_code", code=code, redirect_uri="https://x/")
    assert error_of(wrong)[:2] == (400, "invalid_request")
    assert sandbox.oauth("authorization_code", code=code, **body).status_code == 200


def test_a_new_consent_revives_a_revoked_store(sandbox: SandboxServer) -> None:
    row = sandbox.row(STORE)
    sandbox.admin("POST", f"/stores/{STORE}/grant", json={"revoke": True})
    code = sandbox.admin("POST", f"/stores/{STORE}/code")["code"]
    new = sandbox.oauth("authorization_code", code=code, redirect_uri="https://x/").json()
    assert sandbox.user_info(new["access_token"]).status_code == 200
    assert sandbox.refresh(new["refresh_token"]).status_code == 200
    assert sandbox.user_info(row["access_token"]).status_code == 401
    assert error_of(sandbox.refresh(row["refresh_token"])) == DEAD_REFRESH


def test_client_credentials(sandbox: SandboxServer) -> None:
    body = sandbox.oauth("client_credentials").json()
    assert body.pop("access_token").startswith("clt.")
    assert body == {"expires_in": 7200, "token_type": "Bearer"}


def test_revoke_ends_the_whole_grant(sandbox: SandboxServer) -> None:
    row = sandbox.row(STORE)
    new = sandbox.refresh(row["refresh_token"]).json()
    response = sandbox.revoke(new["access_token"])
    assert (response.status_code, response.json()) == (200, {})
    for token in (row["access_token"], new["access_token"]):
        assert sandbox.user_info(token).json()["error"]["code"] == "access_token_invalid"
    assert error_of(sandbox.refresh(new["refresh_token"])) == DEAD_REFRESH
    assert error_of(sandbox.revoke(new["access_token"])) == DEAD_ACCESS
    assert error_of(sandbox.revoke("act.unknown")) == DEAD_ACCESS


def test_only_an_access_token_revokes_and_only_a_refresh_token_refreshes(
    sandbox: SandboxServer,
) -> None:
    row = sandbox.row(STORE)
    client = sandbox.oauth("client_credentials").json()["access_token"]
    assert error_of(sandbox.revoke(row["refresh_token"])) == DEAD_ACCESS
    assert error_of(sandbox.revoke(client)) == DEAD_ACCESS
    assert error_of(sandbox.refresh(row["access_token"])) == DEAD_REFRESH
    assert error_of(sandbox.refresh(client)) == DEAD_REFRESH
    assert sandbox.user_info(row["access_token"]).status_code == 200


def test_an_expired_access_token_is_invalid_until_refreshed(sandbox: SandboxServer) -> None:
    row = sandbox.row(STORE)
    sandbox.admin("POST", f"/stores/{STORE}/grant", json={"expire_access": True})
    answer = sandbox.user_info(row["access_token"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "access_token_invalid")
    new = sandbox.refresh(row["refresh_token"]).json()
    assert sandbox.user_info(new["access_token"]).status_code == 200
    assert sandbox.admin("GET", "/stats")["dead_token_uses"] == 1


@pytest.mark.parametrize("name", ["client_key", "client_secret"])
def test_the_client_is_checked(sandbox: SandboxServer, name: str) -> None:
    token = sandbox.row(STORE)["refresh_token"]
    wrong = sandbox.oauth("refresh_token", refresh_token=token, **{name: "wrong"})
    assert error_of(wrong)[:2] == (401, "invalid_client")
    assert error_of(sandbox.oauth("refresh_token", refresh_token=token, **{name: ""})) == MISSING
    blank = {name: f" {getattr(sandbox, name)}"}
    assert error_of(sandbox.oauth("refresh_token", refresh_token=token, **blank)) == MALFORMED
    assert sandbox.refresh(token).status_code == 200


def test_missing_and_unknown_parameters(sandbox: SandboxServer) -> None:
    assert error_of(sandbox.oauth("refresh_token")) == MISSING
    assert error_of(sandbox.oauth("authorization_code", redirect_uri="https://x/")) == MISSING
    assert error_of(sandbox.oauth("")) == MISSING
    assert error_of(sandbox.oauth("password"))[:2] == (400, "unsupported_grant_type")


def test_only_a_form_is_taken(sandbox: SandboxServer) -> None:
    url = f"{sandbox.url}/v2/oauth/token/"
    form: dict[str, Any] = {
        "client_key": sandbox.client_key,
        "client_secret": sandbox.client_secret,
        "grant_type": "client_credentials",
    }
    charset = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert error_of(requests.post(url, json=form, timeout=60)) == MALFORMED
    assert error_of(requests.post(url, data=form, headers=charset, timeout=60)) == MALFORMED
    assert error_of(requests.post(url, params=form, timeout=60)) == MALFORMED
    twice = [*form.items(), ("grant_type", "refresh_token")]
    assert error_of(requests.post(url, data=twice, timeout=60)) == MALFORMED
    assert requests.post(url, data=form, timeout=60).status_code == 200
