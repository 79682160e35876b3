"""Codes, tokens, rotation, revocation, and the consent page of the Accounts API app."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from include.sandbox.admin.webhook import signature
from include.sandbox.business_settings import BUSINESS_SCOPES
from tests.sandbox_server import BUSINESS_APP, running_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox_server import SandboxServer

CALLBACK = "https://connect.example.com/business/callback/"
SCOPE = ",".join(BUSINESS_SCOPES)
YEAR = 31_536_000


def _code(sandbox: SandboxServer, store: str = "S001") -> str:
    found: str = sandbox.admin("POST", f"/stores/{store}/code?api=business", json={})["code"]
    return found


def _exchange(sandbox: SandboxServer, code: str, **body: str) -> dict[str, Any]:
    sent = {
        "grant_type": "authorization_code",
        "auth_code": code,
        "redirect_uri": CALLBACK,
        **body,
    }
    return sandbox.business_oauth("oauth2/token/", **sent)


def _refresh(sandbox: SandboxServer, token: str, **body: str) -> dict[str, Any]:
    sent = {"grant_type": "refresh_token", "refresh_token": token, **body}
    return sandbox.business_oauth("oauth2/refresh_token/", **sent)


def test_a_code_works_once_and_for_ten_minutes(business: SandboxServer) -> None:
    code = _code(business)
    data = _exchange(business, code)["data"]
    assert data["open_id"] == business.row("S001")["business_open_id"]
    assert data["open_id"] != business.row("S001")["open_id"]
    assert (data["expires_in"], data["token_type"]) == (86_400, "Bearer")
    assert data["refresh_token_expires_in"] == YEAR
    assert set(data["scope"].split(",")) == set(BUSINESS_SCOPES)
    again = _exchange(business, code)
    assert (again["code"], again["message"]) == (40110, "Authorization code is expired")
    kept = business.sandbox.business_tokens.find_code(_code(business))
    assert kept is not None
    assert 590 < kept.expires_at - time.time() <= 600


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"auth_code": "nonsense"}, 40110),
        ({"auth_code": ""}, 40002),
        ({"client_secret": "wrong"}, 40101),
        ({"grant_type": "refresh_token"}, 40108),
    ],
)
def test_bad_exchanges(business: SandboxServer, body: dict[str, str], code: int) -> None:
    assert _exchange(business, _code(business), **body)["code"] == code


def test_a_form_is_no_json(business: SandboxServer) -> None:
    url = f"{business.url}/open_api/v1.3/tt_user/oauth2/token/"
    assert requests.post(url, data={"auth_code": "x"}, timeout=60).json()["code"] == 40002


def test_refreshes_rotate_now_and_then_and_never_move_the_deadline(
    business: SandboxServer,
) -> None:
    token = business.row("S001")["business_refresh_token"]
    ends = business.row("S001")["business_refresh_expires_at"]
    seen = []
    for _ in range(4):
        answer = _refresh(business, token)["data"]
        seen.append(answer["refresh_token"] != token)
        if seen[-1]:
            assert _refresh(business, token)["code"] == 40107
        token = answer["refresh_token"]
        assert business.business("get/", token=answer["access_token"]).json()["code"] == 0
    assert set(seen) == {True, False}
    assert business.row("S001")["business_refresh_expires_at"] == ends
    assert answer["refresh_token_expires_in"] < YEAR
    assert _refresh(business, "rft.nonsense")["code"] == 40107
    assert _refresh(business, business.row("S001")["refresh_token"])["code"] == 40107
    switched = {"business": {"unknown_refresh_token": "40002"}}
    business.admin("PATCH", "/settings", json=switched)
    assert _refresh(business, "rft.nonsense")["code"] == 40002


def test_token_info_and_revocation(business: SandboxServer) -> None:
    row = business.row("S001")
    token = row["business_access_token"]
    info = business.business_oauth("token_info/get/", access_token=token)["data"]
    assert sorted(info.pop("scope").split(",")) == sorted(BUSINESS_SCOPES)
    assert info == {"app_id": BUSINESS_APP["app_id"], "creator_id": row["business_open_id"]}
    other = business.business_oauth("token_info/get/", access_token=token, app_id="1")
    assert other["code"] == 40113
    revoked = business.business_oauth("oauth2/revoke/", access_token=token)
    assert (revoked["code"], revoked["data"]) == (0, {})
    for path in ("oauth2/revoke/", "token_info/get/"):
        assert business.business_oauth(path, access_token=token)["code"] == 40105
    assert _refresh(business, row["business_refresh_token"])["code"] == 40107
    assert business.refresh(row["refresh_token"]).status_code == 200


def _query(**changes: str | None) -> dict[str, str]:
    query: dict[str, str | None] = {
        "client_key": BUSINESS_APP["app_id"],
        "scope": SCOPE,
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "state": "a state",
        **changes,
    }
    return {name: value for name, value in query.items() if value is not None}


def _back(response: requests.Response) -> dict[str, str]:
    assert response.status_code == 302, response.text
    where = response.headers["Location"]
    assert where.startswith(f"{CALLBACK}?")
    return dict(parse_qsl(urlsplit(where).query))


class _Browser:
    """One browser, with its cookies."""

    def __init__(self, sandbox: SandboxServer) -> None:
        self._url = f"{sandbox.url}/v2/auth/authorize/"
        self._session = requests.Session()

    def show(self, **changes: str | None) -> requests.Response:
        """Opens the page."""
        return self._session.get(
            self._url, params=_query(**changes), timeout=60, allow_redirects=False
        )

    def decide(self, account: str = "S001", **form: Any) -> requests.Response:
        """Sends the form."""
        data = {
            **_query(),
            "account": account,
            "decision": "allow",
            "grant": list(BUSINESS_SCOPES),
            **form,
        }
        return self._session.post(self._url, data=data, timeout=60, allow_redirects=False)


def test_a_consent_comes_back_with_a_code(business: SandboxServer) -> None:
    shown = _Browser(business).show(disable_auto_auth="1")
    assert all(f'value="{scope}"' in shown.text for scope in BUSINESS_SCOPES)
    assert "width=device-width" in shown.text
    ticked = [scope for scope in BUSINESS_SCOPES if scope != "user.insights"]
    # An account that has no grant at either API yet, and not the one that somebody expects.
    back = _back(_Browser(business).decide("S022", grant=ticked))
    assert back["state"] == "a state"
    assert back["scopes"] == ",".join(ticked)
    data = _exchange(business, back["code"])["data"]
    assert set(data["scope"].split(",")) == set(ticked)
    expected = business.sandbox.business_tokens.app.open_id(business.sandbox.world.store(22), 1)
    assert data["open_id"] == expected


def test_a_code_is_for_its_redirect_address(business: SandboxServer) -> None:
    code = _back(_Browser(business).decide())["code"]
    assert _exchange(business, code, redirect_uri=CALLBACK[:-1])["code"] == 40002
    assert _exchange(business, code)["code"] == 0


def test_an_account_that_has_granted_it_all_is_sent_back_at_once(business: SandboxServer) -> None:
    browser = _Browser(business)
    assert browser.show().status_code == 200
    _back(browser.decide("S003"))
    data = _exchange(business, _back(browser.show())["code"])["data"]
    assert data["open_id"] == business.row("S003")["business_open_id"]
    asked = browser.show(disable_auto_auth="1")
    assert asked.status_code == 200
    assert 'value="S003"' in asked.text
    business.admin("POST", "/stores/S003/grant?api=business", json={"scope": "video.list"})
    assert browser.show().status_code == 200
    assert "code" in _back(browser.show(scope="video.list"))


def test_refused_consents_come_back(business: SandboxServer) -> None:
    browser = _Browser(business)
    assert _back(browser.decide(decision="deny"))["error"] == "access_denied"
    back = _back(browser.show(scope=f"{SCOPE},video.publish"))
    assert back == {"error": "invalid_scope", "error_type": "scope", "state": "a state"}


@pytest.mark.parametrize(
    "address",
    [
        CALLBACK[:-1],
        "https://connect.example.com:8443/business/callback/",
        "http://connect.example.com/business/callback/",
        f"{CALLBACK}?a=1",
        f"{CALLBACK}#a",
        "/business/callback/",
    ],
)
def test_addresses_that_tiktok_does_not_register(business: SandboxServer, address: str) -> None:
    shown = _Browser(business).show(redirect_uri=address)
    assert shown.status_code == 400
    assert "redirect_uri" in shown.text


def test_registered_addresses_are_compared_exactly() -> None:
    with running_sandbox(business={"redirect_uris": CALLBACK}) as sandbox:
        other = "https://connect.example.com/business/callback/2/"
        assert _Browser(sandbox).show().status_code == 200
        assert _Browser(sandbox).show(redirect_uri=other).status_code == 400
        # The Display app has its own addresses.
        display = {"client_key": sandbox.client_key, "scope": "video.list"}
        assert _Browser(sandbox).show(**display, redirect_uri=other).status_code == 200


def test_a_webhook_is_signed_with_the_apps_own_secret(business: SandboxServer) -> None:
    received: list[tuple[bytes, str]] = []

    class _Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((body, self.headers["TikTok-Signature"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), _Hook) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        late = {"url": f"http://127.0.0.1:{server.server_port}/", "create_time": 1_700_000_000}
        for _ in range(2):  # at least once, TikTok says
            business.admin("POST", "/stores/S001/webhook?api=business", json=late)
        server.shutdown()
    (body, sent), (again, _) = received
    assert body == again
    moment = int(sent.partition("t=")[2].partition(",")[0])
    assert sent == signature(BUSINESS_APP["secret"], body, moment)
    event = json.loads(body)
    assert event["client_key"] == BUSINESS_APP["app_id"]
    assert event["user_openid"] == business.row("S001")["business_open_id"]
    assert (event["event"], event["create_time"]) == ("authorization.removed", 1_700_000_000)
    assert business.business("get/").json()["code"] == 40105
    assert business.user_info(business.row("S001")["access_token"]).status_code == 200


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    options: dict[str, Any] = {"state": tmp_path / "sandbox.sqlite3", "stores": 6, "business": {}}
    with running_sandbox(**options) as sandbox:
        row, truth = sandbox.row("S002"), sandbox.admin("GET", "/business/truth")
        day = str(sandbox.sandbox.settings.today)
        assert row["business_access_token"] in json.dumps(sandbox.admin("GET", "/secrets"))
        assert BUSINESS_APP["secret"] not in sandbox.admin("GET", "/stores.csv")
    with running_sandbox(**options, date=sandbox.sandbox.settings.today) as again:
        assert again.row("S002") == row
        assert again.admin("GET", "/business/truth") == truth
        settings = again.admin("GET", "/settings")
        assert settings["date"] == day
        assert "secret" not in settings["business"]
