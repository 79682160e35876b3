"""The connect app with both APIs, and what a manager's browser does there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from include.tiktok_sync.app import BusinessApp
from include.tiktok_sync.jobs import APIS
from include.tiktok_sync.links.connect_links import LinkMaker
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores import leaving
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.tokens.grant_table import BUSINESS
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore
from tests.connect_server import Browser, ConnectServer, form_token, running_connect
from tests.database.bench import Bench
from tests.sandbox_server import BUSINESS_APP

UNLIMITED: dict[str, Any] = {"per_second": 0, "per_minute": 0, "per_account_minute": 0}
"""For `running_sandbox(business=…)`: these tests are not about limits."""


def business_env(bench: Bench) -> dict[str, str]:
    """The variables that switch the Accounts API on, against the sandbox."""
    return {
        "TIKTOK_BUSINESS_APP_ID": BUSINESS_APP["app_id"],
        "TIKTOK_BUSINESS_SECRET": BUSINESS_APP["secret"],
        "TIKTOK_BUSINESS_URL": bench.sandbox.url,
    }


def with_business(bench: Bench) -> Bench:
    """The bench with the settings of both apps."""
    return bench.with_settings(
        business_app_id=BUSINESS_APP["app_id"],
        business_secret=BUSINESS_APP["secret"],
        business_url=bench.sandbox.url,
    )


@contextlib.contextmanager
def both_apis(bench: Bench, **env: str) -> Iterator[ConnectServer]:
    """A connect app that asks for both consents; one store, `N1`, was never connected."""
    bench.conn.execute(
        "INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel Holstenstr.')"
    )
    with running_connect(bench, **{**business_env(bench), **env}) as server:
        yield server


def connect_first(
    app: ConnectServer, account: str = "S021", code: str = "N1"
) -> tuple[Browser, str]:
    """The first consent of a store, up to *Done*; the browser, and the address of that page."""
    browser = Browser(app)
    back = browser.consent(browser.leave(app.link(code)), account)
    path = browser.get("/callback", **back).headers["Location"]
    page = browser.get(path)
    if 'value="connect"' in page.text:
        browser.send(app.url + path, form_token=form_token(page), choice="connect")
    return browser, path


def leave_for_second(browser: Browser, path: str) -> dict[str, str]:
    """Press the button of the second step; the query that the browser is sent to TikTok with."""
    page = browser.get(path)
    assert "One more step" in page.text, page.text
    answer = browser.send(browser.app.url + path, form_token=form_token(page), choice="next")
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def come_back(browser: Browser, back: dict[str, str]) -> tuple[str, requests.Response]:
    """Return from TikTok's second consent; the address of the next page, and that page."""
    answer = browser.get("/business/callback/", **back)
    assert answer.status_code == 303, answer.text
    path = answer.headers["Location"]
    return path, browser.get(path)


def second_link(app: ConnectServer, code: str, **changes: Any) -> str:
    """A link of its own for the second consent."""
    maker = LinkMaker(app.settings.secret, app.url, "test", APIS)
    return maker.make(app.bench.conn, code, api="business", **changes).url


def add_account_days(conn: Connection, code: str) -> tuple[date, date]:
    """A final day of a store's account, and one that TikTok may still correct."""
    today = datetime.now(timezone.utc).date()
    final, unsettled = today - timedelta(days=20), today - timedelta(days=3)
    conn.execute(
        "INSERT INTO account_daily (store_code, metric_date, video_views, bio_link_clicks,"
        " fetched_at) SELECT %s, day, -7, -7, now() FROM unnest(%s::date[]) AS day",
        [code, [final, unsettled]],
    )
    return final, unsettled


def disconnect(bench: Bench, code: str, *, has_business: bool = True) -> str:
    """As `stores disconnect` does it; the bench has the settings of both apps."""
    app = BusinessApp.from_settings(bench.settings)
    with bench.app.transport() as http, app.transport() as second_http:
        oauth, second = bench.app.oauth(http), app.oauth(second_http)
        tokens = TokenStore(bench.conn)
        source = TokenSource(code, store=tokens, vault=bench.vault, oauth=oauth)
        business = leaving.Grant(
            TokenSource(
                code, store=TokenStore(bench.conn, BUSINESS), vault=bench.vault, oauth=second
            ),
            second,
        )
        return leaving.disconnect(
            code,
            Lifecycle(bench.conn, "anna"),
            source=source,
            oauth=oauth,
            business=business if has_business else None,
        )
