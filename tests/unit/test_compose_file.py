"""docker-compose.yaml, .env.example and the Dockerfile: right by schema, safe, and of one mind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.compose.compose_file import (
    COMPOSE_FILE,
    ENV_EXAMPLE,
    ROOT,
    VariableMissingError,
    interpolated,
    new_env,
    read_env,
    read_file,
    read_services,
    variables_of_file,
)

SERVICES: dict[str, Any] = read_file()["services"]
LONG_LIVED = [name for name, spec in SERVICES.items() if spec["restart"] != "no"]

PRODUCT = ("include/tiktok_sync", "include/connect", "plugins", "dags")

HOLD_TOKEN_KEYS = {"init", "worker", "connect", "sandbox-stores", "cli"}
HOLD_ADMIN_URL = {"init", "cli"}
HOLD_SIGNING_SECRET = {"api-server", "scheduler"}
HOLD_AIRFLOWS_DATABASE = {"init", "api-server", "scheduler", "dag-processor", "triggerer", "cli"}
HOLD_QUEUE = {"scheduler", "worker"}
ON_NETWORK = {
    "connect": {"connect", "store-db", "sandbox"},
    "report": {"grafana", "store-db"},
    "monitoring": {"grafana", "prometheus", "statsd-exporter"},
}
HOLD_LINK_SECRET = {"connect", "api-server", "cli"}


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A fresh .env, as deploy/new-env.sh makes it, with the app's key and secret."""
    return {
        **new_env(tmp_path_factory.mktemp("env") / ".env"),
        "TIKTOK_CLIENT_KEY": "app-key",
        "TIKTOK_CLIENT_SECRET": "app-secret",
    }


def test_file_is_right_by_the_compose_specification() -> None:
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_fresh_env_is_enough_and_each_empty_secret_is_refused(env: dict[str, str]) -> None:
    assert set(read_services(env)) == set(SERVICES)
    required = {name for name, must in variables_of_file().items() if must}
    assert {"TIKTOK_TOKEN_KEYS", "AIRFLOW_FERNET_KEY", "STORE_DB_PASSWORD"} <= required
    for name in required:
        with pytest.raises(VariableMissingError, match=name):
            read_services({**env, name: ""})


def test_no_secret_has_a_default() -> None:
    secret = re.compile(r"KEY|SECRET|PASSWORD")
    optional = [name for name, must in variables_of_file().items() if not must]
    # Without it the role cannot log in, and the Accounts API is off.
    may_be_empty = {
        "ANALYST_DB_PASSWORD",
        "ANALYST_NAMED_DB_PASSWORD",
        "MONITOR_DB_PASSWORD",
        "TIKTOK_BUSINESS_SECRET",
    }
    assert {name for name in optional if secret.search(name)} == may_be_empty
    example = read_env(ENV_EXAMPLE.read_text(encoding="utf-8"))
    assert [name for name, value in example.items() if secret.search(name) and value] == []


def test_example_has_every_variable_and_no_other(env: dict[str, str]) -> None:
    example = set(read_env(ENV_EXAMPLE.read_text(encoding="utf-8")))
    assert set(variables_of_file()) == example - {"COMPOSE_PROFILES"}  # Compose reads that itself
    assert set(env) == example


