"""What does the local stack ask Airflow, and what does it say when Airflow does not do it?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from include.local.errors import AirflowApiError
from include.local.parts.airflow_api import AirflowApi
from tests.unit.tiktok_sync.scripted import Reply, ScriptedServer

if TYPE_CHECKING:
    from tests.unit.local.conftest import Bench

TOKEN = Reply(201, {"access_token": "tok1"})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    found = ScriptedServer()
    yield found
    found.close()


@pytest.fixture
def api(bench: Bench, server: ScriptedServer) -> AirflowApi:
    environ = {"AIRFLOW_PORT": str(urlsplit(server.url).port), "AIRFLOW_ADMIN_PASSWORD": "pw"}
    return AirflowApi(bench.settings(environ))


def test_a_run_is_started_and_followed_with_one_login(
    server: ScriptedServer, api: AirflowApi
) -> None:
    server.replies = [TOKEN, Reply(200, {"dag_run_id": "r+1"}), Reply(200, {"state": "queued"})]

    run_id = api.trigger("nightly")

    assert api.run_state("nightly", run_id) == "queued"
    assert [(seen.method, seen.path, seen.body) for seen in server.seen[1:]] == [
        ("POST", "/api/v2/dags/nightly/dagRuns", b'{"logical_date": null}'),
        ("GET", "/api/v2/dags/nightly/dagRuns/r%2B1", b""),
    ]


def test_one_500_at_a_look_is_asked_again(server: ScriptedServer, api: AirflowApi) -> None:
    server.replies = [TOKEN, Reply(500, {}), Reply(200, {"import_errors": []})]

    assert api.import_errors() == []


def test_a_refusal_names_what_was_asked(server: ScriptedServer, api: AirflowApi) -> None:
    server.replies = [Reply(401, {"detail": "Invalid credentials"})]

    with pytest.raises(AirflowApiError, match=r"POST /auth/token with HTTP 401: .*credentials"):
        api.dag("nightly")


def test_no_answer_names_the_address(server: ScriptedServer, api: AirflowApi) -> None:
    server.close()

    with pytest.raises(AirflowApiError, match=f"{server.url} does not answer GET /api/v2/monitor"):
        api.heartbeats()
