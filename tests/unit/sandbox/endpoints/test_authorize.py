"""Does the authorize page play TikTok's side, and does a standard OAuth client get through?"""

from __future__ import annotations

import hashlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import requests
from authlib.integrations.requests_client import (  # type: ignore[import-untyped]  # has no stubs
    OAuth2Session,
)

from include.sandbox.accounts.apps import FULL_SCOPE
from include.sandbox.admin.webhook import signature
from tests.sandbox_server import SandboxServer, running_sandbox

CALLBACK = "https://connect.example.com/callback"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789"
CHALLENGE = hashlib.sha256(VERIFIER.encode()).hexdigest()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}  # TikTok refuses Authlib's charset


def _query(sandbox: SandboxServer, **changes: str | None) -> dict[str, str]:
    query: dict[str, str | None] = {
        "client_key": sandbox.client_key,
        "scope": FULL_SCOPE,
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "state": "a state & more",
        **changes,
    }
    return {name: value for name, value in query.items() if value is not None}


def _decide(
    sandbox: SandboxServer, query: dict[str, str], *, account: str = "S001", **form: Any
) -> requests.Response:
    data = {
        **query,
        "account": account,
        "decision": "allow",
        "grant": FULL_SCOPE.split(","),
        **form,
    }
    url = f"{sandbox.url}/v2/auth/authorize/"
    return requests.post(url, data=data, timeout=30, allow_redirects=False)


def _back(response: requests.Response) -> dict[str, str]:
    """The query that the browser comes back with."""
    assert response.status_code == 302, response.text
    where = response.headers["Location"]
    assert where.startswith(f"{CALLBACK}?")
    return dict(parse_qsl(urlsplit(where).query, keep_blank_values=True))


def test_a_consent_comes_back_with_a_code_that_works_once(sandbox: SandboxServer) -> None:
    response = _decide(sandbox, _query(sandbox), account="S022")
    back = _back(response)
    assert back["state"] == "a state & more"
    assert back["scopes"] == FULL_SCOPE
    assert "*" in back["code"]
    assert "!" in back["code"]
    assert "%2A" in response.headers["Location"]
    exchange = {"code": back["code"], "redirect_uri": CALLBACK}
    first = sandbox.oauth("authorization_code", **exchange).json()
    assert first["open_id"] == sandbox.sandbox.world.store_of("S022").open_id
    assert sandbox.user_info(first["access_token"]).status_code == 200
    assert sandbox.refresh(first["refresh_token"]).status_code == 200
    assert sandbox.oauth("authorization_code", **exchange).json()["error"] == "invalid_grant"


def test_a_cancelled_or_empty_consent_comes_back_without_a_code(sandbox: SandboxServer) -> None:
    ways: tuple[dict[str, Any], ...] = ({"decision": "deny"}, {"grant": []})
    for form in ways:
        back = _back(_decide(sandbox, _query(sandbox), **form))
        assert (back["error"], back["state"]) == ("access_denied", "a state & more")
        assert "code" not in back


def test_only_what_was_asked_and_ticked_is_granted(sandbox: SandboxServer) -> None:
    query = _query(sandbox, scope="user.info.basic,user.info.stats")
    back = _back(_decide(sandbox, query, grant=["user.info.stats", "video.list"]))
    assert back["scopes"] == "user.info.stats"
    answer = sandbox.oauth("authorization_code", code=back["code"], redirect_uri=CALLBACK)
    assert answer.json()["scope"] == "user.info.stats"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"client_key": "another"}, "client_key"),
        ({"client_key": None}, "client_key"),
        ({"response_type": "token"}, "response_type"),
        ({"redirect_uri": "connect.example.com/callback"}, "redirect_uri"),
        ({"redirect_uri": f"{CALLBACK}?a=1"}, "redirect_uri"),
        ({"redirect_uri": f"{CALLBACK}#a"}, "redirect_uri"),
        ({"scope": f"{FULL_SCOPE},video.publish"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"code_challenge": CHALLENGE}, "code_challenge"),
        ({"code_challenge": "no-hex", "code_challenge_method": "S256"}, "code_challenge"),
    ],
)
def test_a_bad_request_ends_on_the_page(
    sandbox: SandboxServer, changes: dict[str, str | None], says: str
) -> None:
    query = _query(sandbox, **changes)
    url = f"{sandbox.url}/v2/auth/authorize/?{urlencode(query)}"
    shown = requests.get(url, timeout=30)
    decided = _decide(sandbox, query)
    for response in (shown, decided):
        assert response.status_code == 400
        assert says in response.text
        assert "Location" not in response.headers


