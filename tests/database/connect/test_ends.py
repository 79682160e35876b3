"""Does what is over stay over: links of a store let go, attempts that connected nothing?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.tiktok_sync.stores import leaving
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.connect_server import Browser, ConnectServer, form_token, running_connect
from tests.database.bench import Bench

IDENTITY = ("open_id", "union_id", "username", "display_name")


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel')")
    with running_connect(bench) as server:
        yield server


def _disconnect(life: Lifecycle) -> None:
    leaving.disconnect("N1", life, source=None, oauth=None)


def paused_and_back(life: Lifecycle) -> None:
    life.pause("N1", None)
    life.resume("N1")


def let_go_and_back(life: Lifecycle) -> None:
    _disconnect(life)
    life.resume("N1")


def paused_let_go_and_back(life: Lifecycle) -> None:
    life.pause("N1", None)
    let_go_and_back(life)


def erased_and_put_in_again(life: Lifecycle) -> None:
    _disconnect(life)
    leaving.erase("N1", life)
    life.add("N1", "Kiel")


def switched_off_by_hand(life: Lifecycle) -> None:
    life.conn.execute("UPDATE stores SET is_active = false")


ENDS = [
    _disconnect,
    paused_and_back,
    let_go_and_back,
    paused_let_go_and_back,
    erased_and_put_in_again,
    switched_off_by_hand,
]
ends = pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.strip("_"))
End = Callable[[Lifecycle], None]


def nothing_connected(app: ConnectServer) -> None:
    assert app.bench.rows("SELECT FROM store_tokens") == []
    actions = {row["action"] for row in app.bench.rows("SELECT action FROM store_audit")}
    assert "connect" not in actions


@ends
def test_a_link_from_before_opens_nothing(app: ConnectServer, end: End) -> None:
    link, browser = app.link("N1"), Browser(app)
    token = form_token(browser.get(link))
    end(Lifecycle(app.bench.conn, "anna"))
    for answer in (browser.get(link), browser.send(link, form_token=token)):
        assert answer.status_code in {404, 410}
        assert "form_token" not in answer.text
    assert app.bench.rows("SELECT FROM connect_attempts") == []


@ends
def test_a_manager_who_is_at_tiktok_meanwhile_connects_nothing(
    app: ConnectServer, end: End
) -> None:
    browser = Browser(app)
    back = browser.consent(browser.leave(app.link("N1")))
    end(Lifecycle(app.bench.conn, "anna"))
    assert browser.get("/callback", **back).status_code == 400
    assert app.bench.calls().get("oauth_token", 0) == 0
    nothing_connected(app)


@ends
def test_a_manager_who_is_asked_meanwhile_connects_nothing_and_learns_why(
    app: ConnectServer, end: End
) -> None:
    browser = Browser(app)
    where = browser.get("/callback", **browser.consent(browser.leave(app.link("N1"))))
    page = app.url + where.headers["Location"]
    answer = {"form_token": form_token(browser.get(page)), "choice": "connect"}
    end(Lifecycle(app.bench.conn, "anna"))
    browser.send(page, **answer)
    shown = browser.get(page)
    assert shown.status_code in {404, 410}
    assert "Is this the account" not in shown.text
    nothing_connected(app)


def test_a_store_that_only_needs_consent_keeps_its_link(app: ConnectServer) -> None:
    """The link is how it is connected again."""
    app.bench.import_stores("S001")
    link = app.link("S001")
    account = app.bench.row("SELECT open_id FROM store_tokens")["open_id"]
    call = "SELECT connect_webhook('x', 'authorization.removed', %s, 1, now() + '1 min', 'm')"
    assert app.bench.row(call, account) == {"connect_webhook": "needs_consent"}
    assert Browser(app).get(link).status_code == 200


def test_a_link_made_after_the_store_came_back_works(app: ConnectServer) -> None:
    app.link("N1")
    let_go_and_back(Lifecycle(app.bench.conn, "anna"))
    assert Browser(app).get(app.link("N1")).status_code == 200


def account_of(app: ConnectServer) -> dict[str, Any]:
    attempt = app.bench.row("SELECT * FROM connect_attempts")
    return {name: attempt[name] for name in (*IDENTITY, "access_token", "refresh_token")}


NOBODY = dict.fromkeys((*IDENTITY, "access_token", "refresh_token"))


def held(app: ConnectServer, browser: Browser, **link: str) -> str:
    """Back from TikTok with an account; the attempt's page."""
    back = browser.consent(browser.leave(app.link("N1", **link)))
    return browser.get("/callback", **back).headers["Location"]


