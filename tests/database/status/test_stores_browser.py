"""In a browser: a store is put in and its link made, with scripts and without."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from include.tiktok_sync.links.connect_links import LinkSigner
from tests.browser import PHONE, open_page, screenshot
from tests.database.press import BASE, SECRET


def look_at(page: Page, name: str) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        screenshot(page, f"{name}-{scheme}")


def test_in_the_browser_a_store_is_put_in_and_its_link_made(site: str, browser: Browser) -> None:
    with open_page(browser) as page:
        page.goto(site)
        page.get_by_role("link", name="Stores", exact=True).click()
        page.get_by_role("link", name="New stores").click()
        one = page.get_by_role("region", name="One store")
        one.get_by_label("Code").fill("S1")
        one.get_by_label("Name").fill("Kiel")
        one.get_by_role("button", name="Add the store").click()
        expect(page.get_by_role("alert")).to_contain_text("There is a store S1 already")
        expect(one.get_by_label("Name")).to_have_value("Kiel")
        look_at(page, "stores-new-refused")
        one.get_by_label("Code").fill("N1")
        one.get_by_role("button", name="Add the store").click()
        expect(page.get_by_role("status")).to_contain_text("N1 is in.")
        look_at(page, "stores-added")
        page.get_by_role("button", name="Make a connect link: N1").click()
        link = page.get_by_role("textbox", name="The link")
        expect(link).to_have_attribute("readonly", "")
        token = link.input_value().removeprefix(f"{BASE}/c/")
        assert LinkSigner(SECRET).store_of(token) == "N1"
        assert token not in page.url
        page.get_by_role("button", name="Copy the link").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        look_at(page, "stores-link")
        page.get_by_role("link", name="To all stores").click()
        look_at(page, "stores-list")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download links as CSV").click()
        table = download.value.path().read_text(encoding="utf-8-sig")
        assert [line.split(",")[0] for line in table.splitlines()] == ["store_code", "S1"]
        expect(page.get_by_role("button", name="Download links as CSV")).to_be_enabled()
        page.get_by_role("link", name="New stores").click()
        many = page.get_by_role("region", name="Many stores")
        many.get_by_label("CSV file").set_input_files(
            {
                "name": "stores.csv",
                "mimeType": "text/csv",
                "buffer": b"store_code,store_name,region\nN2,Bonn,\nN3,,\n",
            }
        )
        many.get_by_role("button", name="Load the stores").click()
        expect(page.get_by_role("alert")).to_contain_text("1 store loaded, 1 row not.")
        look_at(page, "stores-imported")
        page.set_viewport_size(PHONE)
        for path in ("new-stores", "stores", "store?code=N1"):
            page.goto(site + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
            screenshot(page, f"stores-phone-{path.partition('?')[0]}")


def test_without_scripts_a_link_is_made_all_the_same(site: str, browser: Browser) -> None:
    with open_page(browser, java_script_enabled=False) as page:
        page.goto(f"{site}stores")
        page.get_by_role("button", name="Make a connect link: S1").click()
        link = page.get_by_role("textbox", name="The link").input_value()
        assert LinkSigner(SECRET).store_of(link.rpartition("/")[2]) == "S1"
        expect(page.get_by_role("button")).to_have_count(0)
