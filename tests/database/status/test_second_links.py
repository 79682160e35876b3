"""Are links for the second consent made on the status page, and only where it is used?"""

from __future__ import annotations

import pytest
import requests

from include.tiktok_sync.jobs import INSIGHTS_SWITCH
from include.tiktok_sync.store_db.database import Connection
from tests.database.press import Press, links_of

BUTTON = "Make a connect link for the Accounts API"


def test_without_it_there_is_no_button_and_no_link(press: Press, conn: Connection) -> None:
    page = requests.get(f"{press.site}store?code=S1", timeout=60).text
    assert BUTTON not in page
    answer = press("connect-link", store_code="S1", api="business")
    assert answer.status_code == 409
    assert "TIKTOK_BUSINESS_APP_ID is not set" in answer.text
    assert conn.execute("SELECT count(*) FROM connect_links").fetchone() == (0,)


def test_its_link_says_what_it_is_for_and_leaves_the_other_alone(
    press: Press, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INSIGHTS_SWITCH, "7300000000000000017")
    assert BUTTON in requests.get(f"{press.site}store?code=S1", timeout=60).text
    assert len(links_of(press("connect-link", store_code="S1"))) == 1
    answer = press("connect-link", store_code="S1", api="business")
    assert len(links_of(answer)) == 1
    assert "the last 60 days" in answer.text
    found = conn.execute(
        "SELECT api, revoked_at IS NULL FROM connect_links ORDER BY api"
    ).fetchall()
    assert found == [("business", True), ("display", True)]
    listed = requests.get(f"{press.site}stores", timeout=60).text
    assert '<th scope="col">Accounts API</th>' in listed
    assert press("connect-link", store_code="S1", api="other").status_code == 422
