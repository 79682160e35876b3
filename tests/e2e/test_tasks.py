"""Again: one store, those that failed, a whole run, one that is still going; and what tasks say.

By Airflow's REST API, as its UI does, and by the commands of docs/running.md, as they stand there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import RunningStack
from tests.e2e.operating import DAG, RUN, TASK, Instances, Operator, operating, run_date

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CODES = ["S001", "S002", "S003", "S005"]  # S004 comes with a token that has ended
BROKEN = ["S002", "S005"]

DOWNSTREAM = {
    ("data_checks.user_rows_missing", -1),
    ("data_checks.user_counts_negative", -1),
    ("data_checks.user_rows_late", -1),
    ("record_summary", -1),
}


def redone(before: Instances, after: Instances) -> set[tuple[str, int]]:
    return {task for task in after if after[task]["start_date"] != before[task]["start_date"]}


@pytest.fixture(scope="module")
def operator(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operating(stack, tmp_path_factory.mktemp("stores")) as found:
        yield found


@pytest.fixture(scope="module")
def failed(operator: Operator) -> Instances:
    """A run in which TikTok refuses two stores of four for good."""
    operator.faults({"fault": "unknown_code_400", "stores": BROKEN})
    operator.command(
        "dags trigger",
        conf={"stores": CODES, "dry_run": False},
        more=f"--logical-date {run_date().isoformat()}",
    )
    assert operator.end() == "failed"
    return operator.instances()


def test_each_store_shows_its_result_in_its_name(failed: Instances) -> None:
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
    # A check that found S005 without figures had not failed: what it found still stands.
    status, message = operator.summary()
    assert (status, message.partition(";")[0]) == ("success", "4 of 4 stores synced")
    assert failed[TASK, 3]["state"] == "failed"


def test_a_command_repeats_checks_and_summary(operator: Operator, failed: Instances) -> None:
    before = operator.instances()
    assert set(before) == set(failed)
    operator.command("tasks clear")
    assert operator.end() == "success"

    assert redone(before, operator.instances()) == DOWNSTREAM
    assert operator.summary() == ("success", "4 of 4 stores synced")


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
    operator.api._send("POST", f"/api/v2/dags/{DAG}/dagRuns", body=body)
    operator.wait_for(run_id, (TASK, 1), "running")
    operator.wait_for(run_id, (TASK, 0), "success")
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
    operator.api._send("POST", f"/api/v2/dags/{DAG}/dagRuns", body=body)
    assert operator.end("new-store") == "failed"
    operator.rows("DELETE FROM stores WHERE store_code = 'NEW' RETURNING 1")

    message = operator.summary("new-store")[1]
    assert "There is no store S9999." in message
    assert "NEW" not in message
    assert operator.calls() == calls
