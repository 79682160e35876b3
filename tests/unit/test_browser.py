"""The browser that other tests look through."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.browser import PHONE, open_page, screenshot


def test_a_page_is_shown_and_its_picture_kept(browser: Browser) -> None:
    with open_page(browser, PHONE) as page:
        page.set_content("<h1>Hello</h1>")
        assert page.get_by_role("heading").inner_text() == "Hello"
        assert page.evaluate("window.innerWidth") == PHONE["width"]
        assert screenshot(page, "browser").stat().st_size > 1_000
