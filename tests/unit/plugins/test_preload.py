"""Warm workers: what the scheduler loads before it forks, and what is left for each task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Probe

PROBE = Path(__file__).parent / "probes" / "preload.py"

OF_EVERY_TASK = {
    "airflow.dag_processing.dagbag",
    "airflow.dag_processing.importers.python_importer",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.common.sql.operators.sql",
    "cryptography.fernet",
    "tiktok_airflow.operators.data_check",
    "tiktok_airflow.hooks.store_db_hook",
    "tiktok_airflow.hooks.tiktok_hook",
    "include.tiktok_sync.tiktok.client",
    "include.tiktok_sync.sync.data_checks.check",
    "include.tiktok_sync.sync.user_sync",
    "include.tiktok_sync.sync.videos.sync",
    "psycopg",
    "requests",
    "tiktok_airflow.operators.store_sync",
    "tiktok_airflow.dag",
    "tiktok_airflow.tasks.sync",
    "tenacity",
}
HEAVY = (
    "airflow.providers",
    "airflow.sdk",
    "alembic",
    "cryptography",
    "tiktok_airflow.operators.data_check",
    "tiktok_airflow.hooks",
    "include",
    "jinja2",
    "jsonschema",
    "psycopg",
    "pydantic",
    "requests",
    "sqlalchemy",
    "tiktok_airflow.operators.store_sync",
    "tiktok_airflow.dag",
    "tiktok_airflow.tasks.sync",
    "tenacity",
)


@pytest.fixture(scope="module")
def scheduler(probe: Probe) -> Any:
    return probe(PROBE, "scheduler")


@pytest.fixture(scope="module")
def listing(probe: Probe) -> Any:
    """A command that is no part of a stack."""
    return probe(PROBE, "dags", "list")


def below(packages: tuple[str, ...], modules: list[str]) -> list[str]:
    return [
        name
        for name in modules
        if any(name == package or name.startswith(f"{package}.") for package in packages)
    ]


def test_scheduler_loads_what_every_task_imports(scheduler: Any) -> None:
    assert set(scheduler["preloaded"]) >= OF_EVERY_TASK


def test_what_draws_reports_is_left_to_the_task_that_does(scheduler: Any) -> None:
    heavy = ("altair", "babel.numbers", "narwhals", "vl_convert", "include.tiktok_sync.reports")
    assert below(heavy, [*scheduler["preloaded"], *scheduler["added_by_task"]]) == []


def test_celery_worker_does_the_same(probe: Probe) -> None:
    assert set(probe(PROBE, "celery", "worker")["preloaded"]) >= OF_EVERY_TASK


def test_dag_processor_loads_what_each_parse_asks_with(probe: Probe) -> None:
    found = probe(PROBE, "dag-processor")

    assert {"tiktok_airflow.hooks.store_db_hook", "psycopg"} <= set(found["preloaded"])
    assert found["native_threads"] == 1
    assert (found["new_sockets"], found["unshareable"]) == ([], [])


def test_nothing_comes_to_life_before_the_fork(scheduler: Any) -> None:
    # A thread or a connection that many forks share is broken in all of them.
    assert scheduler["threads"] == ["MainThread"]
    assert scheduler["native_threads"] == 1
    assert scheduler["new_sockets"] == []
    # TLS contexts, sessions, clients, connections, event loops, child processes.
    assert scheduler["unshareable"] == []
    # Nobody would release it in a fork (Airflow issue 71707).
    assert scheduler["held_locks"] == []


def test_forks_share_no_random_state(scheduler: Any) -> None:
    assert scheduler["generators"] == []
    assert set(scheduler["drawn"]) == {"random", "OpenSSL", "the system", "the client's jitter"}
    for source, (one, other) in scheduler["drawn"].items():
        assert one != other, source


def test_a_task_finds_everything_loaded(scheduler: Any) -> None:
    added = scheduler["added_by_task"]

    assert scheduler["dags"] == ["sync_user_daily"]
    assert scheduler["errors"] == {}
    assert below(HEAVY, added) == []
    # What remains is the Dag file itself, which is parsed for each task, and at most crumbs.
    assert [name for name in added if name.endswith("_sync_user_daily")] != []
    assert len(added) <= 5, added


def test_a_task_finds_built_what_processes_build_once(scheduler: Any, listing: Any) -> None:
    # The listeners need every plugin scanned; a lexer is there once a Dag's template was compiled.
    assert scheduler["built"]["listeners"] == 1
    assert scheduler["built"]["template lexers"] >= 1
    assert not any(listing["built"].values())


def test_other_commands_do_not_pay_for_it(listing: Any) -> None:
    assert (
        below(
            (
                "include",
                "psycopg",
                "tiktok_airflow.dag",
                "tiktok_airflow.hooks",
                "tiktok_airflow.tasks",
            ),
            listing["preloaded"],
        )
        == []
    )
    assert "airflow_local_settings" in listing["preloaded"]
    # ... and the same measure sees a task's imports where nothing was preloaded.
    assert {
        "tiktok_airflow.hooks.tiktok_hook",
        "include.tiktok_sync.tiktok.client",
        "psycopg",
        "tiktok_airflow.dag",
    } <= set(listing["added_by_task"])
