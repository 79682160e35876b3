"""airflow_settings.yaml and its loader: the Astro format, overrides, errors that name the cause.

What it writes is tested on a real metadata database, in tests/database.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import Connection

from include.airflow_settings import (
    SETTINGS_FILE,
    SettingsFileError,
    connection_variables,
    read_settings,
)
from load_airflow_settings import main

ASTRO_FIELDS = {
    "pools": {"pool_name", "pool_slot", "pool_description"},
    "connections": {
        "conn_id",
        "conn_type",
        "conn_host",
        "conn_schema",
        "conn_login",
        "conn_password",
        "conn_port",
        "conn_uri",
        "conn_extra",
    },
    "variables": {"variable_name", "variable_value"},
}
"""As `astro dev init` writes them."""


def project(env: dict[str, str] | None = None) -> dict[str, list[dict[str, Any]]]:
    return read_settings(SETTINGS_FILE, env or {})


def connection(conn_id: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    return next(entry for entry in project(env)["connections"] if entry["conn_id"] == conn_id)


def slots(env: dict[str, str] | None = None) -> dict[str, int]:
    return {pool["pool_name"]: pool["pool_slot"] for pool in project(env)["pools"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def refusal(file: Path, text: str, env: dict[str, str] | None = None) -> str:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsFileError) as caught:
        read_settings(file, env or {})
    return str(caught.value)


def test_file_is_in_astros_format() -> None:
    content = yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8"))

    assert set(content) == {"airflow"}
    assert set(content["airflow"]) == set(ASTRO_FIELDS)
    for section, entries in content["airflow"].items():
        for entry in entries:
            assert set(entry) <= ASTRO_FIELDS[section]


def test_file_declares_what_the_dags_use() -> None:
    assert slots() == {"tiktok_users": 30, "tiktok_videos": 20}
    assert all(pool["pool_description"] for pool in project()["pools"])
    assert "tiktok_business" not in {one["conn_id"] for one in project()["connections"]}
    tiktok = connection("tiktok_default")
    assert (tiktok["conn_type"], tiktok["conn_host"]) == ("http", "https://open.tiktokapis.com")
    assert connection("store_db")["conn_type"] == "postgres"
    assert project()["variables"] == [
        {"variable_name": "tiktok_min_success_rate", "variable_value": "0.90"}
    ]


def test_no_secret_stands_in_the_file() -> None:
    text = SETTINGS_FILE.read_text(encoding="utf-8")

    for entry in yaml.safe_load(text)["airflow"]["connections"]:
        assert entry["conn_password"] is None
        assert entry.get("conn_uri") is None
    assert connection("tiktok_default")["conn_login"] is None
    assert not re.search(r"://[^/\s]*@", text)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"SYNC_CONCURRENCY": "7"}, {"tiktok_users": 7, "tiktok_videos": 20}),
        ({"VIDEO_SYNC_CONCURRENCY": "40"}, {"tiktok_users": 30, "tiktok_videos": 40}),
        (
            {"SYNC_CONCURRENCY": "", "VIDEO_SYNC_CONCURRENCY": ""},
            {"tiktok_users": 30, "tiktok_videos": 20},
        ),
    ],
)
def test_concurrency_sets_the_pool(env: dict[str, str], expected: dict[str, int]) -> None:
    assert slots(env) == expected


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many", "1e3", " "])
@pytest.mark.parametrize(
    ("variable", "pool"),
    [("SYNC_CONCURRENCY", "tiktok_users"), ("VIDEO_SYNC_CONCURRENCY", "tiktok_videos")],
)
def test_a_concurrency_that_is_none_is_named(variable: str, pool: str, value: str) -> None:
    with pytest.raises(SettingsFileError) as caught:
        project({variable: value})

    assert str(caught.value) == (
        f"The pool {pool} needs a whole number of slots from 1 on, not {value!r} ({variable})."
    )


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many", "[]", "true"])
def test_a_pool_size_that_is_none_is_named(file: Path, value: str) -> None:
    text = f"airflow: {{pools: [{{pool_name: extra, pool_slot: {value}}}]}}"

    message = refusal(file, text)

    assert message.startswith("The pool extra needs a whole number of slots from 1 on, not ")
    assert message.endswith("(pool_slot).")


def test_tiktok_app_from_the_environment() -> None:
    tiktok = connection(
        "tiktok_default",
        {
            "TIKTOK_API_URL": "http://127.0.0.1:8099",
            "TIKTOK_CLIENT_KEY": "key",
            "TIKTOK_CLIENT_SECRET": "s3cr3t: {odd}",
        },
    )

    assert tiktok["conn_host"] == "http://127.0.0.1:8099"
    assert (tiktok["conn_login"], tiktok["conn_password"]) == ("key", "s3cr3t: {odd}")
    assert tiktok["conn_extra"] == {"connect_timeout_s": 5, "read_timeout_s": 30}


def test_database_from_the_environment() -> None:
    store_db = connection(
        "store_db",
        {
            "STORE_DB_URL": "postgresql://sync%20er:p%40ss%3Aw%2Frd%25%23%3F%27%20%C3%A9@db.test:6543"
            "/shop%2Fone?sslmode=require&connect_timeout=3"
        },
    )

    assert store_db == {
        "conn_id": "store_db",
        "conn_type": "postgres",
        "conn_host": "db.test",
        "conn_schema": "shop/one",
        "conn_login": "sync er",
        "conn_password": "p@ss:w/rd%#?' é",
        "conn_port": 6543,
        "conn_extra": {"connect_timeout": "3", "sslmode": "require"},
    }


def test_database_url_without_a_port_means_the_usual_one() -> None:
    store_db = connection("store_db", {"STORE_DB_URL": "postgresql://u:p@db.test/shop"})

    assert store_db["conn_port"] == 5432
    assert store_db["conn_extra"] == {"connect_timeout": 10}


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cr3t@db.test:port/shop",
        "postgresql://u:s3cr3t%zz@db.test/shop",
        "u:s3cr3t@db.test",
        "postgresql://u:s3cr3t@a.test,b.test:1,2/shop",
    ],
)
def test_a_database_url_that_is_none_is_named_without_its_password(url: str) -> None:
    with pytest.raises(SettingsFileError) as caught:
        project({"STORE_DB_URL": url})

    assert str(caught.value).startswith("STORE_DB_URL is not a libpq URL")
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_min_success_rate_from_the_environment() -> None:
    assert project({"MIN_SUCCESS_RATE": "0.5"})["variables"] == [
        {"variable_name": "tiktok_min_success_rate", "variable_value": "0.5"}
    ]


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "most"])
def test_min_success_rate_out_of_range_is_named(value: str) -> None:
    with pytest.raises(SettingsFileError, match="MIN_SUCCESS_RATE"):
        project({"MIN_SUCCESS_RATE": value})


def test_environment_touches_nothing_else(file: Path) -> None:
    file.write_text(
        """
