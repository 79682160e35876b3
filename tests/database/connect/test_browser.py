"""Does a store's manager get through on a phone: every way to the end of a connect link?

In a real browser, against the sandbox's authorize page; pictures in ``test-artifacts``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import PHONE, open_page, screenshot
from tests.connect_server import ConnectServer, running_connect
from tests.database.bench import Bench


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    bench.conn.execute(
        "INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel Holstenstr.')"
    )
    with running_connect(bench) as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_page(browser, PHONE, java_script_enabled=False) as opened:
        yield opened


def consent(page: Page, *, account: str, without: tuple[str, ...] = (), allow: bool = True) -> None:
    """Answer the sandbox's authorize page."""
    expect(page.get_by_role("heading", name="Authorize this app?")).to_be_visible()
    page.locator("input[name=account]").fill(account)
    for scope in without:
        page.locator(f"input[name=grant][value='{scope}']").uncheck()
    page.get_by_role("button", name="Continue" if allow else "Cancel").click()


def title(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def leave(page: Page, link: str) -> None:
    page.goto(link)
    page.get_by_role("button", name="Continue to TikTok").click()


def calls_of_revoke(app: ConnectServer) -> int:
    return app.bench.calls().get("oauth_revoke", 0)


def test_accept_connects_the_store_and_uses_the_link_up(app: ConnectServer, page: Page) -> None:
    link = app.link("N1")
    page.goto(link)
    title(page, "Connect Kiel Holstenstr. to TikTok")
    screenshot(page, "connect-1-landing")
    page.get_by_role("button", name="Continue to TikTok").click()
    screenshot(page, "connect-2-sandbox")
    consent(page, account="S021")
    title(page, "Is this the account of Kiel Holstenstr.?")
    assert "code=" not in page.url
    screenshot(page, "connect-3-question")
    page.get_by_role("button", name="Yes, connect it").click()
    title(page, "Done. Thank you!")
    screenshot(page, "connect-4-done")
    stored = app.bench.row("SELECT * FROM store_tokens")
    assert (stored["store_code"], stored["status"]) == ("N1", "active")

    page.goto(link)
    title(page, "This link was already used")
    screenshot(page, "connect-5-used")


def test_deny_says_so_and_a_second_try_gets_through(app: ConnectServer, page: Page) -> None:
    leave(page, app.link("N1"))
    consent(page, account="S021", allow=False)
    title(page, "You did not allow access")
    screenshot(page, "connect-6-denied")
    assert app.bench.rows("SELECT FROM store_tokens") == []

    page.get_by_role("button", name="Try again").click()
    consent(page, account="S021")
    page.get_by_role("button", name="Yes, connect it").click()
    title(page, "Done. Thank you!")


def test_a_permission_left_out_is_named_and_can_be_granted_with_the_same_link(
    app: ConnectServer, page: Page
) -> None:
    leave(page, app.link("N1"))
    consent(page, account="S021", without=("video.list",))
    title(page, "Is this the account of Kiel Holstenstr.?")
    expect(page.locator(".warning")).to_contain_text("public videos")
    screenshot(page, "connect-7-question-partial")
    page.get_by_role("button", name="Connect it without that").click()
    title(page, "Almost done")
    screenshot(page, "connect-8-partial")
    status = "SELECT status, scope FROM store_tokens"
    assert app.bench.row(status) == {
        "status": "missing_scope",
        "scope": "user.info.basic,user.info.profile,user.info.stats",
    }

    page.get_by_role("button", name="Allow the rest at TikTok").click()
    consent(page, account="S021")
    title(page, "Done. Thank you!")
    assert app.bench.row(status)["status"] == "active"


def test_the_wrong_account_is_refused_and_given_back_and_the_right_one_is_not_asked_about(
    app: ConnectServer, page: Page
) -> None:
    expected = app.bench.sandbox.sandbox.world.store_of("S022").profile["username"]
    leave(page, app.link("N1", expected_account=f"@{expected.upper()}"))
    consent(page, account="S021")
    title(page, "This is another account")
    screenshot(page, "connect-9-wrong-account")
    assert app.bench.rows("SELECT FROM store_tokens") == []
    assert app.bench.sandbox.sandbox.tokens.grant("S021").revoked

    page.get_by_role("button", name="Try again").click()
    consent(page, account="S022")
    title(page, "Done. Thank you!")


def test_another_account_replaces_the_old_one_only_after_a_yes(
    app: ConnectServer, page: Page
) -> None:
    app.bench.import_stores("S001")
    app.bench.sync("sync_user_daily", "S001")
    old = app.bench.row("SELECT * FROM store_tokens")
    leave(page, app.link("S001"))
    consent(page, account="S021")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Replace the account of")
    expect(page.locator(".account").first).to_contain_text("@nordlicht.")
    screenshot(page, "connect-10-replace")
    page.get_by_role("button", name="No, keep the old account").click()
    title(page, "Nothing was connected")
    screenshot(page, "connect-11-declined")
    assert app.bench.row("SELECT * FROM store_tokens") == old
    assert app.bench.sandbox.sandbox.tokens.grant("S021").revoked
    assert not app.bench.sandbox.sandbox.tokens.grant("S001").revoked

    page.get_by_role("button", name="Try again").click()
    consent(page, account="S021")
    page.get_by_role("button", name="Yes, replace it").click()
    title(page, "Done. Thank you!")
    new = app.bench.row("SELECT * FROM store_tokens")
    assert new["open_id"] != old["open_id"]
    assert app.bench.row("SELECT count(*) FROM user_daily_stats")["count"] == 1  # history is kept


def test_an_account_of_another_store_is_refused(app: ConnectServer, page: Page) -> None:
    app.bench.import_stores("S001")
    leave(page, app.link("N1"))
    consent(page, account="S001")
    title(page, "This account belongs to another store")
    expect(page.locator("main")).not_to_contain_text("S001")
    screenshot(page, "connect-12-taken")
    assert calls_of_revoke(app) == 0  # it would end the other store's grant
    assert len(app.bench.rows("SELECT FROM store_tokens")) == 1
