"""Does the status page show the second consent and its days, and only where it is used?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from include.tiktok_sync.jobs import INSIGHTS_JOB, INSIGHTS_SWITCH, SYNC_JOBS
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.database.press import Press
from tests.status_site import served, status_site
from tiktok_airflow.status_page.airflow_rest import AirflowRest

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


def _grant(conn: Connection, code: str) -> None:
    conn.execute(
        "INSERT INTO business_tokens (store_code, open_id, scope, access_token, refresh_token)"
        " VALUES (%s, %s, 's', '', '')",
        [code, f"b-{code}"],
    )


class _Asked(AirflowRest):
    """What Airflow's API would be asked to trigger; ``paused`` is what it says is switched off."""

    def __init__(self, *paused: str) -> None:
        self.triggered: list[tuple[str, Any]] = []
        self.paused = [{"dag_id": dag} for dag in paused]

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        self.triggered.append((path, body["conf"]))

    async def get(self, path: str, **params: Any) -> Any:
        assert path == "/dags"
        assert set(params["dag_id_pattern"].split("|")) >= {dag["dag_id"] for dag in self.paused}
        return {"dags": self.paused}


@pytest.mark.parametrize(
    ("is_used", "has_grant", "paused", "says"),
    [
        (True, True, (), "Three runs for S1 are queued: its profile, its videos and its insights."),
        (True, True, (INSIGHTS_JOB,), "Three runs for S1 are queued, but sync_insights_daily is"),
        (True, False, (), "Two runs for S1 are queued: its profile and its videos."),
        (False, True, (), "Two runs for S1 are queued: its profile and its videos."),
    ],
)
def test_the_button_also_reads_the_second_api_of_a_store_that_gave_that_consent(
    conn: Connection,
    db_url: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_used: bool,
    has_grant: bool,
    paused: tuple[str, ...],
    says: str,
) -> None:
    if is_used:
        monkeypatch.setenv(INSIGHTS_SWITCH, "7300000000000000017")
    Lifecycle(conn, "test").add("S1", "Köln")
    if has_grant:
        _grant(conn, "S1")
    asked = _Asked(*paused)

    with served(status_site(db_url, airflow=asked)) as url:
        answer = Press(url)("sync-store", store_code="S1")

    assert says in answer.text
    jobs = [*SYNC_JOBS, *([INSIGHTS_JOB] if is_used and has_grant else [])]
    assert asked.triggered == [(f"/dags/{job}/dagRuns", {"stores": ["S1"]}) for job in jobs]


def test_the_list_of_stores_has_the_second_grants_only_where_they_are_used(
    site: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _grant(conn, "S1")
    conn.execute("UPDATE business_tokens SET status = 'needs_consent'")
    heading = '<th scope="col">Accounts API</th>'
    assert heading not in _seen(site, "stores")
    monkeypatch.setenv(INSIGHTS_SWITCH, "7300000000000000017")
    page = _seen(site, "stores")
    assert heading in page
    assert "Needs consent" in page[page.index("<tbody>") :]
