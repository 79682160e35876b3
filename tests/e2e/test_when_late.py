"""A late or dead run raises one alert, and missed days are filled from one reading."""

from __future__ import annotations

import json
import re
import time as clock
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import requests

from include.local.parts.airflow_api import AirflowApi
from include.local.stack import Stack
from tests.alert_receiver import SECRET, Receiver, alert_receiver
from tests.e2e.conftest import STORES, RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "running.md"
DAG = "sync_user_daily"
RUNS = f"/api/v2/dags/{DAG}/dagRuns"
CODES = ["S001", "S002", "S003"]
CONF = {"stores": CODES}
LATE = {"stores": ["S005", "S006", "S007"]}
"""Other stores: what is left of a run that is killed may still call for them."""


def rows(url: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as conn:
        cursor = conn.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []


def wait_for(condition: Callable[[], object], what: str) -> None:
    give_up_at = clock.monotonic() + 600
    while not condition():
        assert clock.monotonic() < give_up_at, f"in vain: {what}"
        clock.sleep(0.5)


def calls_of_users(stack: RunningStack) -> Counter[str]:
    """Of the stores of the backfill, by store."""
    url = f"{stack.sandbox_url}/admin/requests"
    answer = requests.get(url, params={"endpoint": "user_info"}, timeout=60)
    return Counter(call["store_code"] for call in answer.json() if call["store_code"] in CODES)


def set_latency(stack: RunningStack, seconds: float) -> None:
    answer = requests.patch(
        f"{stack.sandbox_url}/admin/settings", json={"latency": seconds}, timeout=60
    )
    answer.raise_for_status()


@pytest.fixture(scope="module")
def ready(stack: RunningStack) -> RunningStack:
    """The stack with stores whose tokens last, the Dag switched on, and tonight's run done."""
    fresh = rows(
        stack.db_url,
        "SELECT count(*) FROM store_tokens WHERE access_expires_at > now() + interval '10 min'",
    )
    if fresh != [(STORES,)]:
        done = stack.sync()
        assert done.returncode == 0, done.stdout + done.stderr
    api = Stack.load(dict(stack.env)).api
    api.unpause(DAG)
    # From a backfill on Airflow takes up the night of today, unless there is a run of its date:
    # a run of all stores, apart from the few whose calls are counted.
    night = datetime.combine(stack.today, time(2), stack.zone).isoformat()
    body = {"dag_run_id": "tonight", "logical_date": night, "conf": CONF}
    api._send("POST", RUNS, body=body)
    wait_for(lambda: api.run_state(DAG, "tonight") == "success", "the night of today ends")
    return stack


@pytest.fixture
def metadata_url(ready: RunningStack) -> str:
    return Stack.load(dict(ready.env)).settings.airflow_db_url


@pytest.fixture
def api(ready: RunningStack) -> AirflowApi:
    return Stack.load(dict(ready.env)).api


@pytest.fixture
def channel(api: AirflowApi) -> Iterator[Receiver]:
    """A webhook, set in the Airflow connection as the UI does it."""

    def configure(extra: dict[str, Any]) -> None:
        body = {
            "connection_id": "tiktok_alerts",
            "conn_type": "apprise",
            "extra": json.dumps(extra),
        }
        api._send("PATCH", "/api/v2/connections/tiktok_alerts", body=body)

    with alert_receiver() as found:
        configure({"config": json.dumps([{"path": found.url}])})
        yield found
        configure({})


def test_a_run_that_is_late_and_then_dies_raises_alerts_and_can_be_cleared_meanwhile(
    ready: RunningStack, api: AirflowApi, metadata_url: str, channel: Receiver
) -> None:
    set_latency(ready, 20)  # it is still going when the channel gets the alert
    run = api._send("POST", RUNS, body={"logical_date": None, "conf": LATE})
    run_id = run["dag_run_id"]
    try:
        wait_for(lambda: api.run_state(DAG, run_id) == "running", "the run starts")
        ((due, queued),) = rows(
            metadata_url,
            "SELECT d.deadline_time, r.queued_at FROM deadline d, dag_run r"
            " WHERE r.id = d.dagrun_id AND r.run_id = %s",
            run_id,
        )
        assert due - queued == timedelta(minutes=15)
        # Raises for anything but 200; with Airflow's own reference this is a 500.
        cleared = api._send("POST", f"{RUNS}/{run_id}/clear", body={"dry_run": False})
        assert cleared["dag_run_id"] == run_id
        # The quarter of an hour passes within 2 seconds.
        rows(
            metadata_url,
            "UPDATE deadline d SET deadline_time = now() + interval '2 seconds'"
            " FROM dag_run r WHERE r.id = d.dagrun_id AND r.run_id = %s",
            run_id,
        )
        wait_for(lambda: channel.messages, "the channel gets the alert about the late run")
        assert api.run_state(DAG, run_id) in {"queued", "running"}
        # ... and so do 20 hours: the run dies without a summary.
        rows(
            metadata_url,
            "UPDATE dag_run SET start_date = now() - interval '21 hours' WHERE run_id = %s",
            run_id,
        )
        wait_for(lambda: len(channel.messages) > 1, "the channel gets the alert about the dead run")
    finally:
        set_latency(ready, 0.02)

    late, dead = channel.messages
    assert "run is late" in late["title"]
    assert "run failed" in dead["title"]
    assert "ended without a summary (timed_out)" in dead["message"]
    alerts = rows(
        ready.db_url,
        "SELECT kind, store_code, notified_at IS NOT NULL, notify_error FROM alerts"
        " WHERE run_id = %s ORDER BY id",
        run_id,
    )
    assert alerts == [("sla_missed", None, True, None), ("run_failed", None, True, None)]
    logs = Path(ready.env["LOCAL_STATE_DIR"]).rglob("*.log")
    assert not [log for log in logs if SECRET in log.read_text("utf-8", errors="replace")]


def backfill_command(zone: ZoneInfo, first: date, last: date) -> list[str]:
    """The command of docs/running.md, for other days, of another time zone, and a few stores."""
    text = PAGE.read_text(encoding="utf-8")
    (line,) = re.findall(rf"^airflow backfill create --dag-id {DAG} .+$", text, re.MULTILINE)
    begin = datetime.combine(first, time(), zone).isoformat()
    end = datetime.combine(last, time(23, 59, 59), zone).isoformat()
    words = line.replace("2026-11-20", begin).replace("2026-11-22T23:59:59", end).split()
    assert {begin, end} <= set(words)
    return [*words, "--dag-run-conf", json.dumps(CONF)]


def test_a_backfill_reads_each_store_once_and_leaves_a_day_in_time_alone(
    ready: RunningStack, metadata_url: str
) -> None:
    days = [ready.today - timedelta(days=ago) for ago in (12, 11, 10)]
    with psycopg.connect(ready.db_url) as conn:
        # Nothing of the last hours may stand in: TikTok must be asked.
        conn.execute(
            "DELETE FROM user_daily_stats WHERE store_code = ANY(%s)"
            " AND (snapshot_date > %s OR snapshot_date = ANY(%s))",
            [CODES, days[-1], days],
        )
        conn.execute(
            "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, observed_at)"
            " SELECT code, %(day)s, 7, (%(day)s::date + time '02:01') AT TIME ZONE %(zone)s"
            " FROM unnest(%(codes)s::text[]) AS code",
            {"day": days[1], "codes": CODES, "zone": ready.zone.key},
        )
    query = (
        "SELECT snapshot_date, store_code, follower_count, is_late, observed_at"
        " FROM user_daily_stats WHERE snapshot_date = ANY(%s) AND store_code = ANY(%s)"
        " ORDER BY 1, 2"
    )
    present = rows(ready.db_url, query, days, CODES)
    calls = calls_of_users(ready)

    created = ready.run(backfill_command(ready.zone, days[0], days[-1]))
    assert created.returncode == 0, created.stdout + created.stderr
    summaries = (
        "SELECT snapshot_date, status, message FROM sync_logs WHERE store_code IS NULL"
        " AND job_name = %s AND snapshot_date = ANY(%s) ORDER BY 1"
    )
    wait_for(lambda: len(rows(ready.db_url, summaries, DAG, days)) == 3, "three days are done")

    assert calls_of_users(ready) - calls == Counter(CODES)
    found = rows(ready.db_url, query, days, CODES)
    assert [line for line in found if line[0] == days[1]] == present
    late = [line for line in found if line[0] != days[1]]
    assert [line[1] for line in late] == 2 * CODES
    assert {line[3] for line in late} == {True}
    told = requests.get(f"{ready.sandbox_url}/admin/truth", timeout=60).json()
    for _, code, followers, _, observed_at in late:
        assert followers == told[code]["user"]["follower_count"]
        assert datetime.now(timezone.utc) - observed_at < timedelta(minutes=10)
    said = [line[2] for line in rows(ready.db_url, summaries, DAG, days)]
    assert "(3 filled late)" in said[0]
    assert "(3 observed in time)" in said[1]
    assert rows(
        metadata_url,
        "SELECT r.run_type, count(*), count(d.id) FROM dag_run r LEFT JOIN deadline d"
        " ON d.dagrun_id = r.id WHERE r.run_type = 'backfill' AND r.dag_id = %s GROUP BY 1",
        DAG,
    ) == [("backfill", 3, 0)]
    assert rows(ready.db_url, "SELECT FROM alerts WHERE snapshot_date = ANY(%s)", days) == []
