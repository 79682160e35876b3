"""Is the first page's work done at the start, and is trouble there no trouble of the start?

That Airflow enters the app's lifespan is looked at in tests/e2e/test_ui.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
import pytest

from tests.database.task_bodies import connections
from tests.database.witnesses.statement_log import recorded
from tests.postgres_server import PostgresServer
from tiktok_airflow.status_page import warm_up
from tiktok_airflow.status_page.app import build_app
from tiktok_airflow.status_page.rendering import look

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """No template is compiled; and without Airflow's own app, four seconds of imports."""

    async def answered() -> None:
        return

    monkeypatch.setattr(warm_up, "ask_for_health", answered)
    compiled = look._TEMPLATES.cache
    assert compiled is not None
    compiled.clear()


def in_a_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it in a thread: the browser's tests leave a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(asyncio.wait_for(work(), 60))).result()


def test_templates_and_the_store_database_are_ready_after_the_start(
    db_url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", connections(db_url)["AIRFLOW_CONN_STORE_DB"])
    with recorded(db_url, postgres.log) as found:
        assert in_a_loop(warm_up.warm_up) == {}

    compiled = look._TEMPLATES.cache
    assert compiled is not None
    assert len(compiled) == len(look._TEMPLATES.list_templates())
    assert [text for text in found.statements if "FROM alerts" in text]


def test_a_store_database_that_is_away_is_left_to_the_first_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "password": "s3cr3t"}
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", json.dumps(away))
    left_out = in_a_loop(warm_up.warm_up)

    assert set(left_out) == {"store database"}
    assert "cannot be reached" in left_out["store database"]
    assert "s3cr3t" not in str(left_out)


def test_what_fails_unexpectedly_is_named_by_its_kind_alone(
    db_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise psycopg.Error("postgresql://somebody:s3cr3t@host/")  # noqa: EM101 - a text that must not be shown

    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", connections(db_url)["AIRFLOW_CONN_STORE_DB"])
    monkeypatch.setattr(warm_up, "ask_for_health", broken)

    assert in_a_loop(warm_up.warm_up) == {"Airflow": "Error"}


def test_the_app_warms_up_when_it_starts_and_no_end_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = asyncio.Event()

    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def serve() -> None:
        app = build_app()
        async with app.router.lifespan_context(app):
            await begun.wait()

    monkeypatch.setattr(warm_up, "ask_for_health", endless)
    in_a_loop(serve)
