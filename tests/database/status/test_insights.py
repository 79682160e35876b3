"""Does the status page show the second consent and its days, and only where it is used?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
import requests

from include.tiktok_sync.jobs import INSIGHTS_SWITCH
from include.tiktok_sync.store_db.database import Connection

HEADING = 'id="insights"'


def _seen(site: str, path: str) -> str:
    answer = requests.get(site + path, timeout=60)
    answer.raise_for_status()
    return answer.text


@pytest.fixture
def _used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INSIGHTS_SWITCH, "7300000000000000017")


def test_nothing_of_it_is_shown_where_it_is_not_used(site: str) -> None:
    assert HEADING not in _seen(site, "")
    assert HEADING not in _seen(site, "store?code=S1")


@pytest.mark.usefixtures("_used")
def test_grants_and_days_that_a_store_lacks_are_shown(site: str, conn: Connection) -> None:
    assert "No store gave the second consent yet." in _seen(site, "")
    assert "has not given the second consent" in _seen(site, "store?code=S1")
    conn.execute(
        "INSERT INTO business_tokens (store_code, open_id, scope, access_token, refresh_token)"
        " VALUES ('S1', 'b', 'user.insights', '', '')"
    )
    today = datetime.now(timezone.utc).date()
    for ago in (1, 5, 7, 10):
        conn.execute(
            "INSERT INTO account_daily (store_code, metric_date, fetched_at)"
            " VALUES ('S1', %s, now())",
            [today - timedelta(days=ago)],
        )

    overview, store = _seen(site, ""), _seen(site, "store?code=S1")

    section = overview[overview.index(HEADING) :]
    for ago in (3, 4, 6, 8, 9):
        assert f"<td>{today - timedelta(days=ago)}</td>" in section
    for ago in (1, 2, 5, 7, 10, 11):
        assert f"<td>{today - timedelta(days=ago)}</td>" not in section
    store_section = store[store.index(HEADING) :]
    assert "<dd>4</dd>" in store_section
    assert str(today - timedelta(days=1)) in store_section
