"""Who keeps the programs running? supervisord: its configuration, start and remote control."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import xmlrpc.client
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from include.local.environment import base_env
from include.local.errors import StartError
from include.local.polling import wait_for
from include.local.ports import HOST
from include.local.processes.programs import Program
from include.local.settings import LocalSettings
from include.local.workspace import Workspace, write_private

NAME = "supervisord"
LOG_BYTES = 10_000_000
LOG_BACKUPS = 3

RUNNING = "RUNNING"
FAILED_STATES = frozenset({"BACKOFF", "EXITED", "FATAL", "UNKNOWN"})
STOPPED_STATES = frozenset({"STOPPED", "EXITED", "FATAL"})

_USER = "local"
_START_SECONDS = 60.0
_ANSWER_SECONDS = 15.0


@dataclass(frozen=True)
class ProgramState:
    """The state of one program, as supervisord reports it.

    Attributes:
        name: The program.
        state: Supervisor's state name, such as ``RUNNING`` or ``FATAL``.
        pid: Its process, 0 if there is none.
        started: When the process was started, in seconds since 1970.
        reason: Why a start failed, as supervisor reports it; may be empty.
    """

    name: str
    state: str
    pid: int
    started: int
    reason: str


def render(settings: LocalSettings, programs: Iterable[Program]) -> str:
    """The text of ``supervisord.conf``.

    Its own paths are relative to the state folder, where supervisord starts: that may have any
    name, and ``%(here)s`` breaks on a per cent sign.
    """
    # Supervisor takes a password as its SHA-1; the file then holds no secret at all.
    password = hashlib.sha1(  # noqa: S324 - supervisor's format; the password is 24 random bytes
        settings.env["SUPERVISOR_PASSWORD"].encode()
    ).hexdigest()
    sections = [
        _section(
            "supervisord",
            {
                "logfile": "logs/supervisord.log",
                "logfile_maxbytes": LOG_BYTES,
                "logfile_backups": LOG_BACKUPS,
                "pidfile": "supervisord.pid",
                "identifier": "tiktok-store-sync",
                "umask": "077",
                # Says that staying root is meant; Postgres alone becomes another user.
                **({"user": "root"} if os.geteuid() == 0 else {}),
            },
        ),
        _section(
            "inet_http_server",
            {
                "port": f"{HOST}:{settings.port('SUPERVISOR_PORT')}",
                "username": _USER,
                "password": f"{{SHA}}{password}",
            },
        ),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": ("supervisor.rpcinterface:make_main_rpcinterface")},
        ),
        *(_section(f"program:{p.name}", _program_options(p)) for p in programs),
    ]
    return "; Rendered by every start of the stack: edits are lost.\n" + "\n".join(sections)


class Supervisor:
    """One stack's supervisord.

    Args:
        workspace: Whose.
        settings: Port and password of its control interface.
    """

    def __init__(self, workspace: Workspace, settings: LocalSettings) -> None:
        self._workspace = workspace
        password = quote(settings.env["SUPERVISOR_PASSWORD"], safe="")
        self._url = f"http://{_USER}:{password}@{HOST}:{settings.port('SUPERVISOR_PORT')}/RPC2"

    def is_running(self) -> bool:
        """Whether this stack's supervisord answers."""
        try:
            return bool(self._call("getState")["statename"] == RUNNING)
        except (OSError, HTTPException, xmlrpc.client.Error):
            # Nothing listens there, or another program does: the port check names it.
            return False

    def start(self, environ: Mapping[str, str]) -> None:
        """Start the daemon; no program runs yet.

        Args:
            environ: The caller's environment; a few harmless variables are passed on.

        Raises:
            StartError: It does not come up.
        """
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            [
                *(sys.executable, "-m", "supervisor.supervisord"),
                *("-c", str(self._workspace.supervisor_conf)),
            ],
            cwd=self._workspace.state,
            env=base_env(self._workspace, environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.returncode and wait_for(self.is_running, seconds=_START_SECONDS, every=0.05):
            return
        reason = done.stderr.strip() or "it does not answer on its control port"
        message = f"{NAME} did not start: {reason}. Its log: {self._workspace.log_file(NAME)}"
        raise StartError(message)

    def apply(self, names: Collection[str]) -> list[str]:
        """Take over the rendered configuration for some programs.

        Args:
            names: Programs that may be stopped if their configuration changed; others keep
                running as they are.

        Returns:
            Those that were stopped because they changed or are no longer wanted.
        """
        added, changed, removed = self._call("reloadConfig")[0]
        replaced = [name for name in (*changed, *removed) if name in names or name in removed]
        running = [n for n, state in self.states().items() if state.state not in STOPPED_STATES]
        stopped = [name for name in replaced if name in running]
        self.stop(stopped)
        for name in replaced:
            self._call("removeProcessGroup", name)
        for name in (*added, *(name for name in replaced if name in changed)):
            self._call("addProcessGroup", name)
        return stopped

    def states(self) -> dict[str, ProgramState]:
        """What each program is doing."""
        return {
            info["name"]: ProgramState(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                started=info["start"],
                reason=info["spawnerr"],
            )
            for info in self._call("getAllProcessInfo")
        }

    def start_program(self, name: str) -> None:
        """Ask for a start; whether it succeeds is seen in ``states``."""
        self._call("startProcess", name, False)  # noqa: FBT003 - positional over XML-RPC: no wait

    def stop(self, names: Collection[str]) -> None:
        """Stop programs together and wait until they have ended."""
        for name in names:
            try:
                self._call("stopProcess", name, False)  # noqa: FBT003 - positional over XML-RPC
            except xmlrpc.client.Fault:
                continue  # it ended by itself meanwhile
        # supervisord itself kills what does not end in time.
        wait_for(
            lambda: all(
                state.state in STOPPED_STATES
                for name, state in self.states().items()
                if name in names
            ),
            seconds=math.inf,
        )

    def shutdown(self) -> None:
        """Stop whatever still runs and end the daemon; returns before it has ended."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        with xmlrpc.client.ServerProxy(self._url, transport=_Transport()) as server:
            return getattr(server.supervisor, method)(*arguments)


class _Transport(xmlrpc.client.Transport):
    """Gives up on a server that accepts and does not answer: it may be another program."""

    def make_connection(self, host: Any) -> HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = _ANSWER_SECONDS
        return connection


def write_conf(workspace: Workspace, settings: LocalSettings, programs: Iterable[Program]) -> None:
    """Write the configuration and what the programs' launcher reads."""
    programs = list(programs)
    for program in programs:
        program.write_launch_file(workspace)
    write_private(workspace.supervisor_conf, render(settings, programs))


def _program_options(program: Program) -> dict[str, Any]:
    return {
        "command": f"{_quote(sys.executable)} -m include.local.processes.launch {program.name}",
        # Not read by the program: a new value here is what makes supervisor restart it.
        "environment": f'LAUNCH_DIGEST="{program.digest()}"',
        "autostart": "false",  # started in order, Postgres and the migrations first
        "autorestart": "true",
        "startsecs": program.settle_seconds,
        # The wait before each grows by a second: Airflow's parts come back by themselves when
        # Postgres was away for minutes. `up` gives up at the first failed start (see health).
        "startretries": 20,
        "stopsignal": program.stop_signal,
        "stopasgroup": str(program.stop_group).lower(),
        "killasgroup": "true",
        "stopwaitsecs": program.stop_seconds,
        "redirect_stderr": "true",
        "stdout_logfile": f"logs/{program.name}.log",
        "stdout_logfile_maxbytes": LOG_BYTES,
        "stdout_logfile_backups": LOG_BACKUPS,
    }


def _section(name: str, options: Mapping[str, Any]) -> str:
    return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in options.items()), ""])


def _quote(text: str) -> str:
    """Quote a word of a command for supervisor's parser, which reads it as a shell would.

    Every odd character is quoted alone, so that none of them follows a blank: `` #`` and
    `` ;`` would start a comment of the file.
    """
    special = {"%": '"%%"', '"': '"\\""', "\\": '"\\\\"'}
    return "".join(
        char if char.isalnum() or char in "/._-" else special.get(char, f'"{char}"')
        for char in text
    )