@pytest.mark.parametrize("end", [lambda life: life.pause("N1", None), let_go_and_back])
def test_what_an_unanswered_question_holds_goes_as_its_store_does(
    app: ConnectServer, end: End
) -> None:
    browser = Browser(app)
    page = held(app, browser)
    assert None not in (account_of(app)["access_token"], account_of(app)["refresh_token"])
    end(Lifecycle(app.bench.conn, "anna"))
    assert account_of(app) == NOBODY
    shown = browser.get(page)
    assert (shown.status_code, "A newer link" in shown.text) == (410, True)


def test_what_an_unanswered_question_holds_goes_with_its_link(app: ConnectServer) -> None:
    held(app, Browser(app))
    app.link("N1")
    assert account_of(app) == NOBODY


def test_a_declined_account_is_forgotten(app: ConnectServer) -> None:
    browser = Browser(app)
    page = held(app, browser)
    assert account_of(app)["username"] is not None
    answer = {"form_token": form_token(browser.get(page)), "choice": "decline"}
    browser.send(app.url + page, **answer)
    assert account_of(app) == NOBODY


def test_a_wrong_account_is_forgotten_here_and_named_to_its_own_browser(
    app: ConnectServer,
) -> None:
    browser = Browser(app)
    page = held(app, browser, expected_account="another.one")
    profile = app.bench.sandbox.sandbox.world.store_of("S021").profile
    assert account_of(app) == NOBODY
    assert app.bench.row("SELECT outcome FROM connect_attempts") == {"outcome": "wrong_account"}
    for _ in range(2):
        shown = browser.get(page).text
        assert "This is another account" in shown
        assert f"@{profile['username']}" in shown
    names = next(cookie for cookie in browser.http.cookies if cookie.name == "connect-names")
    assert (names.path, names.has_nonstandard_attr("HttpOnly")) == (page, True)
    browser.http.cookies.clear(names.domain, names.path, names.name)
    later = browser.get(page).text
    assert "This is another account" in later
    assert profile["username"] not in later


def test_an_account_of_another_store_is_forgotten(app: ConnectServer) -> None:
    app.bench.import_stores("S001")
    browser = Browser(app)
    back = browser.consent(browser.leave(app.link("N1")), account="S001")
    browser.get("/callback", **back)
    assert app.bench.row("SELECT outcome FROM connect_attempts") == {"outcome": "taken"}
    assert account_of(app) == NOBODY


def test_an_account_that_nobody_answered_for_is_forgotten(app: ConnectServer) -> None:
    held(app, Browser(app))
    app.bench.conn.execute("UPDATE connect_attempts SET expires_at = now()")
    with app.as_role() as conn:
        assert conn.execute("SELECT connect_sweep()").fetchone() == (1,)
    assert account_of(app) == NOBODY


def test_a_connected_account_stays_known(app: ConnectServer) -> None:
    """It says which account the store had, when the manager connects it again."""
    browser = Browser(app)
    page = held(app, browser)
    answer = {"form_token": form_token(browser.get(page)), "choice": "connect"}
    browser.send(app.url + page, **answer)
    known = app.bench.row("SELECT * FROM connect_known_account('N1')")
    assert known["username"] == account_of(app)["username"] is not None
