"""The doctor on a stack that is broken in seven ways; the last tests of this folder."""

from __future__ import annotations

import time

import pytest

from include.local.parts.airflow_api import AirflowApi
from tests.compose.conftest import Doctor
from tests.compose.native_stack import NativeStack


@pytest.mark.timeout(600)
def test_doctor_names_what_is_broken(stack: NativeStack, api: AirflowApi, doctor: Doctor) -> None:
    """A pool of another size, none at all, a lost connection, a paused Dag, a dead triggerer."""
    for command in (
        "pools set tiktok_users 5 small",
        "pools delete tiktok_videos",
        "connections delete tiktok_default",
        "dags pause sync_user_daily --yes",
    ):
        done = stack.call("cli", ["airflow", *command.split()])
        assert done.returncode == 0, done.stderr[-2000:]
    stack.running["triggerer"].kill()
    deadline = time.monotonic() + 120
    while api.heartbeats()["triggerer"] is not None and time.monotonic() < deadline:
        time.sleep(2)

    told = {name: (f["status"], f["text"]) for name, f in doctor().items()}

    assert told["pool tiktok_users"] == ("warn", "has 5 slots, SYNC_CONCURRENCY says 30")
    assert told["pool tiktok_videos"][0] == "fail"
    assert told["connection tiktok_default"][0] == "fail"
    assert told["connection store_db"][0] == "ok"
    assert told["Dags"] == ("warn", "paused: sync_user_daily")
    assert told["Airflow's triggerer"][0] == "fail"
    assert told["Airflow's scheduler"][0] == "ok"


@pytest.mark.timeout(300)
def test_doctor_names_an_api_server_and_a_pooler_that_are_gone(
    stack: NativeStack, doctor: Doctor
) -> None:
    stack.running["api-server"].kill()
    stack.running["pgbouncer"].kill()

    told = {name: (f["status"], f["text"]) for name, f in doctor().items()}

    assert told["Airflow"][0] == "fail"
    assert "does not answer" in told["Airflow"][1]
    assert told["store database"][0] == "fail"
    assert "refused" in told["store database"][1]