airflow:
  pools: [{pool_name: other, pool_slot: 3}]
  connections: [{conn_id: other, conn_type: http, conn_extra: '{"a": 1}'}]
  variables: [{variable_name: other, variable_value: x}]
""",
        encoding="utf-8",
    )
    env = {
        "SYNC_CONCURRENCY": "9",
        "VIDEO_SYNC_CONCURRENCY": "9",
        "TIKTOK_CLIENT_SECRET": "s",
        "STORE_DB_URL": "postgresql://u:p@h/d",
        "MIN_SUCCESS_RATE": "0.1",
    }

    assert read_settings(file, env) == {
        "pools": [{"pool_name": "other", "pool_slot": 3}],
        "connections": [{"conn_id": "other", "conn_type": "http", "conn_extra": {"a": 1}}],
        "variables": [{"variable_name": "other", "variable_value": "x"}],
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("airflow: {pool: []}", "unknown section pool; known are pools, connections, variables."),
        ("airflow: {pools: [{pool_name: a, slots: 3}]}", "unknown field slots in pools."),
        ("airflow: {connections: [{conn_id: a, host: b}]}", "unknown field host in connections."),
        ("airflow: {variables: [{name: a}]}", "unknown field name in variables."),
        ("airflow: {pools: [{pool_slot: 3}]}", "an entry of pools has no pool_name."),
        ("airflow: {pools: [{pool_name: a}]}", "an entry of pools has no pool_slot."),
        ("airflow: {connections: [{conn_type: http}]}", "an entry of connections has no conn_id."),
        (
            "airflow: {variables: [{variable_name: a, variable_value: }]}",
            "an entry of variables has no variable_value.",
        ),
        ("airflow: {pools: [tiktok_users]}", "an entry of pools is not a list of fields"),
        ("airflow: [pools]", "everything must stand in sections below `airflow:`."),
        ("- airflow", "everything must stand in sections below `airflow:`."),
        ("airflow: {connections: [{conn_id: a, conn_extra: '{'}]}", "conn_extra of a is not JSON."),
        ("airflow: {", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_the_reason(
    file: Path, text: str, reason: str
) -> None:
    message = refusal(file, text)

    assert str(file) in message
    assert reason in message


def test_an_empty_file_declares_nothing(file: Path) -> None:
    file.write_text("", encoding="utf-8")

    assert read_settings(file, {}) == {"pools": [], "connections": [], "variables": []}


def test_command_says_what_is_wrong_and_fails(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["load_airflow_settings.py", str(file)])

    assert main() == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {file} cannot be read: ")


def test_connections_as_variables_are_what_airflow_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {
        "TIKTOK_API_URL": "http://127.0.0.1:9",
        "TIKTOK_CLIENT_KEY": "key",
        "TIKTOK_CLIENT_SECRET": "se/c:r@t%",
        "STORE_DB_URL": "postgresql://me:p%40ss@db:6000/tiktok?sslmode=require",
    }

    variables = connection_variables(project(env))

    assert sorted(variables) == ["AIRFLOW_CONN_STORE_DB", "AIRFLOW_CONN_TIKTOK_DEFAULT"]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tiktok = Connection.get("tiktok_default")
    assert (tiktok.host, tiktok.login, tiktok.password) == (
        "http://127.0.0.1:9",
        "key",
        "se/c:r@t%",
    )
    assert tiktok.extra_dejson == {"connect_timeout_s": 5, "read_timeout_s": 30}
    store = Connection.get("store_db")
    assert (store.conn_type, store.host, store.port, store.schema) == (
        *("postgres", "db", 6000, "tiktok"),
    )
    assert (store.login, store.password) == ("me", "p@ss")
    assert store.extra_dejson == {"connect_timeout": 10, "sslmode": "require"}


CHANNELS = [("ALERTS_URL", "tiktok_alerts"), ("REPORT_URL", "tiktok_reports")]


@pytest.mark.parametrize(("variable", "conn_id"), CHANNELS)
def test_urls_give_the_channels_and_blank_leaves_them_to_the_ui(
    variable: str, conn_id: str
) -> None:
    urls = "mailto://me:pa,ss@mail?to=a,b@c.d, json://x@y/z,slack://t/o/k"
    (alerts,) = (
        entry for entry in project({variable: urls})["connections"] if entry["conn_id"] == conn_id
    )
    assert alerts["conn_extra"] == {
        "config": [
            {"path": "mailto://me:pa,ss@mail?to=a,b@c.d"},
            {"path": "json://x@y/z"},
            {"path": "slack://t/o/k"},
        ]
    }
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    assert name in connection_variables(project({variable: urls}))
    assert name not in connection_variables(project())


@pytest.mark.parametrize(("variable", "_"), CHANNELS)
def test_wrong_urls_are_refused_without_showing_them(variable: str, _: str) -> None:
    with pytest.raises(SettingsFileError) as caught:
        project({variable: "token-of-nobody"})
    assert f"{variable} must be Apprise URLs" in str(caught.value)
    assert "token-of-nobody" not in str(caught.value)
