"""Does a run begin only with keys that open something, and without stores that have left?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from include.sandbox.faults.http import RawAnswer
from include.tiktok_sync.errors import ConfigurationError, RetriableError
from include.tiktok_sync.jobs import USER_JOB
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.database.bench import UTC, Bench, insert_grants
from tests.database.task_bodies import task_context
from tiktok_airflow.tasks import sync as sync_tasks

if TYPE_CHECKING:
    from include.sandbox.endpoints.pipeline import Call
    from include.sandbox.wire.envelopes import SandboxAnswer

pytestmark = pytest.mark.usefixtures("airflow_env")


def _list(*wanted: str, day: datetime | None = None) -> list[list[str]]:
    now = datetime.now(UTC)
    context = {
        "params": {"stores": list(wanted), "dry_run": False},
        "run_id": "run-1",
        "dag_run": SimpleNamespace(
            dag_id=USER_JOB,
            run_id="run-1",
            logical_date=day or now,
            run_after=now,
            start_date=now,
        ),
        "ti": SimpleNamespace(
            dag_id=USER_JOB, task_id="task", map_index=0, xcom_push=lambda *_: None
        ),
        "task": SimpleNamespace(execution_timeout=None),
    }
    return sync_tasks.list_stores(context, None)


def test_a_wrong_key_is_named_before_any_store_is_tried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.import_stores("S001", "S002")
    monkeypatch.setenv("TIKTOK_TOKEN_KEYS", Fernet.generate_key().decode())
    with pytest.raises(ConfigurationError, match="TIKTOK_TOKEN_KEYS is wrong: none of its keys"):
        _list()


def test_stores_under_a_lost_key_are_named_and_the_run_goes_on(bench: Bench) -> None:
    bench.import_stores("S001")
    bench.conn.execute("INSERT INTO stores VALUES ('lost', 'Its name')")
    insert_grants(bench.conn, "lost")
    with capture_logs() as logs:
        assert _list() == [["S001"], ["lost"]]
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert "not those of 1: lost." in warning["hint"]


def test_a_store_that_has_left_is_not_listed_and_not_synced_by_name(bench: Bench) -> None:
    bench.import_stores("S001", "S002", "S003")
    lifecycle = Lifecycle(bench.conn, "anna")
    lifecycle.pause("S002", None)
    lifecycle.remove("S003")
    assert _list() == [["S001"]]
    assert _list("S002") == [["S002"]]  # paused is out of the nights only
    with pytest.raises(ConfigurationError, match=r"Store S003 has left \(stores disconnect\)"):
        _list("S001", "S003")


class Edge:
    """A fault plan under which an edge refuses the token endpoint some times."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        self.times -= call.endpoint == "oauth_token"
        return proceed() if self.times < 0 else RawAnswer(403, "", {}, text="Access Denied")


@pytest.mark.usefixtures("no_waits")
def test_an_edge_that_refuses_the_check_of_the_app_is_tried_again(bench: Bench) -> None:
    bench.import_stores("S001")
    bench.sandbox.faults.plan = Edge(1)
    assert _list() == [["S001"]]
    bench.sandbox.faults.plan = Edge(2)
    with pytest.raises(RetriableError, match="a proxy, a firewall or the edge"):
        _list()


def test_a_run_leaves_its_time_zone_in_the_database(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.import_stores("S001")
    assert bench.row("SELECT timezone FROM sync_calendar") == {"timezone": "UTC"}
    monkeypatch.setenv("SYNC_TIMEZONE", "Asia/Tokyo")
    assert _list() == [["S001"]]
    assert bench.row("SELECT timezone FROM sync_calendar") == {"timezone": "Asia/Tokyo"}


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_day_to_come_is_refused_before_any_store_is_tried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    bench.import_stores("S001")
    monkeypatch.setenv("SYNC_TIMEZONE", zone)
    today = datetime.now(ZoneInfo(zone)).replace(hour=12)
    tomorrow = today + timedelta(days=1)
    with pytest.raises(ConfigurationError, match="has not come yet: today is") as refused:
        _list(day=tomorrow.astimezone(UTC))
    said = str(refused.value)
    assert f"{tomorrow.date()} has not come" in said
    assert f"today is {today.date()} in SYNC_TIMEZONE ({zone})" in said
    assert bench.stats()["refreshes"] == {}
    assert _list(day=today.astimezone(UTC)) == [["S001"]]
    assert _list(day=(today - timedelta(days=1)).astimezone(UTC)) == [["S001"]]


def test_a_day_before_tiktok_is_refused_and_gets_no_partition(bench: Bench) -> None:
    bench.import_stores("S001")
    with pytest.raises(ConfigurationError, match="1026-11-28 was before TikTok"):
        _list(day=datetime(1026, 11, 28, 12, tzinfo=UTC))
    query = "SELECT to_regclass('video_daily_stats_1026_11') AS made"
    assert bench.row(query) == {"made": None}


def test_a_task_that_was_given_stores_all_the_same_refuses_such_a_day(bench: Bench) -> None:
    bench.import_stores("S001")
    with pytest.raises(ConfigurationError, match="has not come yet"):
        sync_tasks.sync_stores(USER_JOB, ["S001"], task_context(days_ago=-2))
    assert bench.rows("SELECT FROM user_daily_stats") == []
