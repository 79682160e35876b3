"""What must a fresh or older database get before the programs run? Only what it has not yet."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from include.local.environment import base_env
from include.local.errors import StartError
from include.local.parts.airflow_env import airflow_env, product_env, token_env
from include.local.settings import LocalSettings
from include.local.workspace import Workspace, write_private

_TAIL_LINES = 15


@dataclass(frozen=True)
class Step:
    """One idempotent command that prepares a database.

    Attributes:
        name: Of its log and of its fingerprint.
        what: For the progress line.
        argv: The command.
        env: Variables on top of the small base environment.
        fingerprint: Changes when the command must run again.
    """

    name: str
    what: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    fingerprint: str

    def is_applied(self, workspace: Workspace) -> bool:
        """Whether this cluster has had this very step."""
        done = workspace.applied / self.name
        return done.exists() and done.read_text(encoding="utf-8") == self.fingerprint


class RunningStep:
    """A step in progress, so that steps can run in parallel."""

    def __init__(self, workspace: Workspace, step: Step) -> None:
        self._workspace = workspace
        self._step = step
        self._log = workspace.log_file(step.name)
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
                step.argv,
                cwd=workspace.root,
                env={**base_env(workspace, os.environ), **step.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def finish(self) -> None:
        """Wait for the end and remember it.

        Raises:
            StartError: The step failed.
        """
        status = self._process.wait()
        if status:
            raise StartError(
                f"{self._step.what} failed with status {status}. Its log {self._log} ends:\n"
                + tail(self._log)
            )
        write_private(self._workspace.applied / self._step.name, self._step.fingerprint)

    def abandon(self) -> None:
        """End it, because another step failed."""
        self._process.terminate()
        self._process.wait()


def airflow_migration(workspace: Workspace, settings: LocalSettings) -> Step:
    """The schema of Airflow's metadata database."""
    return Step(
        name="airflow-db-migrate",
        what="The migration of Airflow's database",
        argv=(sys.executable, "-m", "airflow", "db", "migrate"),
        env=airflow_env(workspace, settings),
        fingerprint=version("apache-airflow-core"),
    )


def airflow_roles(workspace: Workspace, settings: LocalSettings) -> Step:
    """The role and the database of Airflow's metadata."""
    env = {
        "AIRFLOW_DB_ADMIN_URL": settings.postgres_url,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": settings.airflow_db_url,
        "AIRFLOW__CELERY__RESULT_BACKEND": settings.airflow_db_url,  # LocalExecutor keeps none
    }
    return Step(
        name="airflow-db-roles",
        what="Making Airflow's database",
        argv=(sys.executable, "-m", "include.tiktok_sync", "db", "prepare-airflow"),
        env=env,
        fingerprint=_digest([_roles(workspace)], env),
    )


def store_database(workspace: Workspace, settings: LocalSettings) -> Step:
    """The product's database: its roles, the connect app's too, and its schema."""
    env = {
        "STORE_DB_ADMIN_URL": settings.postgres_url,
        "STORE_DB_URL": settings.store_db_url,
        **settings.chosen("CONNECT_DB_PASSWORD"),
    }
    files = [*(workspace.root / "include" / "migrations").rglob("*.py")]
    files += [_roles(workspace), _roles(workspace).with_name("connect_role.py")]
    return Step(
        name="store-db-prepare",
        what="Preparing the product's database",
        argv=(sys.executable, "-m", "include.tiktok_sync", "db", "prepare"),
        env=env,
        fingerprint=_digest(files, env),
    )


def _roles(workspace: Workspace) -> Path:
    return workspace.root / "include" / "tiktok_sync" / "store_db" / "roles.py"


def token_keys(settings: LocalSettings) -> Step:
    """Check that the keys open the stored tokens, when the keys are new. Changes nothing."""
    return Step(
        name="token-keys",
        what="The check of TIKTOK_TOKEN_KEYS",
        argv=(sys.executable, "-m", "include.tiktok_sync", "tokens", "check"),
        env=product_env(settings),
        fingerprint=_digest([], token_env(settings)),
    )


def airflow_settings(workspace: Workspace, settings: LocalSettings) -> Step:
    """Pools, connections and variables of ``airflow_settings.yaml``."""
    loader = workspace.root / "plugins" / "load_airflow_settings.py"
    env = {**airflow_env(workspace, settings), **product_env(settings)}
    return Step(
        name="airflow-settings",
        what="Loading airflow_settings.yaml",
        argv=(sys.executable, str(loader)),
        env=env,
        fingerprint=_digest([loader, workspace.root / "airflow_settings.yaml"], env),
    )


def run_together(workspace: Workspace, steps: Iterable[Step]) -> None:
    """Run those steps that are not applied yet, all at the same time.

    Raises:
        StartError: One failed; the others have ended too.
    """
    running = [RunningStep(workspace, step) for step in steps if not step.is_applied(workspace)]
    try:
        while running:
            running[0].finish()
            running.pop(0)
    finally:
        for left in running:
            left.abandon()


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log, indented; says so if there are none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    last = text.rstrip().splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in last) if last else "    (the log is empty)"


def _digest(files: Iterable[Path], env: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(env, sort_keys=True).encode())
    for file in sorted(files):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
