"""Parsing in fresh processes: asks nothing outside, stays light, gives the same Dag each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from include.tiktok_sync.jobs import ALL_DAGS, BUSINESS_JOBS, INSIGHTS_SWITCH, has_insights
from tests.conftest import Probe
from tests.dags.conftest import APP_ID
from tiktok_airflow import dag

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "dags"
PROBE = Path(__file__).parent / "probes" / "parse.py"

HEAVY = (
    "alembic",
    "cryptography",
    "psycopg",
    "psycopg2",
    "pyarrow",
    "requests",
    "tenacity",
    "typer",
)
"""Packages that only tasks need; each costs a parse tens of milliseconds."""

ASKING_DAG = """
import socket
from airflow.sdk import DAG, BaseHook, Variable

for ask in (
    lambda: Variable.get("rate"),
    lambda: BaseHook.get_connection("store_db"),
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: __import__("sqlite3").connect(":memory:"),
):
    try:
        ask()
    except Exception:
        pass
socket.gethostbyname("localhost")
"""


@pytest.fixture(scope="module")
def parsed(probe: Probe) -> Any:
    return probe(PROBE, str(DAGS), env={"PYTHONHASHSEED": "0", INSIGHTS_SWITCH: APP_ID})


def test_parsing_asks_nothing_outside_the_process(parsed: Any) -> None:
    assert parsed["attempts"] == []
    assert parsed["errors"] == {}
    assert sorted(parsed["dags"]) == sorted(file.stem for file in DAGS.glob("*.py"))


@pytest.mark.parametrize(("app_id", "is_on"), [(None, False), (" ", False), ("7", True)])
def test_the_dags_of_the_accounts_api_exist_only_where_that_is_used(
    monkeypatch: pytest.MonkeyPatch, app_id: str | None, *, is_on: bool
) -> None:
    monkeypatch.delenv(INSIGHTS_SWITCH)
    if app_id is not None:
        monkeypatch.setenv(INSIGHTS_SWITCH, app_id)

    bag = DagBag(str(DAGS))

    assert set(BUSINESS_JOBS) & set(bag.dags) == (set(BUSINESS_JOBS) if is_on else set())
    assert has_insights() is dag.has_insights() is is_on
    assert set(bag.dags) - set(BUSINESS_JOBS) == set(ALL_DAGS) - set(BUSINESS_JOBS)
    assert bag.import_errors == {}


def test_a_dag_that_asks_is_found_even_if_it_hides_it(probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "asking_dag.py").write_text(ASKING_DAG, encoding="utf-8")

    found = probe(PROBE, str(tmp_path))

    assert found["attempts"] == [
        "variable rate",
        "connection store_db",
        "socket.getaddrinfo",
        "sqlite3.connect",
        "socket.gethostbyname",
    ]
    assert "OutsideError" in found["errors"][str(tmp_path / "asking_dag.py")]


def test_parsing_imports_nothing_heavy(parsed: Any) -> None:
    imported = parsed["imported"]

    assert [name for name in imported if name.split(".")[0] in HEAVY] == []
    # Of the package itself only the names of its errors, which the retry policy needs.
    assert [name for name in imported if name.startswith("include.")] == [
        "include.tiktok_sync",
        "include.tiktok_sync.errors",
    ]
    assert [
        name
        for name in imported
        if name.startswith(("tiktok_airflow.hooks", "tiktok_airflow.tasks"))
    ] == []
    # ... and it did import the rest here, so the lists above are not empty for another reason.
    assert "tiktok_airflow.dag" in imported


def test_two_processes_serialise_the_same(parsed: Any, probe: Probe) -> None:
    again = probe(PROBE, str(DAGS), env={"PYTHONHASHSEED": "4711"})

    # Airflow sorts keys before it compares; a list in another order is a new Dag version.
    assert json.dumps(again["dags"], sort_keys=True) == json.dumps(parsed["dags"], sort_keys=True)


def test_sync_timezone_moves_the_schedule(parsed: Any, probe: Probe) -> None:
    moved = probe(PROBE, str(DAGS), env={"SYNC_TIMEZONE": "America/New_York"})

    assert moved["errors"] == {}
    for name, zone in (("parsed", "UTC"), ("moved", "America/New_York")):
        dags = {"parsed": parsed, "moved": moved}[name]["dags"]
        for dag_id in ("sync_user_daily", "sync_video_daily"):
            timetable = dags[dag_id]["dag"]["timetable"]["__var"]
            assert (timetable["expression"], timetable["timezone"]) == ("0 2 * * *", zone)
