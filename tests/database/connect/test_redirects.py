"""Does a manager get to TikTok wherever TikTok redirects to? In a real Chromium, across origins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from include.sandbox.settings import AUTHORIZE_PATH
from tests.browser import PHONE, open_page
from tests.connect_server import ConnectServer, running_connect
from tests.database.bench import Bench

APP_SCHEME = "snssdk1233"
"""Of TikTok's app; a phone opens it from such an address."""


@contextmanager
def redirecting(to: str, visits: list[str]) -> Iterator[str]:
    """An origin of its own that sends every visitor on, with the query; its address."""

    class Onwards(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(to)
            self.send_response(302)
            self.send_header("Location", f"{to}?{urlsplit(self.path).query}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Onwards) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/authorize"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_page(browser, PHONE, java_script_enabled=False) as opened:
        yield opened


@contextmanager
def app_behind(bench: Bench, target: str) -> Iterator[tuple[ConnectServer, list[str]]]:
    """The connect app, two origins before the target; and where they have sent visitors to."""
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel')")
    with ExitStack() as stack:
        address, visits = target, list[str]()
        for _ in range(2):
            address = stack.enter_context(redirecting(address, visits))
        app = stack.enter_context(running_connect(bench, CONNECT_AUTHORIZE_URL=address))
        yield app, visits


def test_redirects_across_origins_lead_to_tiktok_and_back(bench: Bench, page: Page) -> None:
    with app_behind(bench, bench.sandbox.url + AUTHORIZE_PATH) as (app, _):
        page.goto(app.link("N1"))
        page.get_by_role("button", name="Continue to TikTok").click()
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_text("Authorize this app?")
        page.get_by_role("button", name="Cancel").click()
        expect(heading).to_have_text("You did not allow access")

        # The buttons of the later pages lead to TikTok too.
        page.get_by_role("button", name="Try again").click()
        expect(heading).to_have_text("Authorize this app?")
        page.locator("input[name=account]").fill("S021")
        page.locator("input[name=grant][value='video.list']").uncheck()
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Go back and allow everything").click()
        expect(heading).to_have_text("Authorize this app?")
        page.locator("input[name=account]").fill("S021")
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Yes, connect it").click()
        expect(heading).to_have_text("Done. Thank you!")


def test_back_from_tiktok_is_the_page_with_the_button(bench: Bench, page: Page) -> None:
    with app_behind(bench, bench.sandbox.url + AUTHORIZE_PATH) as (app, _):
        page.goto(app.link("N1"))
        page.get_by_role("button", name="Continue to TikTok").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Authorize this app?")
        page.go_back()
        page.get_by_role("button", name="Continue to TikTok").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Authorize this app?")


def test_a_redirect_into_tiktoks_app_is_not_held_up_by_us(bench: Bench, page: Page) -> None:
    """This Chromium knows no such app: it must be that which ends the way, and no policy."""
    said: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        said.append(message.text)

    page.on("console", on_console)
    with app_behind(bench, f"{APP_SCHEME}://oauth") as (app, visits):
        page.goto(app.link("N1"))
        with page.expect_event("requestfailed"):
            page.get_by_role("button", name="Continue to TikTok").click()
    assert visits[-1] == f"{APP_SCHEME}://oauth"
    assert said == []  # Chromium writes there which policy stopped it
