"""Does looking at a link change nothing, and does HEAD say what GET would?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from include.connect.settings import HEALTH_PATH, WEBHOOK_PATH
from tests.connect_server import Browser, ConnectServer, running_connect
from tests.database.bench import Bench

TABLES = ("connect_links", "connect_attempts", "store_tokens", "store_audit", "webhook_events")


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel')")
    with running_connect(bench) as server:
        yield server


def ask(browser: Browser, method: str, address: str, **params: str) -> requests.Response:
    return browser.http.request(method, address, params=params, timeout=30, allow_redirects=False)


def same_as_get(browser: Browser, address: str, **params: str) -> requests.Response:
    """HEAD, then GET; GET's answer."""
    head, get = (ask(browser, method, address, **params) for method in ("HEAD", "GET"))
    assert head.content == b""
    assert head.status_code == get.status_code
    own = {"date", "set-cookie"}  # a cookie is another one each time
    said = [
        {name.lower(): value for name, value in answer.headers.items() if name.lower() not in own}
        for answer in (head, get)
    ]
    assert said[0] == said[1]
    assert ("Set-Cookie" in head.headers) is ("Set-Cookie" in get.headers)
    return get


def test_head_says_what_get_would_on_every_page(app: ConnectServer) -> None:
    link = app.link("N1")
    found = [
        same_as_get(Browser(app), address).status_code
        for address in (
            link,
            link + "x",
            f"{app.url}/static/connect.css",
            f"{app.url}/static/nothing.css",
            f"{app.url}/nothing",
            f"{app.url}/favicon.ico",
            app.url + HEALTH_PATH,
            f"{app.url}/callback",
            f"{app.url}/attempts/no-uuid",
            f"{app.url}/attempts/00000000-0000-0000-0000-000000000000",
            app.url + WEBHOOK_PATH,
        )
    ]
    assert found == [200, 404, 200, 404, 404, 204, 200, 400, 400, 404, 405]
    for column, says in (("expires_at", "has expired"), ("used_at", "already used")):
        app.bench.conn.execute(f"UPDATE connect_links SET {column} = now()")  # noqa: S608 - our own columns
        gone = same_as_get(Browser(app), link)
        assert gone.status_code == 410
        assert says in gone.text


def test_head_on_the_way_back_uses_nothing_up(app: ConnectServer) -> None:
    browser, stranger = Browser(app), Browser(app)
    link = app.link("N1")
    stranger.get(link)
    back = browser.consent(browser.leave(link))
    before = app.bench.dump(TABLES)
    callback = f"{app.url}/callback"
    for _ in range(2):
        head = ask(browser, "HEAD", callback, **back)
        assert head.status_code == 303
    assert ask(stranger, "HEAD", callback, **back).status_code == 400
    assert ask(browser, "HEAD", callback, **{**back, "state": "forged"}).status_code == 400
    assert app.bench.dump(TABLES) == before
    assert app.bench.calls().get("oauth_token", 0) == 0
    get = ask(browser, "GET", callback, **back)
    assert get.headers["Location"] == head.headers["Location"]
    same_as_get(browser, app.url + get.headers["Location"])
    assert app.bench.calls()["oauth_token"] == 1


@pytest.mark.parametrize("method", ["HEAD", "GET", "OPTIONS"])
def test_a_gateway_that_looks_at_a_link_changes_nothing(app: ConnectServer, method: str) -> None:
    link = app.link("N1")
    before = app.bench.dump(TABLES)
    for _ in range(5):
        assert ask(Browser(app), method, link).status_code in {200, 204}
    assert app.bench.dump(TABLES) == before
    browser = Browser(app)
    assert browser.consent(browser.leave(link))["code"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/c/token", "GET, HEAD, OPTIONS, POST"),
        ("/attempts/00000000-0000-0000-0000-000000000000", "GET, HEAD, OPTIONS, POST"),
        ("/callback", "GET, HEAD, OPTIONS"),
        ("/static/connect.css", "GET, HEAD, OPTIONS"),
        (HEALTH_PATH, "GET, HEAD, OPTIONS"),
        (WEBHOOK_PATH, "OPTIONS, POST"),
    ],
)
def test_other_methods_are_refused_with_those_that_exist(
    app: ConnectServer, path: str, allowed: str
) -> None:
    asked = [(method, ask(Browser(app), method, app.url + path)) for method in ("OPTIONS", "PUT")]
    assert [(answer.status_code, answer.headers["Allow"]) for _, answer in asked] == [
        (204, allowed),
        (405, allowed),
    ]
    assert all(answer.headers["Referrer-Policy"] == "no-referrer" for _, answer in asked)
    assert ask(Browser(app), "OPTIONS", f"{app.url}/nothing").status_code == 404
