"""The rendered configuration, read back by supervisor itself."""

from __future__ import annotations

import shlex
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from supervisor.options import ServerOptions  # type: ignore[import-untyped]  # has no types

from include.local.environment import base_env
from include.local.processes.programs import programs
from include.local.processes.supervisor import write_conf

if TYPE_CHECKING:
    from tests.unit.local.conftest import Bench

ReadBack = Callable[[], Any]


@pytest.fixture
def read_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> ReadBack:
    monkeypatch.chdir(bench.workspace.state)  # where supervisord starts

    def read() -> Any:
        settings = bench.settings()
        write_conf(bench.workspace, settings, programs(bench.workspace, settings).values())
        options = ServerOptions()
        options.realize(args=["-c", str(bench.workspace.supervisor_conf)])
        options.process_config(do_usage=False)
        return options

    return read


def _programs(options: Any) -> dict[str, Any]:
    return {group.name: group.process_configs[0] for group in options.process_group_configs}


def test_supervisor_reads_it_whatever_the_path(bench: Bench, read_back: ReadBack) -> None:
    found = _programs(read_back())
    assert set(found) == set(programs(bench.workspace, bench.settings()))
    for name, program in found.items():
        assert Path(program.stdout_logfile).absolute() == bench.workspace.log_file(name)
        expected = [sys.executable, "-m", "include.local.processes.launch", name]
        assert shlex.split(program.command) == expected
        assert not program.autostart
        assert program.killasgroup


@pytest.mark.parametrize("name", ["it's", 'say "hi"', "100%", "a #b", "a ;b", "back\\slash", "é"])
def test_supervisor_reads_the_interpreter_whatever_its_path(
    name: str, read_back: ReadBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", f"/opt/{name}/bin/python")

    command = _programs(read_back())["postgres"].command

    assert shlex.split(command)[0] == f"/opt/{name}/bin/python"


def test_it_holds_no_secret(bench: Bench, read_back: ReadBack) -> None:
    read_back()
    settings = bench.settings()
    text = bench.workspace.supervisor_conf.read_text()

    secrets = [n for n in settings.env if n.endswith(("PASSWORD", "SECRET", "KEY", "KEYS"))]
    assert len(secrets) == 14
    assert not [name for name in secrets if settings.env[name] in text]
    assert stat.S_IMODE(bench.workspace.supervisor_conf.stat().st_mode) == 0o600


def test_it_listens_on_the_loopback_interface_with_a_password(
    bench: Bench, read_back: ReadBack
) -> None:
    (server,) = read_back().server_configs

    assert (server["host"], server["port"]) == (
        "127.0.0.1",
        bench.settings().port("SUPERVISOR_PORT"),
    )
    assert server["password"].startswith("{SHA}")


def test_postgres_stops_fast_and_alone(read_back: ReadBack) -> None:
    postgres = _programs(read_back())["postgres"]

    assert (postgres.name, postgres.stopsignal.name, postgres.stopasgroup) == (
        "postgres",
        "SIGINT",
        False,
    )


def test_programs_inherit_no_foreign_secret_and_no_proxy_to_themselves(bench: Bench) -> None:
    caller = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "NO_PROXY": "intra", "HTTP_PROXY": "p"}

    env = base_env(bench.workspace, caller)

    assert "AWS_SECRET_ACCESS_KEY" not in env
    assert env["NO_PROXY"] == "intra,127.0.0.1,localhost"
    assert env["HTTP_PROXY"] == "p"
    assert env["TIKTOK_SYNC_STACK"] == str(bench.workspace.state)
