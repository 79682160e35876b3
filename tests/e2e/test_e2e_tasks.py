"""Again: one store, those that failed, a whole run, one that is still going; and what tasks say.

By Airflow's REST API, as its UI does, and by the commands of README, as they stand there.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import requests

from include.local.airflow_api import AirflowApi
from include.local.stack import Stack
from tests.e2e.conftest import ROOT, RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DAG, TASK = "sync_user_daily", "sync_store_user"
CODES = ["S001", "S002", "S003", "S005"]  # S004 comes with a token that has ended
BROKEN = ["S002", "S005"]
RUN = "night-again"
DATE = datetime.now(timezone.utc).replace(microsecond=0)

COMMANDS = [
    line.partition("  #")[0].strip()
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    if line.startswith(("airflow dags ", "airflow tasks ")) and DAG in line
]
"""Those of README, with the run's id and its date as ``RUN`` and ``DATE``."""

Instances = Mapping[tuple[str, int], Mapping[str, Any]]
"""Task id and map index -> the instance, as the API tells it."""

DOWNSTREAM = {
    ("data_checks.user_rows_missing", -1),
    ("data_checks.user_counts_negative", -1),
    ("data_checks.user_rows_late", -1),
    ("record_summary", -1),
}


@dataclass(frozen=True)
class Operator:
    """A person at the UI and at the command line."""

    stack: RunningStack
    api: AirflowApi

    def command(self, start: str, *, last: bool = False, more: str = "", conf: Any = None) -> str:
        """Run the command of README that begins so, the first or the last; its output."""
        found = [line for line in COMMANDS if line.startswith(f"airflow {start} ")]
        line = found[-1 if last else 0].replace("RUN", RUN).replace("DATE", DATE.isoformat())
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
        self.api._authorized("POST", f"/api/v2/dags/{DAG}/clearTaskInstances", body)

    def instances(self, run_id: str = RUN) -> Instances:
        found = self.api._get(f"{self._path(run_id)}/taskInstances", {"limit": 100})
        return {(one["task_id"], one["map_index"]): one for one in found["task_instances"]}

    def end(self, run_id: str = RUN) -> str:
        """Wait for the run's end; its state."""
        return str(self._wait(lambda: self.api.run_state(DAG, run_id), {"success", "failed"}))

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

    def _wait(self, now: Any, wanted: set[str]) -> str:
        deadline = time.monotonic() + 240
        while (state := now()) not in wanted:
            assert time.monotonic() < deadline, state
            time.sleep(0.5)
        return str(state)

    @staticmethod
    def _path(run_id: str) -> str:
        return f"/api/v2/dags/{DAG}/dagRuns/{quote(run_id, safe='')}"


def redone(before: Instances, after: Instances) -> set[tuple[str, int]]:
    return {task for task in after if after[task]["start_date"] != before[task]["start_date"]}


