"""Each program gets what it needs, and no secret that it does not."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from benchmarks.measure.meter import PARTS
from include.connect.settings import DEFAULT_AUTHORIZE_URL, ConnectSettings
from include.local.parts.airflow_env import command_env, product_env, write_password_file
from include.local.processes.programs import AIRFLOW, programs
from include.sandbox.settings import AUTHORIZE_PATH
from include.tiktok_sync.jobs import INSIGHTS_JOB, NIGHTLY_JOBS, SYNC_JOBS
from include.tiktok_sync.links.connect_links import LinkMaker

if TYPE_CHECKING:
    from include.local.settings import LocalSettings
    from tests.unit.local.conftest import Bench

SECRETS = {
    "TIKTOK_TOKEN_KEYS": {"scheduler", "connect"},
    "SANDBOX_CLIENT_SECRET": {"sandbox", "scheduler", "connect"},
    "CONNECT_SECRET": {"connect", "api-server"},
    "CONNECT_DB_PASSWORD": {"connect"},
    "AIRFLOW_FERNET_KEY": set(AIRFLOW),
    "AIRFLOW_JWT_SECRET": set(AIRFLOW),
    "AIRFLOW_DB_PASSWORD": set(AIRFLOW),
    "AIRFLOW_API_SECRET_KEY": {"api-server"},
    "AIRFLOW_ADMIN_PASSWORD": set(),
    "POSTGRES_PASSWORD": set(),
    "STORE_DB_PASSWORD": {"scheduler", "dag-processor"},
    "SUPERVISOR_PASSWORD": set(),
}
REAL_TIKTOK = {
    "TIKTOK_API_URL": "https://open.example.com",
    "TIKTOK_CLIENT_KEY": "key",
    "TIKTOK_CLIENT_SECRET": "s3cret-of-the-app",
}


@pytest.mark.parametrize("secret", SECRETS)
def test_who_knows_a_secret(bench: Bench, secret: str) -> None:
    settings = bench.settings()
    value = settings.env[secret]

    found = programs(bench.workspace, settings)
    knowing = {name for name, p in found.items() if value in json.dumps(p.launch.env)}

    assert knowing == SECRETS[secret]


def test_the_accounts_api_is_known_only_if_asked_for_and_its_secret_to_tasks_only(
    bench: Bench,
) -> None:
    off, on = bench.settings(), bench.settings({"SANDBOX_BUSINESS": "1"})
    secret, app_id = on.env["SANDBOX_BUSINESS_SECRET"], on.env["SANDBOX_BUSINESS_APP_ID"]

    def knowing(settings: LocalSettings, value: str) -> set[str]:
        found = programs(bench.workspace, settings)
        return {name for name, p in found.items() if value in json.dumps(p.launch.env)}

    assert knowing(off, secret) == knowing(off, app_id) == set()
    assert {"sandbox", "scheduler"} <= knowing(on, secret) <= {"sandbox", "scheduler", "connect"}
    assert set(AIRFLOW) | {"sandbox"} <= knowing(on, app_id)
    assert off.nightly_jobs == NIGHTLY_JOBS
    assert on.sync_jobs == (*SYNC_JOBS, INSIGHTS_JOB)
    assert on.pool_slots == off.pool_slots + 10


def test_no_secret_on_a_command_line(bench: Bench) -> None:
    settings = bench.settings()

    lines = [" ".join(p.launch.argv) for p in programs(bench.workspace, settings).values()]

    assert not [name for name in SECRETS for line in lines if settings.env[name] in line]


def test_the_app_secret_of_a_real_tiktok_reaches_the_tasks_alone(bench: Bench) -> None:
    settings = bench.settings(REAL_TIKTOK)

    found = programs(bench.workspace, settings)

    assert "sandbox" not in found
    knowing = [n for n, p in found.items() if "s3cret-of-the-app" in json.dumps(p.launch.env)]
    assert knowing == ["scheduler"]
    assert product_env(settings)["TIKTOK_CLIENT_SECRET"] == "s3cret-of-the-app"


def test_with_a_real_tiktok_the_connect_app_runs_once_it_has_an_address(bench: Bench) -> None:
    without = programs(bench.workspace, bench.settings(REAL_TIKTOK))
    assert "connect" not in without
    # A link to an app that does not run would lead nowhere: the status page makes none.
    assert not {"CONNECT_BASE_URL", "CONNECT_SECRET"} & set(without["api-server"].launch.env)
    address = {"CONNECT_BASE_URL": "https://connect.example.com", "CONNECT_RETAILER_NAME": "Ours"}

    found = programs(bench.workspace, bench.settings({**REAL_TIKTOK, **address}))

    settings = ConnectSettings.from_env(found["connect"].launch.env)
    links = LinkMaker.from_env(found["api-server"].launch.env, "status page")
    assert (links.base_url, links.secret) == (settings.base_url, settings.secret)
    assert settings.redirect_uri == "https://connect.example.com/callback"
    assert settings.authorize_url == DEFAULT_AUTHORIZE_URL
    assert (settings.retailer, settings.api_url) == ("Ours", REAL_TIKTOK["TIKTOK_API_URL"])


def test_with_the_sandbox_the_connect_app_finds_it_and_is_registered_there(bench: Bench) -> None:
    found = programs(bench.workspace, bench.settings())

    settings = ConnectSettings.from_env(found["connect"].launch.env)
    sandbox = found["sandbox"].launch.env
    assert settings.authorize_url == settings.api_url + AUTHORIZE_PATH
    assert settings.redirect_uri == sandbox["SANDBOX_REDIRECT_URIS"]
    assert "tiktok_connect" in settings.db_url


def test_caps_follow_the_pools(bench: Bench) -> None:
    env = command_env(bench.workspace, bench.settings())
    wider = command_env(bench.workspace, bench.settings({"SYNC_CONCURRENCY": "60"}))

    for name in (
        "AIRFLOW__CORE__PARALLELISM",
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG",
        "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY",
    ):
        assert (env[name], wider[name]) == ("64", "94")


def test_tasks_call_an_api_server_of_their_own_with_two_workers(bench: Bench) -> None:
    settings = bench.settings()
    found = programs(bench.workspace, settings)
    ui, tasks = found["api-server"], found["execution-api"]

    assert ui.launch.argv[-3:] == ("api-server", "--apps", "core")
    assert ui.launch.env["AIRFLOW__API__WORKERS"] == "1"
    assert tasks.launch.argv[-3:] == ("api-server", "--apps", "execution")
    assert tasks.launch.env["AIRFLOW__API__WORKERS"] == "2"
    port = settings.env["AIRFLOW_EXECUTION_PORT"]
    assert port != settings.env["AIRFLOW_PORT"]
    assert tasks.launch.env["AIRFLOW__API__PORT"] == port
    for name in AIRFLOW:
        url = found[name].launch.env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
        assert url == f"http://127.0.0.1:{port}/execution/"


def test_everything_listens_on_the_loopback_interface_only(bench: Bench) -> None:
    found = programs(bench.workspace, bench.settings())

    assert "listen_addresses=127.0.0.1" in found["postgres"].launch.argv
    assert found["sandbox"].launch.env["SANDBOX_HOST"] == "127.0.0.1"
    for name in ("api-server", "execution-api"):
        assert found[name].launch.env["AIRFLOW__API__HOST"] == "127.0.0.1"
    # Airflow's log servers know no other address than all.
    assert "--skip-serve-logs" in found["scheduler"].launch.argv
    assert "--skip-serve-logs" in found["triggerer"].launch.argv


@pytest.mark.parametrize(
    ("environ", "changed"),
    [
        ({}, set()),
        ({"SANDBOX_LATENCY": "0.5"}, {"sandbox"}),
        ({"SANDBOX_LATENCY_SPREAD": "0.8"}, {"sandbox"}),
        ({"SYNC_CONCURRENCY": "10"}, set(AIRFLOW)),
        ({"STORES": "40"}, set()),
        ({"FAULTS": "storm"}, set()),
        ({"STORES": "500"}, {"sandbox"}),
        ({"PATH": "/elsewhere"}, set()),
    ],
)
def test_only_what_a_setting_concerns_is_restarted(
    bench: Bench, environ: dict[str, str], changed: set[str]
) -> None:
    before = programs(bench.workspace, bench.settings())

    after = programs(bench.workspace, bench.settings(environ))

    assert {name for name in after if after[name].digest() != before[name].digest()} == changed


def test_the_benchmark_measures_every_program(bench: Bench) -> None:
    assert set(programs(bench.workspace, bench.settings())) <= set(PARTS)


def test_the_sandbox_never_forgets_a_store(bench: Bench) -> None:
    programs(bench.workspace, bench.settings({"STORES": "500"}))

    found = programs(bench.workspace, bench.settings({"STORES": "40"}))

    assert found["sandbox"].launch.env["SANDBOX_STORES"] == "500"


def test_launch_files_are_private_and_hold_any_value(bench: Bench) -> None:
    odd = "a\"b'c %(x)s #d ;e\n$f"
    program = programs(bench.workspace, bench.settings({"SANDBOX_CLIENT_SECRET": odd}))["sandbox"]

    program.write_launch_file(bench.workspace)

    file = bench.workspace.launch_file("sandbox")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["env"]["SANDBOX_CLIENT_SECRET"] == odd


def test_the_admins_password_is_that_of_the_env_file_and_others_keep_theirs(bench: Bench) -> None:
    settings, file = bench.settings(), bench.workspace.password_file
    password = settings.env["AIRFLOW_ADMIN_PASSWORD"]
    write_password_file(bench.workspace, settings)
    assert json.loads(file.read_text()) == {"admin": password}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    file.write_text('{"admin": "old", "reader": "made up by Airflow"}')
    write_password_file(bench.workspace, settings)
    assert json.loads(file.read_text()) == {"admin": password, "reader": "made up by Airflow"}

    file.write_text("half a fi")
    write_password_file(bench.workspace, settings)
    assert json.loads(file.read_text()) == {"admin": password}


def test_the_ui_has_the_admin_alone_unless_others_are_asked_for(bench: Bench) -> None:
    users = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"
    asked = bench.settings({users: "admin:admin,ann:viewer"})

    assert command_env(bench.workspace, bench.settings())[users] == "admin:admin"
    assert command_env(bench.workspace, asked)[users] == "admin:admin,ann:viewer"
