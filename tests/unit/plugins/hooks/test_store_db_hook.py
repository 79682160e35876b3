"""StoreDbHook: how a task's connection is named and bounded."""

from __future__ import annotations

import shlex
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from include.tiktok_sync.errors import ConfigurationError, DatabaseUnavailableError
from tests.unit.plugins.conftest import Connect
from tiktok_airflow.hooks.store_db_hook import APPLICATION_NAME_BYTES, StoreDbHook

PASSWORD = "pa55/word:@"


def settings_of(hook: StoreDbHook) -> dict[str, str]:
    r"""The server settings in the hook's options; Postgres splits at blanks, ``\`` escapes."""
    words = shlex.split(hook.options or "")
    assert words[::2] == ["-c"] * (len(words) // 2)
    return dict(word.split("=", 1) for word in words[1::2])


def context(*, map_index: int = -1, timeout: timedelta | None = None) -> dict[str, Any]:
    return {
        "ti": SimpleNamespace(
            dag_id="sync_user_daily", task_id="sync_store_user", map_index=map_index
        ),
        "task": SimpleNamespace(execution_timeout=timeout),
    }


def test_hook_reads_store_db() -> None:
    hook = StoreDbHook()

    assert hook.get_conn_id() == "store_db"
    assert settings_of(hook) == {"application_name": "tiktok_sync"}


def test_task_names_and_bounds_its_connection() -> None:
    hook = StoreDbHook.for_task(context(map_index=17, timeout=timedelta(minutes=10)))

    assert settings_of(hook) == {
        "application_name": "airflow:sync_user_daily.sync_store_user[17]",
        "statement_timeout": "600000",
    }


def test_task_that_is_not_mapped_has_no_index() -> None:
    hook = StoreDbHook.for_task(context())

    assert settings_of(hook) == {"application_name": "airflow:sync_user_daily.sync_store_user"}


@pytest.mark.parametrize(
    ("timeout", "milliseconds"),
    [(timedelta(minutes=30), "1800000"), (timedelta(seconds=1.5), "1500")],
)
def test_statement_timeout_is_in_milliseconds(timeout: timedelta, milliseconds: str) -> None:
    hook = StoreDbHook(statement_timeout=timeout)

    assert settings_of(hook)["statement_timeout"] == milliseconds


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("two words", "two words"),
        ("back\\slash", "back\\slash"),
        ("tail\\", "tail\\"),
        ("-c statement_timeout=0", "-c statement_timeout=0"),
        ("x" * 70, "x" * 63),
        ("é" * 40, "é" * 31),  # two bytes each; half a letter is not sent
        ("n " * 40, ("n " * 40)[:63]),
    ],
)
def test_application_name_is_one_value_that_postgres_keeps(name: str, expected: str) -> None:
    hook = StoreDbHook(application_name=name)

    assert settings_of(hook) == {"application_name": expected}
    assert len(expected.encode()) <= APPLICATION_NAME_BYTES


def test_unreachable_server_is_tried_again_later(connect: Connect) -> None:
    connect(
        "store_db",
        conn_type="postgres",
        host="127.0.0.1",
        port=1,
        login="tiktok_sync",
        password=PASSWORD,
        schema="tiktok_sync",
        extra={"connect_timeout": 3},
    )

    with pytest.raises(DatabaseUnavailableError) as caught, StoreDbHook().session():
        pytest.fail("there is no server")

    message = str(caught.value)
    assert message.startswith("The store database cannot be reached: ")
    assert "store_db" in message
    assert PASSWORD not in message
    assert caught.value.retry_after_s == 30


def test_missing_connection_says_how_to_make_it() -> None:
    with (
        pytest.raises(ConfigurationError) as caught,
        StoreDbHook("store_db_nowhere").session(),
    ):
        pytest.fail("there is no connection")

    assert "store_db_nowhere does not exist" in str(caught.value)
    assert "python plugins/load_airflow_settings.py" in str(caught.value)
