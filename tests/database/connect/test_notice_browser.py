"""Does a manager on a phone read the privacy notice before consenting, and is that provable?

In a real browser without scripts, 360 pixels wide; pictures in ``test-artifacts``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser import open_page, screenshot
from tests.connect_server import ConnectServer, running_connect
from tests.database.bench import Bench
from tests.database.connect.test_browser import consent, title

SMALL_PHONE: ViewportSize = {"width": 360, "height": 740}
CONTROLLER = "Nordlicht Handels-GmbH, Hafenstr. 1, 24103 Kiel"


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    bench.conn.execute(
        "INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel Holstenstr.')"
    )
    with running_connect(
        bench,
        PRIVACY_CONTROLLER=CONTROLLER,
        PRIVACY_CONTACT="privacy@nordlicht.example",
        PRIVACY_POLICY_URL="https://nordlicht.example/privacy",
    ) as server:
        yield server


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    with open_page(
        browser, SMALL_PHONE, java_script_enabled=False, color_scheme=request.param
    ) as opened:
        yield opened


def fits(page: Page) -> bool:
    """Nothing is cut off or must be scrolled sideways."""
    width = page.locator("main").evaluate("() => document.documentElement.scrollWidth")
    return int(width) <= SMALL_PHONE["width"]


def test_the_notice_is_read_and_its_version_is_kept_with_the_grant(
    app: ConnectServer, page: Page, request: pytest.FixtureRequest
) -> None:
    look = request.node.callspec.params["page"]
    page.goto(app.link("N1"))
    short = page.get_by_role("region", name="Your data")
    for answer in (CONTROLLER, "90 days", "30 days", "TikTok's settings", "privacy@nordlicht"):
        expect(short).to_contain_text(answer)
    expect(page.get_by_role("heading", name="Your rights")).to_be_hidden()
    screenshot(page, f"notice-1-landing-{look}")

    summary = page.locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your rights")).to_be_visible()
    screenshot(page, f"notice-2-landing-open-{look}")
    kept = app.bench.row("SELECT * FROM privacy_notices")
    shown = " ".join(short.inner_text().split())
    lines = [line.removeprefix("- ") for line in kept["text"].splitlines()[1:] if line]
    assert [line for line in lines if line not in shown] == []
    assert kept["version"] in shown
    assert fits(page)

    page.get_by_role("button", name="Continue to TikTok").click()
    consent(page, account="S021")
    title(page, "Is this the account of Kiel Holstenstr.?")
    expect(page.get_by_role("region", name="Your data")).to_contain_text(CONTROLLER)
    assert fits(page)
    screenshot(page, f"notice-3-question-{look}")
    page.get_by_role("button", name="Yes, connect it").click()
    title(page, "Done. Thank you!")
    screenshot(page, f"notice-4-done-{look}")
    for table in ("store_tokens", "connect_attempts"):
        stored = app.bench.row(f"SELECT notice_version FROM {table}")  # noqa: S608 - our own table
        assert stored == {"notice_version": kept["version"]}

    page.get_by_role("link", name="Privacy notice").click()
    title(page, "Privacy notice of Nordlicht")
    screenshot(page, f"notice-5-page-{look}")
    assert fits(page)
