"""A person who runs the Dags: at Airflow's REST API, as its UI does, and at the command line."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import requests

from include.local.parts.airflow_api import AirflowApi
from include.local.stack import Stack
from tests.e2e.conftest import ROOT, RunningStack

DAG, TASK = "sync_user_daily", "sync_store_user"
RUN = "night-again"


@cache
def run_date() -> datetime:
    """The run's logical date. Only within tests: elsewhere the clock may be another day's."""
    return datetime.now(timezone.utc).replace(microsecond=0)


COMMANDS = [
    line.partition("  #")[0].strip()
    for line in (ROOT / "docs" / "running.md").read_text(encoding="utf-8").splitlines()
    if line.startswith(("airflow dags ", "airflow tasks ")) and DAG in line
]
"""Those of docs/running.md, with the run's id and its date as ``RUN`` and ``DATE``."""

Instances = Mapping[tuple[str, int], Mapping[str, Any]]
"""Task id and map index -> the instance, as the API tells it."""


@dataclass(frozen=True)
class Operator:
    """A person at the UI and at the command line."""

    stack: RunningStack
    api: AirflowApi

    def command(self, start: str, *, last: bool = False, more: str = "", conf: Any = None) -> str:
        """Run the command of docs/running.md that begins so, the first or the last; its output."""
        found = [line for line in COMMANDS if line.startswith(f"airflow {start} ")]
        line = found[-1 if last else 0].replace("RUN", RUN).replace("DATE", run_date().isoformat())
        if conf is not None:
            line = re.sub(r"'.*'", shlex.quote(json.dumps(conf)), line)
        done = self.stack.run(f"{line} {more}")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def clear(self, run_id: str, tasks: Sequence[tuple[str, int]]) -> None:
        """As *Clear* with *Downstream* does."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [list(task) for task in tasks],
            "include_downstream": True,
            "only_failed": False,
        }
        self.api._send("POST", f"/api/v2/dags/{DAG}/clearTaskInstances", body=body)

    def instances(self, run_id: str = RUN) -> Instances:
        found = self.api._get(f"{self._path(run_id)}/taskInstances", {"limit": 100})
        return {(one["task_id"], one["map_index"]): one for one in found["task_instances"]}

    def end(self, run_id: str = RUN) -> str:
        """Wait for the run's end; its state."""
        return self.stack.end(DAG, run_id)

    def wait_for(self, run_id: str, task: tuple[str, int], state: str) -> None:
        def now() -> str:
            return str(self.instances(run_id).get(task, {}).get("state"))

        self._wait(now, {state})

    def log(self, index: int, run_id: str = RUN) -> list[str]:
        """The lines of a store's last try that the UI does not fold."""
        tries = self.instances(run_id)[TASK, index]["try_number"]
        path = f"{self._path(run_id)}/taskInstances/{TASK}/logs/{tries}"
        told = self.api._get(path, {"map_index": index, "full_content": True})
        lines, folded = [], 0
        for entry in told["content"]:
            text = entry if isinstance(entry, str) else entry["event"]
            if "::group::" in text:
                folded += 1
            elif "::endgroup::" in text:
                folded = max(0, folded - 1)
            elif not folded:
                lines.append(text)
        return lines

    def calls(self) -> Counter[str]:
        """Calls of user_info that the sandbox has answered so far, by store."""
        url = f"{self.stack.sandbox_url}/admin/requests"
        answer = requests.get(url, params={"endpoint": "user_info"}, timeout=60)
        return Counter(call["store_code"] for call in answer.json())

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """What is wrong at TikTok from now on."""
        url = f"{self.stack.sandbox_url}/admin/faults"
        requests.post(url, json={"rules": rules}, timeout=60).raise_for_status()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.stack.db_url) as conn:
            return conn.execute(query.encode(), values).fetchall()

    def summary(self, run_id: str = RUN) -> tuple[str, str]:
        ((status, message),) = self.rows(
            "SELECT status, message FROM sync_logs WHERE run_id = %s AND store_code IS NULL", run_id
        )
        return status, message

    def _wait(self, now: Callable[[], str], wanted: set[str]) -> str:
        deadline = time.monotonic() + 600
        while (state := now()) not in wanted:
            assert time.monotonic() < deadline, state
            time.sleep(0.5)
        return str(state)

    @staticmethod
    def _path(run_id: str) -> str:
        return f"/api/v2/dags/{DAG}/dagRuns/{quote(run_id, safe='')}"


@contextmanager
def operating(stack: RunningStack, folder: Path) -> Iterator[Operator]:
    """The stack as it is by itself, with all its stores; TikTok is well again afterwards."""
    stack.up()
    operator = Operator(stack, AirflowApi(Stack.load(dict(stack.env)).settings))
    if not operator.rows("SELECT FROM stores"):
        file = folder / "stores.csv"
        answer = requests.get(f"{stack.sandbox_url}/admin/stores.csv", timeout=60)
        file.write_bytes(answer.content)
        done = stack.run(["python", "-m", "include.tiktok_sync", "stores", "import", str(file)])
        assert done.returncode == 0, done.stdout + done.stderr
    operator.api.unpause(DAG)
    yield operator
    operator.faults()