def test_only_registered_addresses_are_sent_back_to() -> None:
    other = "https://connect.example.com/callback/"
    with running_sandbox(redirect_uris=f"https://a.example/x, {CALLBACK}") as sandbox:
        assert _decide(sandbox, _query(sandbox)).status_code == 302
        assert _decide(sandbox, _query(sandbox, redirect_uri=other)).status_code == 400


@pytest.mark.parametrize(
    ("verifier", "error"),
    [(VERIFIER, None), (VERIFIER[:-1], "invalid_request"), (None, "invalid_request")],
)
def test_pkce_is_hex_and_checked(
    sandbox: SandboxServer, verifier: str | None, error: str | None
) -> None:
    query = _query(sandbox, code_challenge=CHALLENGE, code_challenge_method="S256")
    code = _back(_decide(sandbox, query))["code"]
    sent = {"code_verifier": verifier} if verifier else {}
    answer = sandbox.oauth("authorization_code", code=code, redirect_uri=CALLBACK, **sent).json()
    assert answer.get("error") == error


def test_an_account_that_never_consented_is_no_store_until_it_does(sandbox: SandboxServer) -> None:
    codes = [store["store_code"] for store in sandbox.admin("GET", "/stores")]
    assert "S025" not in codes
    assert _decide(sandbox, _query(sandbox), account="S025").status_code == 302
    assert _decide(sandbox, _query(sandbox), account="S026").status_code == 400


def test_authlib_runs_its_standard_flow_and_refreshes_by_itself(sandbox: SandboxServer) -> None:
    tokens: list[dict[str, Any]] = []
    session = OAuth2Session(
        sandbox.client_key,
        sandbox.client_secret,
        scope=FULL_SCOPE,
        redirect_uri=CALLBACK,
        token_endpoint=f"{sandbox.url}/v2/oauth/token/",
        token_endpoint_auth_method="client_secret_post",
        update_token=lambda token, **_: tokens.append(token),
    )
    key = urlencode({"client_key": sandbox.client_key})  # TikTok's name for client_id

    def with_key(url: str, headers: Any, body: str) -> tuple[str, Any, str]:
        return url, {**headers, **FORM}, f"{body}&{key}"

    session.register_compliance_hook("refresh_token_request", with_key)
    url, state = session.create_authorization_url(
        f"{sandbox.url}/v2/auth/authorize/",
        client_key=sandbox.client_key,
        code_challenge=CHALLENGE,
        code_challenge_method="S256",
    )
    page = requests.get(url, timeout=30)
    assert page.status_code == 200
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    where = _decide(sandbox, query, account="S023").headers["Location"]

    first = session.fetch_token(
        authorization_response=where,
        state=state,
        headers=FORM,
        client_key=sandbox.client_key,
        code_verifier=VERIFIER,
    )
    fields = {"fields": "open_id,display_name"}
    user = session.get(f"{sandbox.url}/v2/user/info/", params=fields, timeout=30).json()
    assert user["data"]["user"]["open_id"] == first["open_id"]

    session.token = {**session.token, "expires_at": 1}  # Authlib refreshes before the next call
    again = session.get(f"{sandbox.url}/v2/user/info/", params=fields, timeout=30).json()
    assert again["data"]["user"] == user["data"]["user"]
    (second,) = tokens
    assert second["refresh_token"] != first["refresh_token"]
    assert sandbox.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_webhook_is_signed_and_ends_the_grant(sandbox: SandboxServer) -> None:
    heard: list[tuple[str, bytes]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            heard.append((self.headers["TikTok-Signature"], self.rfile.read(length)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = Thread(target=server.handle_request, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        answer = sandbox.admin("POST", "/stores/S001/webhook", json={"url": url, "reason": 4})
        thread.join(30)
    assert answer == {"status": 204}
    ((header, body),) = heard
    timestamp = int(header.partition(",")[0].removeprefix("t="))
    assert header == signature(sandbox.client_secret, body, timestamp)
    assert b'"event": "authorization.removed"' in body
    assert b'{\\"reason\\": 4}' in body
    assert sandbox.user_info(sandbox.row("S001")["access_token"]).status_code == 401


@pytest.mark.parametrize("url", [None, "https://example.com/hook", "ftp://x"])
def test_a_webhook_leaves_this_machine_never(sandbox: SandboxServer, url: str | None) -> None:
    with pytest.raises(requests.HTTPError, match="400"):
        sandbox.admin("POST", "/stores/S001/webhook", json={"url": url})
