"""What the trigger form offers, as Airflow's Dag processor asks for it when it parses a Dag."""

from __future__ import annotations

import socket

import psycopg
import pytest
from airflow.sdk import BaseHook

import store_choices
import sync_dag
from include.tiktok_sync.database import Connection
from tests.database.task_bodies import connections

OFFERED = {
    "10": "10 · Ten",
    "A1": "A1 · Milano Duomo (IT)",
    "B2": "B2 · Porto (PT), not active",
    "a3": "a3 · Köln (DE)",
}


def connect_to(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", connections(url)["AIRFLOW_CONN_STORE_DB"])


@pytest.fixture
def stores(conn: Connection, db_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four stores, and this process a Dag processor."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO stores (store_code, store_name, region, is_active)"
            " VALUES (%s, %s, %s, %s)",
            [
                ("B2", "Porto", "PT", False),
                ("a3", "Köln", "DE", True),
                ("A1", "Milano Duomo", "IT", True),
                ("10", "Ten", None, True),
            ],
        )
    connect_to(monkeypatch, db_url)
    monkeypatch.setattr("sys.argv", ["airflow", "dag-processor"])


@pytest.mark.usefixtures("stores")
def test_the_form_offers_every_store_by_name_in_one_order() -> None:
    assert list(store_choices.store_choices().items()) == list(OFFERED.items())

    stores = sync_dag.params()["stores"]

    # What the UI makes a list to choose from (it looks for `examples` and `values_display`).
    assert stores.schema["examples"] == list(OFFERED)
    assert stores.schema["values_display"] == OFFERED


@pytest.mark.usefixtures("stores")
def test_a_store_that_was_added_after_the_parse_can_be_triggered_at_once() -> None:
    assert sync_dag.params()["stores"].resolve(["NEW"]) == ["NEW"]


@pytest.mark.usefixtures("stores")
def test_more_stores_than_a_form_can_hold_are_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_choices, "MOST", len(OFFERED) - 1)

    assert store_choices.store_choices() == {}


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    "arguments",
    [["airflow", "scheduler"], ["airflow", "celery", "worker"], ["airflow", "dags", "list"]],
)
def test_no_other_process_asks(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.setattr(psycopg.Connection, "connect", lambda **_: pytest.fail("it asked"))

    assert store_choices.store_choices() == {}
    assert "examples" not in sync_dag.params()["stores"].schema


@pytest.mark.usefixtures("stores")
def test_a_connection_that_airflow_must_look_up_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(store_choices.CONNECTION)
    monkeypatch.setattr(BaseHook, "get_connection", lambda *_: pytest.fail("it asked"))

    assert store_choices.store_choices() == {}


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize("trouble", ["refuses", "is silent", "is empty", "is not known"])
def test_a_dag_parses_whatever_the_database_does(
    trouble: str, conn: Connection, db_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if trouble == "is silent":
            server.listen()
        if trouble in {"refuses", "is silent"}:
            port = server.getsockname()[1]
            connect_to(monkeypatch, f"postgresql://me:pw@127.0.0.1:{port}/stores")
        elif trouble == "is empty":
            conn.execute("ALTER TABLE stores RENAME TO elsewhere")
        else:
            connect_to(monkeypatch, db_url.rsplit("/", 1)[0] + "/nowhere")

        stores = sync_dag.params()["stores"]

    assert "examples" not in stores.schema
    assert stores.resolve(["A1"]) == ["A1"]
