"""Does the app keep its promises outside the flow: headers, limits, webhooks, start and log?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from include.connect.__main__ import main
from include.connect.settings import WEBHOOK_PATH
from include.local.ports import choose_port
from include.sandbox.endpoints.pipeline import Call
from include.sandbox.wire.envelopes import SandboxAnswer
from include.tiktok_sync.store_db.connect_role import ensure_connect_role
from include.tiktok_sync.tiktok.models import KNOWN_SCOPES
from include.tiktok_sync.tokens.scopes import split_scope
from tests.connect_server import (
    Browser,
    ConnectServer,
    connect_env,
    connect_role,
    running_connect,
)
from tests.database.bench import Bench
from tests.database.faults import Edit

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', '<b>Kiel</b>')")
    with running_connect(bench) as server:
        yield server


def test_every_answer_has_the_headers_and_no_page_runs_or_loads_anything(
    app: ConnectServer,
) -> None:
    link = app.link("N1")
    answers = [
        app.http.get(link, timeout=30),
        app.http.post(link, data={}, timeout=30),
        app.http.get(f"{app.url}/nothing", timeout=30),
        app.http.get(f"{app.url}/static/connect.css", timeout=30),
        app.http.get(f"{app.url}/attempts/no-uuid", timeout=30),
        app.http.post(app.url + WEBHOOK_PATH, data=b"{}", timeout=30),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 404, 200, 400, 401]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        # No policy of ours between a manager and wherever TikTok redirects to.
        assert ("form-action 'self'" in policy) is (answer is not answers[0])
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "server" not in answer.headers
        assert "<script" not in answer.text
        assert "style=" not in answer.text
    assert "&lt;b&gt;Kiel&lt;/b&gt;" in answers[0].text
    cookie = answers[0].headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_over_tls_the_cookie_is_the_hosts_own(bench: Bench) -> None:
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel')")
    with running_connect(bench, CONNECT_BASE_URL="https://connect.example.com") as app:
        path = app.link("N1").removeprefix("https://connect.example.com")
        port = app.settings.port
        answer = requests.get(f"http://127.0.0.1:{port}{path}", timeout=30)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-connect=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def test_one_address_is_slowed_down_and_others_are_not(app: ConnectServer) -> None:
    def ask(address: str) -> requests.Response:
        headers = {"X-Forwarded-For": address}
        return app.http.get(f"{app.url}/c/guess", headers=headers, timeout=30)

    codes = [ask("198.51.100.7").status_code for _ in range(61)]
    assert codes == [404] * 60 + [429]
    refused = ask("198.51.100.7")
    assert "Too many requests" in refused.text
    assert refused.headers["Retry-After"] == "60"
    assert refused.headers["Referrer-Policy"] == "no-referrer"
    assert ask("198.51.100.8").status_code == 404
    assert ask("2001:db8::1").status_code == 404


def test_a_huge_body_is_refused_before_it_is_read_whole(app: ConnectServer) -> None:
    answer = app.http.post(app.url + WEBHOOK_PATH, data=b"x" * 40_000, timeout=30)
    assert answer.status_code == 413


class Unavailable:
    """TikTok in trouble: 503 with a page of HTML, at one endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        if call.endpoint != self._endpoint:
            return proceed()
        return SandboxAnswer(503, "unreadable", {"neither": "tokens nor an error"})


def _connect(app: ConnectServer) -> str:
    """The page after a consent."""
    browser = Browser(app)
    back = browser.consent(browser.leave(app.link("N1")))
    return browser.get(browser.get("/callback", **back).headers["Location"]).text


def test_trouble_at_tiktok_is_a_page_with_a_next_step_and_connects_nothing(
    app: ConnectServer,
) -> None:
    app.bench.sandbox.faults.plan = Unavailable("oauth_token")
    page = _connect(app)
    assert "TikTok is not answering" in page
    assert "Try again" in page
    assert app.bench.row("SELECT outcome FROM connect_attempts")["outcome"] == "unavailable"
    assert app.bench.rows("SELECT FROM store_tokens") == []


@pytest.mark.parametrize(
    "odd",
    [
        {"expires_in": 10**15, "refresh_expires_in": 2**63 - 1},
        {"expires_in": -(10**15), "refresh_expires_in": 0},
        {"expires_in": "soon", "refresh_expires_in": [1]},
        {"scope": sorted(KNOWN_SCOPES)},
        {"scope": ",".join(sorted(KNOWN_SCOPES)) + ",\x00"},
        {"open_id": ["x"]},
        {"open_id": 12345},
        {"open_id": "\x00"},
    ],
)
def test_an_odd_value_next_to_the_tokens_does_not_cost_the_consent(
    app: ConnectServer, odd: dict[str, object]
) -> None:
    app.bench.sandbox.faults.plan = Edit("oauth_token", lambda body: body.update(odd))
    assert "Is this the account of" in _connect(app)
    found = app.bench.row("SELECT * FROM connect_attempts")
    assert (found["outcome"], split_scope(found["scope"])) == (None, KNOWN_SCOPES)
    assert found["open_id"] == app.bench.sandbox.sandbox.world.store_of("S021").open_id
    assert (found["refresh_expires_at"] is None) is ("refresh_expires_in" in odd)