def test_made_keys_fit_and_differ(env: dict[str, str]) -> None:
    for name in ("TIKTOK_TOKEN_KEYS", "AIRFLOW_FERNET_KEY"):
        Fernet(env[name])
    secrets = {name: env[name] for name in env if re.search(r"KEYS?$|SECRET|PASSWORD", name)}
    assert secrets.pop("TIKTOK_BUSINESS_SECRET") == ""  # TikTok's, if the Accounts API is wanted
    made = list(secrets.values())
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[\w=-]+", value) for value in made)


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_confined(name: str) -> None:
    spec = SERVICES[name]
    assert spec["read_only"] is True
    assert spec["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in spec["security_opt"]
    assert spec["user"].split(":")[0] not in {"0", "root"}
    assert spec["mem_limit"]
    assert spec["logging"]["options"].keys() == {"max-size", "max-file"}
    for port in spec.get("ports", []):
        assert port.startswith("127.0.0.1:"), port
    assert not any("docker.sock" in volume for volume in spec.get("volumes", []))


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_watched_or_ends_by_itself(name: str) -> None:
    spec = SERVICES[name]
    if name in LONG_LIVED:
        assert spec["restart"] == "unless-stopped"
        assert spec["healthcheck"]["test"][0] == "CMD-SHELL"
        assert {"interval", "timeout", "retries", "start_period"} < set(spec["healthcheck"])
    else:
        assert "healthcheck" not in spec


def test_images_are_pinned() -> None:
    for name, spec in SERVICES.items():
        repository, _, tag = spec["image"].partition(":")
        assert tag not in {"", "latest"}, name
        assert re.search(r"\d+\.\d+", tag) or repository.startswith("tiktok-store-sync"), name


def test_who_holds_what() -> None:
    def holders(variable: str) -> set[str]:
        return {n for n, spec in SERVICES.items() if variable in spec.get("environment", {})}

    assert holders("TIKTOK_TOKEN_KEYS") == HOLD_TOKEN_KEYS
    assert holders("STORE_DB_ADMIN_URL") == HOLD_ADMIN_URL
    assert holders("CONNECT_SECRET") == holders("CONNECT_BASE_URL") == HOLD_LINK_SECRET
    assert holders("AIRFLOW__API__SECRET_KEY") == {"api-server"}
    assert holders("AIRFLOW__API_AUTH__JWT_SECRET") == HOLD_SIGNING_SECRET
    assert holders("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN") == HOLD_AIRFLOWS_DATABASE
    assert holders("AIRFLOW__CORE__FERNET_KEY") == HOLD_AIRFLOWS_DATABASE
    assert holders("AIRFLOW__CELERY__BROKER_URL") == HOLD_QUEUE
    assert holders("AIRFLOW__CELERY__RESULT_BACKEND") == {*HOLD_QUEUE, "init"}
    assert holders("AIRFLOW_DB_ADMIN_URL") == {"init"}
    # Under whatever name: each password is where its role logs in, and nowhere else.
    assert users_of("AIRFLOW_DB_PASSWORD") == {"init", "metadata-db"}
    assert users_of("STORE_DB_ADMIN_PASSWORD") == {"init", "cli", "store-db"}
    assert users_of("AIRFLOW_JWT_SECRET") == HOLD_SIGNING_SECRET
    assert users_of("AIRFLOW_APP_DB_PASSWORD") == HOLD_AIRFLOWS_DATABASE
    assert users_of("ANALYST_NAMED_DB_PASSWORD") == {"init", "cli", "grafana"}
    assert users_of("REDIS_PASSWORD") == {*HOLD_QUEUE, "redis"}
    # No secret is an argument: `ps` shows those to everyone on the host.
    for name, spec in SERVICES.items():
        words = " ".join(map(str, [*spec.get("command", []), *spec.get("entrypoint", [])]))
        assert not re.search(r"(?<!\$)\$\{", words), name


def users_of(variable: str) -> set[str]:
    """Services that are given a variable of .env in whatever value."""
    mention = re.compile(rf"\$\{{{variable}\b")
    return {n for n, s in SERVICES.items() if mention.search(str(s.get("environment", {})))}


def test_the_table_of_the_security_page_is_true() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").partition("## Who holds")[2]
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ][:12]
    columns = {
        "token keys": HOLD_TOKEN_KEYS,
        "app secret": users_of("TIKTOK_CLIENT_SECRET"),
        "`CONNECT_SECRET`": HOLD_LINK_SECRET,
        "signs for the API server": HOLD_SIGNING_SECRET,
        "queue": HOLD_QUEUE,
        "Airflow's database": HOLD_AIRFLOWS_DATABASE,
    }
    services = {"connect app": ["connect"], "`cli`": ["cli"], "PgBouncer, Postgres": []}
    seen = set()
    for row in rows:
        for name in services.get(row[0], row[0].split(", ")):
            if name not in SERVICES:
                continue
            seen.add(name)
            for column, holders in columns.items():
                cell = row[head.index(column)]
                assert (cell.startswith(("yes", "as "))) == (name in holders), (name, column)
    rest = {"backup", "restore"}
    assert seen == {*HOLD_TOKEN_KEYS, *HOLD_AIRFLOWS_DATABASE, *rest} - {"sandbox-stores"}


def test_who_shares_a_network(env: dict[str, str]) -> None:
    for network, members in ON_NETWORK.items():
        assert {n for n, s in SERVICES.items() if network in s.get("networks", [])} == members
    assert SERVICES["connect"]["networks"] == ["connect"]
    assert SERVICES["prometheus"]["networks"] == ["monitoring"]
    for name, spec in SERVICES.items():
        assert spec["networks"], f"{name} would be on the default network with everything else"
    # What is published arrives from the network's gateway; believing more would believe neighbours.
    trusted = read_services(env)["connect"].environment["CONNECT_TRUSTED_PROXIES"]
    assert (
        trusted
        == read_services({**env, "CONNECT_TRUSTED_PROXIES": ""})["connect"].environment[
            "CONNECT_TRUSTED_PROXIES"
        ]
    )
    (config,) = interpolated(read_file(), env)["networks"]["connect"]["ipam"]["config"]
    assert config == {"subnet": "172.30.90.0/24", "gateway": trusted}


