"""Does a task that is timed out or terminated leave its stores' rows, and interrupt nothing?"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout

from include.tiktok_sync.errors import OutOfTimeError, SyncError
from include.tiktok_sync.jobs import USER_JOB
from tests.database.bench import Bench
from tests.database.task_bodies import prepare_tasks, task_context
from tiktok_airflow.operators.store_sync import StoreSyncOperator

pytestmark = pytest.mark.usefixtures("no_waits")


@pytest.fixture
def context(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    prepare_tasks(bench, monkeypatch)
    return task_context(rendered_map_index="as before")


def _task(*codes: str, **kwargs: Any) -> StoreSyncOperator:
    with DAG(USER_JOB, schedule=None):
        return StoreSyncOperator(task_id="sync_store_user", store_codes=list(codes), **kwargs)


def _execute(task: StoreSyncOperator, context: dict[str, Any]) -> None:
    """As Airflow's task runner does, without its guard against calls from elsewhere."""
    StoreSyncOperator.execute.__wrapped__(task, context)  # type: ignore[attr-defined] # Airflow's


def _ends_after(seconds: float) -> Any:
    return timeout(seconds)  # type: ignore[no-untyped-call] # Airflow's


def _slow(bench: Bench, seconds: float, **rule: Any) -> None:
    rules = [{"fault": "slow", "seconds": seconds, **rule}]
    bench.sandbox.admin("POST", "/faults", json={"rules": rules})


def _rows(bench: Bench) -> dict[str, dict[str, Any]]:
    found = bench.rows("SELECT * FROM sync_logs WHERE store_code IS NOT NULL")
    return {str(line["store_code"]): line for line in found}


@pytest.fixture
def terminated() -> Iterator[Callable[..., None]]:
    """Sends this process a SIGTERM once something is so, and handles it as Airflow does."""
    before, main = signal.getsignal(signal.SIGTERM), threading.get_ident()
    threads: list[threading.Thread] = []

    def terminate(
        task: StoreSyncOperator, when: Callable[[], bool], then: Callable[[], None] = lambda: None
    ) -> None:
        def handle(*_: Any) -> None:
            task.on_kill()
            then()

        def send() -> None:
            while not when():
                time.sleep(0.02)
            signal.pthread_kill(main, signal.SIGTERM)  # interrupts its system call, as outside

        signal.signal(signal.SIGTERM, handle)
        threads.append(threading.Thread(target=send, daemon=True))
        threads[-1].start()

    yield terminate
    for thread in threads:
        thread.join(30)
    signal.signal(signal.SIGTERM, before)


def _waits_for_an_answer(task: StoreSyncOperator) -> bool:
    current = task._stop_recorder._current if task._stop_recorder else None
    return current is not None and "answer" in current[1].doing


def test_a_task_that_is_timed_out_leaves_its_rows_with_the_reason(
    bench: Bench, context: dict[str, Any]
) -> None:
    _slow(bench, 60, stores=["S002"])
    task = _task("S001", "S002", "S003", execution_timeout=timedelta(seconds=2))
    assert task.execution_timeout == timedelta(seconds=6)
    task.store_timeout = None  # nothing of ours ends it before
    # As in Airflow's task runner.
    with pytest.raises(AirflowTaskTimeout), _ends_after(task.execution_timeout.total_seconds()):
        _execute(task, context)
    task.on_kill()

    rows = _rows(bench)
    assert {code: row["status"] for code, row in rows.items()} == {
        "S001": "success",
        "S002": "failed",
        "S003": "failed",
    }
    assert rows["S002"]["message"] == (
        "The task was stopped after 0.1 minutes (its execution_timeout), while waiting for TikTok's"
        " answer to user/info. Clear the task if Airflow does not retry it by itself."
    )
    assert rows["S002"]["details"] == {"kind": "timed_out"}
    assert rows["S002"]["duration_ms"] > 2000
    assert ", before it was this store's turn. " in rows["S003"]["message"]

    bench.sandbox.admin("DELETE", "/faults")
    _execute(_task("S001", "S002", "S003"), context)
    assert {row["status"] for row in _rows(bench).values()} == {"success"}


def test_a_task_that_is_terminated_leaves_its_row_and_is_not_interrupted(
    bench: Bench,
    context: dict[str, Any],
    terminated: Callable[..., None],
) -> None:
    _slow(bench, 3, stores=["S001"])
    seen: list[dict[str, tuple[str, str]]] = []
    task = _task("S001", "S002")
    terminated(
        task,
        when=lambda: _waits_for_an_answer(task),
        then=lambda: seen.append(_seen_by_another(bench)),
    )
    _execute(task, context)  # it was allowed to end, and did
    (then,) = seen
    assert [status for status, _ in then.values()] == ["failed", "failed"]
    assert then["S001"][1] == (
        "The task was stopped from outside (marked, cleared or its worker ended), while waiting for"
        " TikTok's answer to user/info. Clear the task if Airflow does not retry it by itself."
    )
    assert {row["status"] for row in _rows(bench).values()} == {"success"}