@pytest.mark.parametrize("scope", [7, {"a": "b"}, "\x00", None])
def test_tokens_whose_permissions_cannot_be_read_are_given_back(
    app: ConnectServer, scope: object
) -> None:
    app.bench.sandbox.faults.plan = Edit("oauth_token", lambda body: body.update(scope=scope))
    assert "left out what we need to see which account it is" in _connect(app)
    assert app.bench.row("SELECT outcome FROM connect_attempts")["outcome"] == "denied"
    assert app.bench.calls()["oauth_revoke"] == 1


def test_our_wrong_secret_is_not_the_managers_fault(bench: Bench) -> None:
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel')")
    with running_connect(bench, TIKTOK_CLIENT_SECRET="no-longer-ours") as app:
        page = _connect(app)
    assert "TikTok did not give us access" in page
    assert "credentials" not in page
    assert bench.row("SELECT outcome FROM connect_attempts")["outcome"] == "failed"


@pytest.mark.usefixtures("no_waits")
def test_an_account_without_a_name_is_connected_only_if_asked(app: ConnectServer) -> None:
    app.bench.sandbox.faults.plan = Unavailable("user_info")
    assert "whose name TikTok did not tell" in _connect(app)
    assert app.bench.rows("SELECT FROM store_tokens") == []


def test_the_store_that_had_the_account_is_connected_without_a_question(
    app: ConnectServer,
) -> None:
    app.bench.import_stores("S001")
    app.bench.conn.execute("UPDATE store_tokens SET status = 'needs_consent'")
    browser = Browser(app)
    back = browser.consent(browser.leave(app.link("S001")), account="S001")
    page = browser.get(browser.get("/callback", **back).headers["Location"])
    assert "Done. Thank you!" in page.text
    assert app.bench.row("SELECT status, status_reason FROM store_tokens") == {
        "status": "active",
        "status_reason": None,
    }
    app.bench.sync("sync_user_daily", "S001")
    assert app.bench.log_row("S001")["status"] == "success"


def test_a_bug_is_a_page_that_shows_nothing_of_it(app: ConnectServer) -> None:
    link = app.link("N1")
    app.bench.conn.execute("ALTER FUNCTION connect_link(bytea) RENAME TO gone")
    answer = app.http.get(link, timeout=30)
    assert answer.status_code == 500
    assert "Something is wrong on our side" in answer.text
    assert "connect_link" not in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def _start(env: dict[str, str]) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CONNECT_")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "include.connect"],
        cwd=ROOT,
        env={**clean, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_starts_serves_says_nothing_secret_and_stops(bench: Bench) -> None:
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel')")
    with connect_role(bench) as db_url:
        env = connect_env(bench, db_url, choose_port(()))
        process = _start(env)
        try:
            assert process.stderr is not None
            assert env["CONNECT_BASE_URL"] in process.stderr.readline()
            deadline = time.monotonic() + 60
            while True:
                try:
                    health = requests.get(f"{env['CONNECT_BASE_URL']}/health", timeout=30)
                    break
                except requests.ConnectionError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            assert health.text == "ok\n"
            refused = f"{env['CONNECT_BASE_URL']}/callback?state=secret-state&code=secret-code"
            requests.get(refused, timeout=30, cookies={"connect": "x"})
        finally:
            process.terminate()
            out, err = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM  # raised again once all is closed
        assert out == ""
        assert "secret-" not in err


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"CONNECT_SECRET": ""}, 2, "CONNECT_SECRET is not set"),
        ({"CONNECT_DB_URL": "postgresql://a:b@127.0.0.1:1/x"}, 1, "Check CONNECT_DB_URL, and"),
        ({}, 2, "connect-role"),  # the product's own login
        ({"CONNECT_DB_URL": "empty"}, 2, "schema is empty"),
    ],
)
def test_it_refuses_to_start_and_says_why(
    bench: Bench,
    empty_db_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    status: int,
    says: str,
) -> None:
    for name, value in {**connect_env(bench, bench.db_url, 1), **change}.items():
        monkeypatch.setenv(name, empty_db_url if value == "empty" else value)
    assert main() == status
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_the_role_is_made_once_and_its_rights_are_brought_up_to_date(bench: Bench) -> None:
    with connect_role(bench) as db_url:
        role = db_url.partition("://")[2].partition(":")[0]
        first = ensure_connect_role(bench.conn, role=role)
        assert ensure_connect_role(bench.conn, role=role) == first
        assert len(first) == 13
