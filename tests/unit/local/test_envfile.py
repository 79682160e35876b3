"""`.env`: written once, complete, private, never changed after."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet
from dotenv import dotenv_values

from include.local.envfile import KEYS, load
from include.local.ports import PORT_RANGE

if TYPE_CHECKING:
    from tests.unit.local.conftest import Bench


def test_first_use_writes_every_key_with_a_comment(bench: Bench) -> None:
    values = load(bench.workspace, {})

    text = bench.workspace.env_file.read_text()
    assert set(values) == {key.name for key in KEYS}
    assert all(f"# {key.comment}\n{key.name}=" in text for key in KEYS)
    assert text.startswith("# Keys and ports")
    Fernet(values["TIKTOK_TOKEN_KEYS"])
    Fernet(values["AIRFLOW_FERNET_KEY"])
    assert len(values["AIRFLOW_JWT_SECRET"].encode()) >= 64


def test_only_the_owner_can_read_it(bench: Bench) -> None:
    load(bench.workspace, {})

    assert stat.S_IMODE(bench.workspace.env_file.stat().st_mode) == 0o600


def test_ports_differ_and_are_below_the_ephemeral_range(bench: Bench) -> None:
    values = load(bench.workspace, {})

    ports = [int(value) for name, value in values.items() if name.endswith("_PORT")]
    assert len(set(ports)) == len(ports) == 6
    assert all(port in PORT_RANGE for port in ports)


def test_second_use_changes_nothing(bench: Bench) -> None:
    first = load(bench.workspace, {})
    text = bench.workspace.env_file.read_text()

    assert load(bench.workspace, {}) == first
    assert bench.workspace.env_file.read_text() == text


def test_missing_keys_are_added_and_the_rest_kept(bench: Bench) -> None:
    bench.workspace.env_file.write_text("# mine\nAIRFLOW_PORT=28080\nSTORES=7\nODD=a$b#c")

    values = load(bench.workspace, {})

    text = bench.workspace.env_file.read_text()
    assert text.startswith("# mine\nAIRFLOW_PORT=28080\nSTORES=7\nODD=a$b#c\n")
    assert (values["AIRFLOW_PORT"], values["STORES"], values["ODD"]) == ("28080", "7", "a$b#c")
    assert {key.name for key in KEYS} <= set(dotenv_values(bench.workspace.env_file))


def test_the_environment_wins_unless_it_is_empty(bench: Bench) -> None:
    written = load(bench.workspace, {})

    values = load(bench.workspace, {"AIRFLOW_PORT": "28081", "SANDBOX_PORT": ""})

    assert values["AIRFLOW_PORT"] == "28081"
    assert values["SANDBOX_PORT"] == written["SANDBOX_PORT"]