def _seen_by_another(bench: Bench) -> dict[str, tuple[str, str]]:
    # In the handler, the bench's connection may be busy.
    with psycopg.connect(bench.db_url) as conn:
        found = conn.execute(
            "SELECT store_code, status, message FROM sync_logs WHERE store_code IS NOT NULL"
        ).fetchall()
    return {code: (status, message) for code, status, message in found}


def _refreshes(bench: Bench, code: str) -> bool:
    with psycopg.connect(bench.db_url) as conn:
        query = "SELECT refresh_started_at IS NOT NULL FROM store_tokens WHERE store_code = %s"
        ((found,),) = conn.execute(query, [code]).fetchall()
    return bool(found)


def test_a_refresh_survives_the_termination_of_its_task(
    bench: Bench,
    context: dict[str, Any],
    terminated: Callable[..., None],
) -> None:
    rules = [{"fault": "oauth_slow", "seconds": 3}]
    bench.sandbox.admin("POST", "/faults", json={"rules": rules})
    task = _task("S004")
    terminated(task, when=lambda: _refreshes(bench, "S004"))
    _execute(task, context)
    status = bench.row("SELECT status FROM store_tokens WHERE store_code = 'S004'")
    assert status == {"status": "active"}
    assert _rows(bench)["S004"]["attempts"] == 2  # it was recorded, and then again


def test_a_success_of_this_run_is_not_overwritten(bench: Bench, context: dict[str, Any]) -> None:
    _execute(_task("S001"), context)
    _slow(bench, 60, stores=["S002"])
    task = _task("S001", "S002")
    with pytest.raises(AirflowTaskTimeout), _ends_after(3):
        _execute(task, context)
    # Another try of the same store, on another worker, ended well meanwhile.
    bench.sandbox.admin("DELETE", "/faults")
    _execute(_task("S002"), context)
    task.on_kill()
    assert {row["status"] for row in _rows(bench).values()} == {"success"}


def test_a_dry_run_that_is_stopped_records_nothing(bench: Bench, context: dict[str, Any]) -> None:
    context["params"]["dry_run"] = True
    _slow(bench, 60)
    task = _task("S001")
    with pytest.raises(AirflowTaskTimeout), _ends_after(2):
        _execute(task, context)
    task.on_kill()
    assert _rows(bench) == {}


def test_a_database_that_is_away_does_not_keep_the_task_from_ending(
    bench: Bench, context: dict[str, Any]
) -> None:
    _slow(bench, 60)
    task = _task("S001")
    with pytest.raises(AirflowTaskTimeout), _ends_after(2):
        _execute(task, context)
    bench.conn.execute("ALTER TABLE sync_logs RENAME TO gone")
    task.on_kill()  # logs why, and raises nothing


def test_a_slow_store_ends_by_itself_in_time_and_the_others_of_its_task_are_synced(
    bench: Bench, context: dict[str, Any]
) -> None:
    _slow(bench, 60, stores=["S001"])
    task = _task("S001", "S002", "S003", execution_timeout=timedelta(seconds=8))
    began_at = time.monotonic()
    with pytest.raises(SyncError, match=r"1 of 3 stores failed\. First: S001"):
        _execute(task, context)
    assert time.monotonic() - began_at < 24
    rows = _rows(bench)
    assert {code: row["status"] for code, row in rows.items()} == {
        "S001": "failed",
        "S002": "success",
        "S003": "success",
    }
    assert rows["S001"]["details"]["kind"] == OutOfTimeError.kind
    assert "within the 0.1 minutes that one try may take" in rows["S001"]["message"]


@pytest.mark.parametrize("header", ["rate_limited_for_a_day", "rate_limited_until_tomorrow"])
def test_refusals_that_ask_for_a_day_end_within_the_tasks_time(
    bench: Bench, context: dict[str, Any], header: str
) -> None:
    rules = [{"fault": header, "stores": ["S001"]}]
    bench.sandbox.admin("POST", "/faults", json={"rules": rules})
    task = _task("S001", execution_timeout=timedelta(seconds=60))
    with pytest.raises(OutOfTimeError) as caught:  # a pause of two minutes does not fit
        _execute(task, context)
    assert 100 < (caught.value.retry_after_s or 0) <= 121
    message = _rows(bench)["S001"]["message"]
    assert "while waiting for its turn under the rate limit of user/info" in message
