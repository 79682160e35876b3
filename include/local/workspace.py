"""Where are the stack's files? One project root, one state folder, one ``.env``."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STATE_DIR_VARIABLE = "LOCAL_STATE_DIR"
"""Moves the state folder and its ``.env``: tests run their own stack, apart from the user's."""

STACK_MARKER = "TIKTOK_SYNC_STACK"
"""Environment variable of every process of a stack: its state folder. Only the stack sets it."""


@dataclass(frozen=True)
class Workspace:
    """The paths of one clone's stack.

    Attributes:
        root: The project's folder (the one with ``dags/``).
        state: Everything the stack writes; safe to delete while the stack is down.
        env_file: Keys and ports of this stack.
    """

    root: Path
    state: Path
    env_file: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str]) -> Workspace:
        """Find the workspace of this checkout, honouring ``LOCAL_STATE_DIR``."""
        root = Path(__file__).resolve().parents[2]
        override = environ.get(STATE_DIR_VARIABLE)
        if override:
            state = Path(override).expanduser().resolve()
            return cls(root=root, state=state, env_file=state / ".env")
        return cls(root=root, state=root / ".local", env_file=root / ".env")

    @property
    def postgres_data(self) -> Path:
        """The data folder of the embedded Postgres."""
        return self.state / "postgres"

    @property
    def airflow_home(self) -> Path:
        """``AIRFLOW_HOME``."""
        return self.state / "airflow"

    @property
    def password_file(self) -> Path:
        """Where Airflow's simple auth manager looks for its users' passwords."""
        return self.airflow_home / "passwords.json"

    @property
    def task_logs(self) -> Path:
        """Airflow's log folder."""
        return self.airflow_home / "logs"

    @property
    def sandbox_state(self) -> Path:
        """The sandbox's file."""
        return self.state / "sandbox.sqlite3"

    @property
    def sandbox_size(self) -> Path:
        """Most stores that the sandbox ever had."""
        return self.state / "sandbox.stores"

    @property
    def applied(self) -> Path:
        """Fingerprints of the migrations and settings that this cluster already has."""
        return self.state / "applied"

    @property
    def supervisor_conf(self) -> Path:
        """The rendered configuration of supervisord."""
        return self.state / "supervisord.conf"

    def launch_file(self, program: str) -> Path:
        """What ``include.local.processes.launch`` runs for a program: arguments and environment."""
        return self.state / "launch" / f"{program}.json"

    def log_file(self, program: str) -> Path:
        """The log of one program."""
        return self.state / "logs" / f"{program}.log"

    def create_folders(self) -> None:
        """Make the folders that the stack writes to."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.state / "logs", self.state / "launch", self.applied, self.airflow_home):
            folder.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def exclusive(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a lock of this workspace: two commands at once must not trample each other.

        Args:
            name: Which lock.
            waiting: Called once if another process holds the lock.
        """
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.state / f"{name}.lock").open("w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
