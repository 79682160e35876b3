"""Supervisor and Postgres for real: start, reuse, crash, port in use, stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from include.local.errors import PortInUseError, StartError
from include.local.processes import leftovers as processes
from include.local.stack import Stack
from include.local.workspace import STACK_MARKER

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    # A blank, a quote and a per cent sign: any folder must do.
    return {"LOCAL_STATE_DIR": str(tmp_path / "a clone's 100%")}


@pytest.fixture
def local(environ: dict[str, str]) -> Iterator[Stack]:
    local = Stack.load(environ)
    yield local
    local.down()
    assert processes.of_stack(local.workspace) == []


def _pid(local: Stack) -> int:
    return local.states()["postgres"].pid


def _supervisor_pid(local: Stack) -> int:
    return int((local.workspace.state / "supervisord.pid").read_text())


def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_start_makes_two_databases_that_are_closed_to_each_other(local: Stack) -> None:
    local.up_database()

    with psycopg.connect(local.settings.store_db_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'sync_logs'")
        assert tables.fetchone() == (1,)
    with psycopg.connect(local.settings.airflow_db_url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("airflow",)
    with psycopg.connect(local.settings.connect_db_url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("tiktok_connect",)
    crossed = local.settings.store_db_url.removesuffix("tiktok_sync") + "airflow"
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(crossed)
    if os.geteuid() == 0:
        assert psutil.Process(_pid(local)).username() == "nobody"


def test_second_start_reuses_what_runs(local: Stack, environ: dict[str, str]) -> None:
    local.up_database()
    before = (_pid(local), _supervisor_pid(local))

    Stack.load(environ).up_database()

    assert (_pid(local), _supervisor_pid(local)) == before


def test_a_killed_supervisord_is_recovered_from(local: Stack, environ: dict[str, str]) -> None:
    local.up_database()
    orphan, supervisor = _pid(local), _supervisor_pid(local)
    os.kill(supervisor, signal.SIGKILL)
    _wait_for(lambda: _gone(supervisor))
    assert not _gone(orphan)

    Stack.load(environ).up_database()

    assert _gone(orphan)
    with psycopg.connect(local.settings.store_db_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_down_ends_orphans_and_a_second_down_is_harmless(local: Stack) -> None:
    local.up_database()
    orphan = _pid(local)
    os.kill(_supervisor_pid(local), signal.SIGKILL)

    assert local.down() > 0

    assert _gone(orphan)
    assert local.down() == 0


def test_a_crashed_program_is_started_again(local: Stack) -> None:
    local.up_database()
    first = _pid(local)

    os.kill(first, signal.SIGQUIT)

    _wait_for(lambda: _pid(local) not in {0, first})


def test_a_port_in_use_is_named_and_the_way_out_works(environ: dict[str, str]) -> None:
    local = Stack.load(environ)
    port = local.settings.port("POSTGRES_PORT")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(PortInUseError, match=rf"port {port} .* \(pid {os.getpid()}\)"):
            local.up_database()
        file = local.workspace.env_file
        text = "".join(
            line
            for line in file.read_text().splitlines(keepends=True)
            if "POSTGRES_PORT" not in line
        )
        file.write_text(text)

        moved = Stack.load(environ)
        moved.up_database()

        assert moved.settings.port("POSTGRES_PORT") != port
        assert moved.down() > 0
    assert processes.of_stack(local.workspace) == []


def test_two_starts_at_once_make_one_stack(local: Stack, environ: dict[str, str]) -> None:
    nothing = local.workspace.state / "empty.csv"
    nothing.write_text("")
    command = [sys.executable, "-m", "include.local", "stores-import", str(nothing)]
    starts = [
        subprocess.Popen(  # noqa: S603 - fixed arguments
            command,
            cwd=local.workspace.root,
            env={**os.environ, **environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]

    errors = [start.communicate(timeout=400)[1] for start in starts]

    # Both get as far as the empty file, one after the other has started Postgres.
    assert all("first line" in error for error in errors), errors
    assert sum("runs already" in error for error in errors) == 1
    servers = [p for p in processes.of_stack(local.workspace) if p.pid == _pid(local)]
    assert len(servers) == 1


def test_other_processes_are_never_taken_for_the_stack(local: Stack) -> None:
    local.workspace.create_folders()
    log = local.workspace.log_file("postgres")
    log.touch()
    # A pager on a log, and a shell that has the state folder in its own variables.
    pager = subprocess.Popen(  # noqa: S603 - fixed arguments
        ["/usr/bin/tail", "-f", str(log)],
        env={**os.environ, "LOCAL_STATE_DIR": str(local.workspace.state)},
        stdout=subprocess.DEVNULL,
    )
    neighbour = subprocess.Popen(  # noqa: S603 - fixed arguments
        ["/usr/bin/tail", "-f", str(log)],
        env={**os.environ, STACK_MARKER: f"{local.workspace.state}-2"},
        stdout=subprocess.DEVNULL,
    )
    try:
        assert processes.of_stack(local.workspace) == []
        assert local.down() == 0
        assert pager.poll() is None
        assert neighbour.poll() is None
    finally:
        for process in (pager, neighbour):
            process.kill()
            process.wait()


def test_a_changed_password_is_explained(local: Stack, environ: dict[str, str]) -> None:
    local.up_database()

    with pytest.raises(StartError, match="Postgres refuses POSTGRES_PASSWORD"):
        Stack.load({**environ, "POSTGRES_PASSWORD": "another"}).up_database()