@pytest.fixture(scope="module")
def operator(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The stack as it is by itself, with all its stores; TikTok is well again afterwards."""
    stack.up()
    operator = Operator(stack, AirflowApi(Stack.load(dict(stack.env)).settings))
    if not operator.rows("SELECT FROM stores"):
        file = tmp_path_factory.mktemp("stores") / "stores.csv"
        answer = requests.get(f"{stack.sandbox_url}/admin/stores.csv", timeout=60)
        Path(file).write_bytes(answer.content)
        done = stack.run(["python", "-m", "include.tiktok_sync", "stores", "import", str(file)])
        assert done.returncode == 0, done.stdout + done.stderr
    operator.api.unpause(DAG)
    yield operator
    operator.faults()


@pytest.fixture(scope="module")
def failed(operator: Operator) -> Instances:
    """A run in which TikTok refuses two stores of four for good."""
    operator.faults({"fault": "unknown_code_400", "stores": BROKEN})
    operator.command(
        "dags trigger",
        conf={"stores": CODES, "dry_run": False},
        more=f"--logical-date {DATE.isoformat()}",
    )
    assert operator.end() == "failed"
    return operator.instances()


def test_each_store_says_in_its_name_what_came_of_it(failed: Instances) -> None:
    told = [failed[TASK, index]["rendered_map_index"] for index in range(len(CODES))]
    for index, code in enumerate(CODES):
        assert told[index].startswith(f"{code} · "), told
    assert told[0].startswith("S001 · Profile of the day: ")
    assert told[1] == "S002 · failed: TikTok refuses the request as this version writes it"
    assert [failed[TASK, index]["state"] for index in range(4)] == [
        *("success", "failed", "success", "failed")
    ]
    assert {failed[TASK, index]["try_number"] for index in range(4)} == {1}


def test_a_failed_log_ends_with_the_cause_and_the_next_step(
    operator: Operator, failed: Instances
) -> None:
    assert failed[TASK, 1]["state"] == "failed"
    *_, cause, step = operator.log(1)
    assert cause == "TikTok refuses the request as this version writes it."
    assert step.startswith("The API may have changed; report it with the log_id. (TikTok log_id ")


def test_one_store_is_done_again_and_nothing_else(operator: Operator, failed: Instances) -> None:
    operator.faults({"fault": "unknown_code_400", "stores": ["S005"]})
    calls = operator.calls()
    operator.clear(RUN, [(TASK, 1)])
    assert operator.end() == "failed"
    after = operator.instances()

    assert redone(failed, after) == {(TASK, 1), *DOWNSTREAM}
    assert after[TASK, 1]["state"] == "success"
    assert operator.calls() - calls == Counter({"S002": 1})
    assert operator.summary()[1].startswith("3 of 4 stores synced, 1 failed")


def test_what_failed_is_done_again_by_a_command(operator: Operator, failed: Instances) -> None:
    operator.faults()
    before, calls = operator.instances(), operator.calls()
    assert f"{RUN} | failed" in re.sub(r" +", " ", operator.command("dags list-runs"))
    assert "record_summary" in operator.command("tasks states-for-dag-run")
    operator.command("dags clear")
    assert operator.end() == "success"

    assert redone(before, operator.instances()) == {(TASK, 3), ("record_summary", -1)}
    assert operator.calls() - calls == Counter({"S005": 1})
    assert operator.summary() == ("success", "4 of 4 stores synced")
    assert failed[TASK, 3]["state"] == "failed"


def test_the_summary_is_made_anew_by_a_command(operator: Operator, failed: Instances) -> None:
    before = operator.instances()
    assert set(before) == set(failed)
    operator.command("tasks clear")
    assert operator.end() == "success"

    assert redone(before, operator.instances()) == {("record_summary", -1)}


def test_a_whole_run_is_done_again_and_doubles_nothing(
    operator: Operator, failed: Instances
) -> None:
    figures = "SELECT store_code, snapshot_date, follower_count FROM user_daily_stats ORDER BY 1, 2"
    before, calls, rows = operator.instances(), operator.calls(), operator.rows(figures)
    operator.command("dags clear", last=True)
    assert operator.end() == "success"

    assert redone(before, operator.instances()) == set(failed)
    assert operator.calls() - calls == Counter(CODES)
    assert operator.rows(figures) == rows
    logged = operator.rows(
        "SELECT store_code, attempts FROM sync_logs WHERE run_id = %s AND store_code IS NOT NULL"
        " ORDER BY 1",
        RUN,
    )
    assert logged == [("S001", 2), ("S002", 3), ("S003", 2), ("S005", 3)]


def test_a_store_is_done_again_while_the_run_goes_on(operator: Operator) -> None:
    run_id = "still-going"
    operator.faults({"fault": "slow", "stores": ["S003"], "seconds": 25})
    calls = operator.calls()
    body = {
        "logical_date": None,
        "dag_run_id": run_id,
        "conf": {"stores": ["S001", "S003"]},
    }
    operator.api._authorized("POST", f"/api/v2/dags/{DAG}/dagRuns", body)
    operator.wait_for(run_id, (TASK, 0), "success")
    operator.wait_for(run_id, (TASK, 1), "running")
    operator.clear(run_id, [(TASK, 0)])
    operator.faults()
    assert operator.end(run_id) == "success"

    after = operator.instances(run_id)
    assert [after[TASK, index]["try_number"] for index in (0, 1)] == [2, 1]
    assert operator.calls() - calls == Counter({"S001": 2, "S003": 1})
    assert operator.summary(run_id) == ("success", "2 of 2 stores synced")


def test_only_what_does_not_exist_now_is_refused_and_by_name(operator: Operator) -> None:
    """The form only suggests; what does not exist is named before TikTok is called."""
    calls = operator.calls()
    operator.rows("INSERT INTO stores (store_code, store_name) VALUES ('NEW', 'New') RETURNING 1")
    body = {
        "logical_date": None,
        "dag_run_id": "new-store",
        "conf": {"stores": ["NEW", "S9999"]},
    }
    operator.api._authorized("POST", f"/api/v2/dags/{DAG}/dagRuns", body)
    assert operator.end("new-store") == "failed"
    operator.rows("DELETE FROM stores WHERE store_code = 'NEW' RETURNING 1")

    message = operator.summary("new-store")[1]
    assert "There is no store S9999." in message
    assert "NEW" not in message
    assert operator.calls() == calls
