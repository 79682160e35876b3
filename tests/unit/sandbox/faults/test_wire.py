"""What each fault of answers, connections and tokens looks like from the client's side."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from include.sandbox.faults.transport import HUGE_BYTES
from tests.sandbox_server import asked, running_sandbox, until

if TYPE_CHECKING:
    from tests.sandbox_server import SandboxServer

STORE = "S001"


def switch(sandbox: SandboxServer, **rule: Any) -> None:
    sandbox.admin("POST", "/faults", json={"rules": [rule]})


def struck(sandbox: SandboxServer, fault: str) -> requests.Response:
    """The answer of the call that the fault strikes."""
    switch(sandbox, fault=fault, times=1)
    return sandbox.user_info(sandbox.row(STORE)["access_token"])


def last_entry(sandbox: SandboxServer) -> dict[str, Any]:
    entry: dict[str, Any] = sandbox.admin("GET", "/requests")[-1]
    return entry


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("internal_error", 500, "internal_error"),
        ("error_in_200", 200, "internal_error"),
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("token_rejected", 401, "access_token_invalid"),
        ("scope_refused", 401, "scope_not_authorized"),
        ("unknown_code_400", 400, "account_under_review"),
        ("unknown_code_503", 503, "service_overloaded"),
    ],
)
def test_errors_in_the_documented_envelope(
    sandbox: SandboxServer, fault: str, status: int, code: str
) -> None:
    response = struck(sandbox, fault)
    body = response.json()
    assert response.status_code == status
    assert body["data"] == {}
    assert body["error"]["code"] == code
    assert re.fullmatch(r"20\d{12}[0-9A-F]{20}", body["error"]["log_id"])
    entry = last_entry(sandbox)
    assert (entry["status"], entry["code"], entry["faults"]) == (status, code, [fault])
    assert (entry["store_code"], entry["token_generation"]) == (STORE, 1)


def test_unknown_codes_come_with_either_status(sandbox: SandboxServer) -> None:
    switch(sandbox, fault="unknown_code")
    token = sandbox.row(STORE)["access_token"]
    assert {sandbox.user_info(token).status_code for _ in range(20)} == {400, 503}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("bad_gateway_html", 502),
        ("unavailable_html", 503),
        ("gateway_timeout_html", 504),
        ("forbidden_html", 403),
        ("not_found_html", 404),
        ("unavailable_for_a_day", 503),
        ("unavailable_until_tomorrow", 503),
    ],
)
def test_gateways_answer_with_html(sandbox: SandboxServer, fault: str, status: int) -> None:
    response = struck(sandbox, fault)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")
    assert f"<h1>{status} " in response.text
    assert (last_entry(sandbox)["status"], last_entry(sandbox)["code"]) == (status, "unreadable")


def test_errors_of_other_shapes(sandbox: SandboxServer) -> None:
    without = struck(sandbox, "error_without_data")
    null = struck(sandbox, "error_data_null")
    bare = struck(sandbox, "bare_error")
    assert {without.status_code, null.status_code, bare.status_code} == {500}
    assert set(without.json()) == {"error"}
    assert null.json()["data"] is None
    assert null.json()["error"]["code"] == "internal_error"
    assert set(bare.json()) == {"code", "message", "log_id"}


def test_invalid_json_is_never_valid(sandbox: SandboxServer) -> None:
    switch(sandbox, fault="invalid_json")
    token = sandbox.row(STORE)["access_token"]
    texts = set()
    for _ in range(20):
        response = sandbox.user_info(token)
        assert response.status_code == 200
        with pytest.raises(requests.JSONDecodeError):
            response.json()
        texts.add(re.sub(r"\w{34}", "", response.text))
    assert len(texts) > 2


def test_good_bodies_in_bad_answers(sandbox: SandboxServer) -> None:
    token = sandbox.row(STORE)["access_token"]
    true = sandbox.user_info(token).json()["data"]
    odd = struck(sandbox, "valid_body_in_500")
    assert (odd.status_code, odd.json()["data"]) == (500, true)
    assert odd.json()["error"]["code"] == "ok"
    missing = struck(sandbox, "missing_data")
    assert (missing.status_code, set(missing.json())) == (200, {"error"})
    assert missing.json()["error"]["code"] == "ok"


def test_a_refused_call_has_no_body_to_spoil(sandbox: SandboxServer) -> None:
    for fault in ("valid_body_in_500", "missing_data"):
        switch(sandbox, fault=fault)
        assert sandbox.user_info("act.unknown").status_code == 401


def test_a_limit_out_of_turn_says_when_only_if_switched_on(sandbox: SandboxServer) -> None:
    assert "Retry-After" not in struck(sandbox, "rate_limited").headers
    sandbox.admin("PATCH", "/settings", json={"retry_after": True})
    assert 1 <= int(struck(sandbox, "rate_limited").headers["Retry-After"]) <= 3


def test_a_reset_sends_nothing(sandbox: SandboxServer) -> None:
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        struck(sandbox, "reset")
    entry = last_entry(sandbox)
    assert (entry["status"], entry["code"], entry["store_code"]) == (0, "no_answer", STORE)
    assert entry["faults"] == ["reset"]
    assert sandbox.admin("GET", "/stats")["endpoints"]["user_info"]["in_flight"] == 0
    assert sandbox.user_info(sandbox.row(STORE)["access_token"]).status_code == 200


def test_a_cut_body_ends_in_the_middle(sandbox: SandboxServer) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        struck(sandbox, "cut_body")
    assert (last_entry(sandbox)["status"], last_entry(sandbox)["code"]) == (200, "unreadable")


def half_read(sandbox: SandboxServer, read_s: float) -> tuple[requests.Response, bytes]:
    response = requests.get(
        f"{sandbox.url}/v2/user/info/?fields=open_id",
        headers={"Authorization": f"Bearer {sandbox.row(STORE)['access_token']}"},
        timeout=(30, read_s),
        stream=True,
    )
    got: list[bytes] = []
    with pytest.raises(requests.RequestException) as caught:
        got.extend(response.iter_content(1))
    response.close()
    assert ("timed out" in str(caught.value)) is (read_s < 10)
    return response, b"".join(got)


def test_a_stall_is_silent_until_the_client_gives_up(sandbox: SandboxServer) -> None:
    switch(sandbox, fault="stall")
    response, got = half_read(sandbox, 3)
    length = int(response.headers["content-length"])
    assert response.status_code == 200
    assert len(got) == length // 2
    assert got.startswith(b'{"')


def test_a_stall_ends_by_itself_after_its_seconds(sandbox: SandboxServer) -> None:
    switch(sandbox, fault="stall", seconds=0.2)
    response, got = half_read(sandbox, 30)
    assert 0 < len(got) < int(response.headers["content-length"])


def test_a_stalled_call_does_not_keep_the_sandbox_from_stopping(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with running_sandbox() as sandbox:
        switch(sandbox, fault="stall", seconds=600)
        response = requests.get(
            f"{sandbox.url}/v2/user/info/?fields=open_id",
            headers={"Authorization": f"Bearer {sandbox.row(STORE)['access_token']}"},
            timeout=30,
            stream=True,
        )
        assert response.status_code == 200
    response.close()
    assert "Traceback" not in capfd.readouterr().err


def test_broken_connections_leave_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with running_sandbox() as sandbox:
        for fault in ("reset", "cut_body"):
            with pytest.raises(requests.RequestException):
                struck(sandbox, fault)
        switch(sandbox, fault="huge_body")
        response = requests.get(
            f"{sandbox.url}/v2/user/info/?fields=open_id",
            headers={"Authorization": f"Bearer {sandbox.row(STORE)['access_token']}"},
            timeout=30,
            stream=True,
        )
        next(response.iter_content(1024))
        response.close()
    assert capfd.readouterr().err == ""


def test_a_huge_body_is_valid_and_too_large(sandbox: SandboxServer) -> None:
    response = struck(sandbox, "huge_body")
    assert response.status_code == 200
    assert len(response.content) > HUGE_BYTES > 16 * 1024 * 1024
    assert set(json.loads(response.content)["data"]["user"]) == {"open_id"}


def test_a_slow_answer_is_true_and_late(sandbox: SandboxServer) -> None:
    switch(sandbox, fault="slow", seconds=0.4)
    token = sandbox.row(STORE)["access_token"]
    began = time.monotonic()
    assert sandbox.user_info(token).status_code == 200
    assert time.monotonic() - began >= 0.4
    assert last_entry(sandbox)["duration_s"] >= 0.4


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ("oauth_error_in_200", 200, "server_error"),
        ("oauth_server_error", 500, "server_error"),
        ("oauth_invalid_client", 401, "invalid_client"),
        ("grant_revoked", 400, "invalid_grant"),
    ],
)
def test_a_refresh_that_fails_rotates_nothing(
    sandbox: SandboxServer, fault: str, status: int, error: str
) -> None:
    token = sandbox.row(STORE)["refresh_token"]
    switch(sandbox, fault=fault, times=1)
    response = sandbox.refresh(token)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert "access_token" not in response.json()
    entry = last_entry(sandbox)
    assert (entry["code"], entry["store_code"], entry["token_generation"]) == (error, STORE, 1)
    assert sandbox.row(STORE)["refresh_token"] == token
    assert sandbox.refresh(token).status_code == 200
    stats = sandbox.admin("GET", "/stats")
    assert (stats["refresh_calls"], stats["refreshes"]) == (2, {STORE: 1})


def test_a_refresh_answered_with_html(sandbox: SandboxServer) -> None:
    token = sandbox.row(STORE)["refresh_token"]
    switch(sandbox, fault="oauth_unavailable_html", times=1)
    response = sandbox.refresh(token)
    assert response.status_code == 503
    assert response.text.startswith("<html>")
    assert sandbox.row(STORE)["refresh_token"] == token


def test_a_lost_answer_has_rotated_the_tokens(sandbox: SandboxServer) -> None:
    token = sandbox.row(STORE)["refresh_token"]
    switch(sandbox, fault="oauth_answer_lost", times=1)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        sandbox.refresh(token)
    entry = last_entry(sandbox)
    assert (entry["status"], entry["code"], entry["store_code"]) == (0, "no_answer", STORE)
    assert sandbox.row(STORE)["refresh_token"] != token
    assert sandbox.refresh(token).json()["error"] == "invalid_grant"
    assert sandbox.admin("GET", "/stats")["refreshes"] == {STORE: 1}


def test_a_slow_refresh_rotates_before_it_waits(sandbox: SandboxServer) -> None:
    token = sandbox.row(STORE)["refresh_token"]
    switch(sandbox, fault="oauth_slow", seconds=20)
    form = {
        "client_key": sandbox.client_key,
        "client_secret": sandbox.client_secret,
        "grant_type": "refresh_token",
        "refresh_token": token,
    }
    with asked(f"{sandbox.url}/v2/oauth/token/", "POST", form=form):
        until(lambda: sandbox.row(STORE)["refresh_token"] != token)


def test_a_revoked_grant_is_dead_everywhere_until_healed(sandbox: SandboxServer) -> None:
    row = sandbox.row(STORE)
    switch(sandbox, fault="grant_revoked", stores=[STORE])
    for response in (
        sandbox.user_info(row["access_token"]),
        sandbox.video_list(row["access_token"]),
        sandbox.video_query(row["access_token"], ["1"]),
    ):
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "access_token_invalid"
    assert sandbox.refresh(row["refresh_token"]).json()["error"] == "invalid_grant"
    sandbox.admin("DELETE", "/faults")
    assert sandbox.user_info(row["access_token"]).status_code == 200
    assert sandbox.row(STORE) == row


def test_other_grants_are_never_struck(sandbox: SandboxServer) -> None:
    rules = [{"fault": name} for name in ("oauth_server_error", "oauth_answer_lost")]
    sandbox.admin("POST", "/faults", json={"rules": rules})
    code = sandbox.admin("POST", f"/stores/{STORE}/code")["code"]
    assert sandbox.oauth("client_credentials").status_code == 200
    exchanged = sandbox.oauth("authorization_code", code=code, redirect_uri="https://x/")
    assert exchanged.status_code == 200
    assert sandbox.revoke(exchanged.json()["access_token"]).status_code == 200


def test_the_rate_limit_stands_in_front_of_the_faults() -> None:
    with running_sandbox(rate_limit_per_minute=1) as sandbox:
        token = sandbox.row(STORE)["access_token"]
        assert sandbox.user_info(token).status_code == 200
        switch(sandbox, fault="internal_error")
        assert sandbox.user_info(token).status_code == 429
        assert sandbox.admin("GET", "/faults")["rules"][0]["hits"] == 0
