"""Is what is sent or opened a second time answered with how it ended, to the same browser alone?"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Request, expect

from include.sandbox.endpoints.pipeline import Call
from include.sandbox.wire.envelopes import SandboxAnswer
from tests.browser import PHONE, open_page
from tests.connect_server import Browser, ConnectServer, form_token, running_connect
from tests.database.bench import Bench

NOTHING = "Nothing was connected"


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel')")
    with running_connect(bench) as server:
        yield server


def asked(app: ConnectServer, browser: Browser) -> tuple[str, dict[str, str], dict[str, str]]:
    """A manager before the question: its address, a form that answers it, the way back's query."""
    back = browser.consent(browser.leave(app.link("N1")))
    page = app.url + browser.get("/callback", **back).headers["Location"]
    return page, {"form_token": form_token(browser.get(page)), "choice": "connect"}, back


def shown(browser: Browser, answer: requests.Response) -> str:
    """The page that an answer leads to."""
    assert answer.status_code == 303, answer.text
    return browser.get(answer.headers["Location"]).text


def test_every_answer_after_success_shows_success(
    app: ConnectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(app)
    page, form, back = asked(app, browser)
    assert "Done. Thank you!" in shown(browser, browser.send(page, **form))
    before = app.bench.dump()

    def again() -> list[str]:
        return [
            shown(browser, browser.send(page, **form)),
            shown(browser, browser.send(page, **{**form, "choice": "decline"})),
            shown(browser, browser.get("/callback", **back)),
            browser.get(page).text,
        ]

    texts = again()
    # Half a day later, when neither the form nor the state would be taken any more.
    monkeypatch.setattr("include.connect.cookies._FORM_SECONDS", -1)
    monkeypatch.setattr("include.connect.cookies.ATTEMPT_SECONDS", -1)
    texts += again()
    assert all("Done. Thank you!" in text and NOTHING not in text for text in texts)
    assert app.bench.dump() == before
    assert app.bench.calls()["oauth_token"] == 1
    assert app.bench.calls().get("oauth_revoke", 0) == 0


def test_the_links_own_form_sent_again_says_that_it_is_connected(app: ConnectServer) -> None:
    browser, link = Browser(app), app.link("N1")
    leaving = {"form_token": form_token(browser.get(link))}
    page = (
        app.url
        + browser.get("/callback", **browser.consent(browser.leave(link))).headers["Location"]
    )
    browser.send(page, form_token=form_token(browser.get(page)), choice="connect")
    for form in (leaving, {"form_token": "of long ago"}):
        answer = browser.send(link, **form)
        assert answer.status_code == 410
        assert "The TikTok account is connected" in answer.text


def test_another_browser_is_shown_nothing_of_it(app: ConnectServer) -> None:
    browser, stranger, nobody = Browser(app), Browser(app), Browser(app)
    stranger.get(app.link("N1"))
    page, form, back = asked(app, browser)
    browser.send(page, **form)
    for other in (stranger, nobody):
        for answer in (
            other.send(page, **form),
            other.get(page),
            other.get("/callback", **back),
        ):
            assert answer.status_code in {400, 404}
            assert "Done" not in answer.text
            # Whether it is connected is not theirs to know, and not to be denied either.
            assert NOTHING not in answer.text


def test_a_declined_account_stays_declined(app: ConnectServer) -> None:
    browser = Browser(app)
    page, form, back = asked(app, browser)
    decline = {**form, "choice": "decline"}
    for answer in (
        browser.send(page, **decline),
        browser.send(page, **decline),
        browser.send(page, **form),
        browser.get("/callback", **back),
    ):
        assert "this is not the store&#39;s account" in shown(browser, answer)
    assert app.bench.rows("SELECT FROM store_tokens") == []
    assert app.bench.calls()["oauth_revoke"] == 1


@pytest.mark.parametrize(
    ("consent", "says"),
    [
        ({"decision": "deny"}, "You did not allow access"),
        ({"account": "S022"}, "This is another account"),
        ({"account": "S001"}, "belongs to another store"),
    ],
)
def test_the_way_back_taken_twice_shows_the_same_end(
    app: ConnectServer, consent: dict[str, str], says: str
) -> None:
    app.bench.import_stores("S001")
    expected = app.bench.sandbox.sandbox.world.store_of("S021").profile["username"]
    browser = Browser(app)
    back = browser.consent(browser.leave(app.link("N1", expected_account=expected)), **consent)
    for _ in range(3):
        assert says in shown(browser, browser.get("/callback", **back))


def test_a_question_opened_again_can_still_be_answered(app: ConnectServer) -> None:
    browser = Browser(app)
    page, form, back = asked(app, browser)
    assert "Is this the account" in shown(browser, browser.get("/callback", **back))
    assert "Done. Thank you!" in shown(browser, browser.send(page, **form))


class Slow:
    """TikTok that thinks about a code until it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = threading.Event(), threading.Event()

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        if call.endpoint == "oauth_token":
            self.asked.set()
            await asyncio.to_thread(self.let_go.wait, 60)
        return proceed()


def test_a_reload_while_tiktok_is_asked_waits_for_the_answer(app: ConnectServer) -> None:
    slow = Slow()
    app.bench.sandbox.faults.plan = slow
    browser = Browser(app)
    back = browser.consent(browser.leave(app.link("N1")))
    with ThreadPoolExecutor(1) as first:
        sent = first.submit(browser.get, "/callback", **back)
        try:
            assert slow.asked.wait(60)
            second = Browser(app)
            second.http.cookies.update(browser.http.cookies)
            where = second.get("/callback", **back)
            meanwhile = shown(second, where)
        finally:
            slow.let_go.set()
        assert "still asking TikTok" in meanwhile
        assert '<meta http-equiv="refresh" content="2">' in meanwhile
        assert NOTHING not in meanwhile
        assert sent.result(60).headers["Location"] == where.headers["Location"]
    assert "Is this the account" in shown(browser, where)
    assert app.bench.calls()["oauth_token"] == 1


def test_in_chromium_a_second_answer_and_a_reload_show_success(
    app: ConnectServer, browser: Chromium
) -> None:
    callbacks: list[str] = []

    def on_request(request: Request) -> None:
        if "/callback?" in request.url:
            callbacks.append(request.url)

    with open_page(browser, PHONE, java_script_enabled=False) as page:
        page.on("request", on_request)
        page.goto(app.link("N1"))
        page.get_by_role("button", name="Continue to TikTok").click()
        page.locator("input[name=account]").fill("S021")
        page.get_by_role("button", name="Continue").click()
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_text("Is this the account of Kiel?")
        # The answer of the first click never arrives: the page stays, and the manager clicks again.
        other = page.context.new_page()
        other.goto(page.url)
        page.get_by_role("button", name="Yes, connect it").click()
        expect(heading).to_have_text("Done. Thank you!")
        other.get_by_role("button", name="Yes, connect it").click()
        expect(other.get_by_role("heading", level=1)).to_have_text("Done. Thank you!")

        page.reload()
        expect(heading).to_have_text("Done. Thank you!")
        page.goto(callbacks[0])
        expect(heading).to_have_text("Done. Thank you!")
    assert app.bench.row("SELECT count(*) FROM store_audit WHERE action = 'connect'") == {
        "count": 1
    }
