"""Does the client of Airflow's API log in when it must, and again when its token has ended?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from include.tiktok_sync.doctor.airflow import PARTS, check
from include.tiktok_sync.doctor.airflow_client import AirflowClient
from tests.unit.tiktok_sync.scripted import Reply, ScriptedServer

TOKEN = Reply(201, {"access_token": "tok1"})


@pytest.fixture
def api(server: ScriptedServer) -> Iterator[AirflowClient]:
    with AirflowClient(f"{server.url}/", "pw") as client:
        yield client


def asked(server: ScriptedServer) -> list[tuple[str, str, str | None]]:
    return [(seen.method, seen.path, seen.headers.get("Authorization")) for seen in server.seen]


def test_one_login_for_many_questions_and_none_for_what_is_open(
    server: ScriptedServer, api: AirflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.replies = [Reply(200, {"a": 1}), TOKEN, Reply(200, {"b": 2})]

    assert api.ask("GET", "/health", log_in=False) == {"a": 1}
    assert api.ask("GET", "/one", parameters={"limit": 2}) == {"b": 2}
    assert api.ask("POST", "/two", body={"x": 1}) == {"b": 2}

    assert asked(server) == [
        ("GET", "/health", None),
        ("POST", "/auth/token", None),
        ("GET", "/one?limit=2", "Bearer tok1"),
        ("POST", "/two", "Bearer tok1"),
    ]
    assert server.seen[1].body == b'{"username": "admin", "password": "pw"}'
    assert server.seen[3].body == b'{"x": 1}'


def test_a_token_that_ended_is_fetched_again_next_time(
    server: ScriptedServer, api: AirflowClient
) -> None:
    server.replies = [
        TOKEN,
        Reply(401, {"detail": "Expired"}),
        Reply(201, {"access_token": "tok2"}),
        Reply(200, {}),
    ]
    with pytest.raises(requests.HTTPError):
        api.ask("GET", "/one")

    assert api.ask("GET", "/one") == {}
    assert [token for _, _, token in asked(server)] == [None, "Bearer tok1", None, "Bearer tok2"]


def test_the_doctor_names_a_password_that_airflow_refuses(server: ScriptedServer) -> None:
    healthy = {part: {"status": "healthy"} for part in PARTS}
    server.replies = [Reply(200, healthy), Reply(401, {"detail": "Invalid credentials"})]

    (found,) = check({"AIRFLOW_API_URL": server.url, "AIRFLOW_ADMIN_PASSWORD": "wrong"})

    assert (found.status, found.text) == (
        "fail",
        f"{server.url}/auth/token answered with HTTP 401",
    )
    assert "AIRFLOW_ADMIN_PASSWORD" in found.todo


def test_the_doctor_tells_what_is_missing_from_what_fails(server: ScriptedServer) -> None:
    server.replies = [Reply(200, {}), TOKEN, Reply(404, {"detail": "no pool"}), Reply(500, {})]

    (found,) = check({"AIRFLOW_API_URL": server.url, "AIRFLOW_ADMIN_PASSWORD": "pw"})

    # The pool that is missing is a finding of its own; the second pool's 500 ends the questions.
    assert found.text == f"{server.url}/api/v2/pools/tiktok_videos answered with HTTP 500"