READ = r"""\b(?:env(?:iron)?(?:\.get\(|\[)|variable\(\s*)"([A-Z][A-Z_]+)"""
"""How the product reads a variable of the environment."""

READERS = {
    "include/connect": {"connect"},
    # The loader of the settings and the commands; Airflow's services find the connections it made.
    "include/airflow_settings.py": {"init", "cli"},
    "include/tiktok_sync/store_db/retention.py": {"worker", "dag-processor"},
    "include/tiktok_sync/settings.py": {"worker", "cli"},
    "include/tiktok_sync/links/connect_links.py": HOLD_LINK_SECRET - {"connect"},
    "include/tiktok_sync/cli/operations.py": HOLD_ADMIN_URL,
    "include/tiktok_sync/doctor/airflow.py": {"cli"},
    "plugins/tiktok_airflow/deadline.py": {"worker", "dag-processor"},
    "plugins/tiktok_airflow/dag.py": {"worker", "dag-processor"},
}
"""Part of the product -> services that run it."""

NOT_THE_OPERATORS = {"AIRFLOW_CONN_TIKTOK_ALERTS"}


@pytest.mark.parametrize("part", READERS)
def test_every_variable_that_a_part_reads_reaches_the_services_that_run_it(part: str) -> None:
    files = [ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py")
    read = {name for file in files for name in re.findall(READ, file.read_text(encoding="utf-8"))}

    assert read
    for service in READERS[part]:
        assert read - set(SERVICES[service]["environment"]) - NOT_THE_OPERATORS == set(), service


def test_every_variable_that_the_product_reads_is_in_some_service() -> None:
    """One that is set in .env and reaches no container does nothing, in silence."""
    given = {name for spec in SERVICES.values() for name in spec.get("environment", {})}
    files = [
        ROOT / "include" / "airflow_settings.py",
        *(file for part in PRODUCT for file in (ROOT / part).rglob("*.py")),
    ]
    read = {name for file in files for name in re.findall(READ, file.read_text(encoding="utf-8"))}

    assert {"ALERTS_URL", "SLA_MINUTES", "TIKTOK_TOKEN_KEYS"} <= read
    # Airflow's image sets AIRFLOW_HOME.
    assert read - given - {"AIRFLOW_API_APPS", "AIRFLOW_HOME"} == set()


def test_pools_can_fill(env: dict[str, str]) -> None:
    slots = int(env["SYNC_CONCURRENCY"]) + int(env["VIDEO_SYNC_CONCURRENCY"])
    assert int(env["AIRFLOW_PARALLELISM"]) > slots
    assert int(env["WORKERS"]) * int(env["WORKER_CONCURRENCY"]) >= int(env["AIRFLOW_PARALLELISM"])


def test_image_has_the_versions_of_the_local_set_up() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    base = re.search(r"^FROM apache/airflow:([\d.]+)-python([\d.]+) ", dockerfile, re.MULTILINE)
    assert base is not None
    pinned = dict(
        line.split("==", 1)
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    assert base[1] == pinned["apache-airflow"] == pinned["apache-airflow-core"]
    assert base[2] == "3.11"
    assert "pip install --no-cache-dir -r /opt/airflow/requirements.txt -c" in dockerfile
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition("==")
        if version:
            plain = re.sub(r"\[.*\]", "", name).lower().replace("_", "-")
            assert pinned[plain] == version, plain


def test_image_has_all_that_its_programs_import(tmp_path: Path) -> None:
    """What the Dockerfile copies and does not remove is enough for the product's own programs."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8").partition(" AS sandbox")[0]
    # Python writes and renames files there while the suite's other process imports.
    caches = shutil.ignore_patterns("__pycache__")
    for source in re.findall(r"^COPY --chown=root:0 (\w+) ", dockerfile, re.MULTILINE):
        shutil.copytree(ROOT / source, tmp_path / source, ignore=caches)
    for removed in re.findall(r"/opt/airflow/(include/\w+)", dockerfile):
        shutil.rmtree(tmp_path / removed)
    shutil.copy(ROOT / "airflow_settings.yaml", tmp_path)
    program = "import include.tiktok_sync.cli.app, load_airflow_settings, tiktok_airflow.tasks.sync"

    done = subprocess.run(  # noqa: S603 - fixed arguments
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{tmp_path / 'plugins'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "include" / "sandbox").exists()
    assert not (tmp_path / "include" / "local").exists()
