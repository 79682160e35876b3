"""The mapped task itself: its name after a success, a failure and a bug, and what it raises."""

from __future__ import annotations

import traceback
from typing import Any

import psycopg
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException

from include.tiktok_sync.errors import FatalError
from include.tiktok_sync.jobs import USER_JOB
from tests.database.bench import Bench
from tests.database.task_bodies import prepare_tasks, task_context
from tiktok_airflow.operators.store_sync import StoreSyncOperator

pytestmark = pytest.mark.usefixtures("no_waits")


@pytest.fixture
def context(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    prepare_tasks(bench, monkeypatch)
    return task_context(rendered_map_index="as before")


def execute(context: dict[str, Any], *codes: str) -> None:
    """As Airflow's task runner does, without its guard against calls from elsewhere."""
    with DAG(USER_JOB, schedule=None):
        task = StoreSyncOperator(task_id="sync_store_user", store_codes=list(codes))
    assert task.store_label.startswith(codes[0])
    StoreSyncOperator.execute.__wrapped__(task, context)  # type: ignore[attr-defined] # Airflow's


def test_a_success_shows_in_the_name(context: dict[str, Any]) -> None:
    execute(context, "S001")
    assert context["ti"].rendered_map_index.startswith("S001 · Profile of the day: ")


def test_a_dry_run_and_a_batch_show_in_the_name(context: dict[str, Any]) -> None:
    context["params"]["dry_run"] = True
    execute(context, "S001", "S002")
    assert context["ti"].rendered_map_index == "S001 to S002 (2) · dry run · 2 synced"


def test_a_dead_grant_shows_in_the_name(bench: Bench, context: dict[str, Any]) -> None:
    bench.grant("S008", revoke=True)
    with pytest.raises(AirflowSkipException):
        execute(context, "S008")
    assert context["ti"].rendered_map_index == (
        "S008 · skipped: The store's grant has ended at TikTok"
    )


def test_an_expected_failure_brings_no_frames_of_ours(
    bench: Bench, context: dict[str, Any]
) -> None:
    rules = [{"fault": "unknown_code_400", "stores": ["S001"]}]
    bench.sandbox.admin("POST", "/faults", json={"rules": rules})
    with pytest.raises(FatalError) as caught:
        execute(context, "S001")

    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-1] == "execute"
    assert "run_store" not in frames
    assert caught.value.__cause__ is None
    assert context["ti"].rendered_map_index.startswith("S001 · failed: TikTok refuses the request")


def test_a_bug_keeps_its_frames(bench: Bench, context: dict[str, Any]) -> None:
    bench.conn.execute("ALTER TABLE user_daily_stats DROP COLUMN likes_count CASCADE")
    with pytest.raises(Exception, match="likes_count") as caught:
        execute(context, "S001")

    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert {"run_store", "sync_user"} <= set(frames)
    assert context["ti"].rendered_map_index.startswith("S001 · failed: Unexpected UndefinedColumn")


@pytest.mark.parametrize(
    "broken",
    [
        # Postgres quotes the whole row, and the value that it cannot read.
        "ALTER TABLE user_daily_stats ADD CHECK (display_name IS NULL)",
        "ALTER TABLE user_daily_stats ADD n int GENERATED ALWAYS AS (display_name::int) STORED",
    ],
)
def test_a_bug_names_no_account_in_the_log(
    bench: Bench, context: dict[str, Any], broken: str
) -> None:
    name = str(bench.truth("S001")["user"]["display_name"])
    bench.conn.execute(broken.encode())
    with pytest.raises(psycopg.Error) as caught:
        execute(context, "S001")

    said = "".join(traceback.format_exception(caught.value))
    assert name not in said
    assert "Traceback" in said
    assert name not in context["ti"].rendered_map_index
