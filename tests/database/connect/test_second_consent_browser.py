"""Does a store's manager get through both consents on a phone, and out of every dead end?

In a real browser, against the sandbox's authorize page; pictures in ``test-artifacts``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import PHONE, open_page, screenshot
from tests.connect_server import ConnectServer
from tests.database.bench import Bench
from tests.database.connect.test_browser import consent, leave, title
from tests.sandbox_server import SandboxServer, running_sandbox
from tests.second_consent import UNLIMITED, both_apis, second_link


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(rate_limit_per_minute=0, business=UNLIMITED) as server:
        yield server


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    with both_apis(bench) as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_page(browser, PHONE, java_script_enabled=False) as opened:
        yield opened


def go_on(page: Page) -> None:
    """From *One more step* to TikTok."""
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    page.get_by_role("button", name="Continue to TikTok").click()


def fits(page: Page) -> None:
    """Nothing is wider than the phone."""
    box = page.locator("main").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


def test_both_consents_with_every_way_to_go_wrong(app: ConnectServer, page: Page) -> None:
    leave(page, app.link("N1"))
    consent(page, account="S021")
    page.get_by_role("button", name="Yes, connect it").click()
    title(page, "Done. Thank you!")
    added = page.locator("section li")
    expect(added.filter(has_text="last 60 days")).to_have_count(1)
    expect(added).to_have_count(3)  # what it adds, and not again what was just allowed
    fits(page)
    screenshot(page, "connect-20-one-more-step")

    go_on(page)
    screenshot(page, "connect-21-sandbox")
    consent(page, account="S021", allow=False)
    title(page, "You did not allow access")
    expect(page.locator("main")).to_contain_text("connected before stays connected")
    fits(page)
    screenshot(page, "connect-22-denied")

    page.get_by_role("button", name="Try again").click()
    consent(page, account="S022")
    title(page, "This is another account")
    names = app.bench.sandbox.sandbox.world
    for code in ("S021", "S022"):
        handle = names.store_of(code).profile["username"]
        expect(page.locator("main")).to_contain_text(f"@{handle}")
    fits(page)
    screenshot(page, "connect-23-another-account")

    page.get_by_role("button", name="Try again").click()
    consent(page, account="S021", without=("user.insights", "video.insights"))
    title(page, "Almost done")
    expect(page.locator(".warning")).to_contain_text("last 60 days")
    fits(page)
    screenshot(page, "connect-24-partial")
    assert app.bench.row("SELECT status FROM business_tokens") == {"status": "missing_scope"}

    page.get_by_role("button", name="Allow the rest at TikTok").click()
    consent(page, account="S021")
    title(page, "Done. Thank you!")
    expect(page.locator("main")).to_contain_text("The statistics of Kiel Holstenstr.")
    fits(page)
    screenshot(page, "connect-25-done")
    assert app.bench.row("SELECT status FROM business_tokens") == {"status": "active"}
    assert app.bench.row("SELECT status FROM store_tokens") == {"status": "active"}


def test_a_link_of_its_own_and_an_app_without_the_permission(
    app: ConnectServer, page: Page, bench: Bench
) -> None:
    page.goto(second_link(app, "N1"))
    title(page, "Connect the statistics of Kiel Holstenstr.")
    page.get_by_text("Privacy notice in full").click()
    expect(page.locator(".privacy")).to_contain_text("last 60 days")
    fits(page)
    screenshot(page, "connect-26-own-link")
    page.get_by_role("button", name="Continue to TikTok").click()
    address = page.url
    page.goto(address.replace("video.list", "video.list%2Ccomment.list"))
    title(page, "TikTok did not accept our request")
    fits(page)
    screenshot(page, "connect-27-not-approved")
    assert bench.row("SELECT outcome FROM connect_attempts") == {"outcome": "not_approved"}
