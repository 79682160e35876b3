"""What every Dag of this project promises to the people who run it."""

from __future__ import annotations

import ast
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Asset
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from jinja2 import Template

from include.tiktok_sync.errors import ConfigurationError
from tiktok_airflow import dag as sync_dag
from tiktok_airflow import deadline as sync_deadline
from tiktok_airflow.dag import MAX_ACTIVE_TASKS, TAGS
from tiktok_airflow.deadline import QueuedUnlessBackfill
from tiktok_airflow.operators.data_check import DataCheckOperator
from tiktok_airflow.operators.store_sync import StoreSyncOperator
from tiktok_airflow.retry_policy import SyncRetryPolicy

ROOT = Path(__file__).resolve().parents[2]
DAG_FILES = sorted((ROOT / "dags").glob("*.py"))
MOST_LINES = 120

SYNCS = {
    "sync_user_daily": ("sync_store_user", "tiktok_users", ("user_daily_stats",)),
    "sync_video_daily": ("sync_store_video", "tiktok_videos", ("videos", "video_daily_stats")),
    "sync_insights_daily": (
        "sync_store_insights",
        "tiktok_business",
        ("account_daily", "account_audience", "video_insights_daily"),
    ),
}
"""Sync Dag -> its mapped task, the pool of that, the tables that the summary announces."""

CHECKS = {
    "sync_user_daily": {"user_rows_missing", "user_counts_negative", "user_rows_late"},
    "sync_video_daily": {
        "video_syncs_missing",
        "videos_lost",
        "video_counts_negative",
        "video_rows_late",
        "video_figures_differ",
    },
    "sync_insights_daily": {"insight_days_missing", "insight_counts_negative"},
}
"""Sync Dag -> the data checks after its stores."""


@pytest.fixture(params=sorted(SYNCS))
def sync(request: pytest.FixtureRequest, dagbag: DagBag) -> tuple[Any, Any]:
    """Each sync Dag with its mapped task."""
    dag = dagbag.dags[request.param]
    return dag, dag.get_task(SYNCS[request.param][0])


def test_every_file_gives_the_dag_of_its_name(dagbag: DagBag) -> None:
    assert dagbag.import_errors == {}
    assert sorted(dagbag.dags) == [file.stem for file in DAG_FILES]
    assert set(SYNCS) <= set(dagbag.dags)


def test_every_pool_is_declared(dagbag: DagBag) -> None:
    assert {warning.message for warning in dagbag.dag_warnings} == set()


def test_a_pool_that_nobody_declares_is_found() -> None:
    known = {"default_pool", "tiktok_users", "tiktok_business"}
    bag = DagBag(str(ROOT / "dags"), known_pools=known)

    assert [(warning.dag_id, warning.message) for warning in bag.dag_warnings] == [
        (
            "sync_video_daily",
            "Dag 'sync_video_daily' references non-existent pools: ['tiktok_videos']",
        )
    ]


def test_dag_says_whose_it_is_and_what_it_does(dag: DAG) -> None:
    not_nightly = {"apply_retention": {"tiktok", "daily"}, "report_weekly": {"tiktok", "weekly"}}
    assert dag.tags == not_nightly.get(dag.dag_id, set(TAGS))
    assert {task.owner for task in dag.tasks} == {"marketing-data"}
    assert dag.doc_md
    assert len(dag.doc_md) > 400
    for task in dag.tasks:
        assert f"`{task.task_id}`" in dag.doc_md


def test_dag_never_overtakes_itself_nor_makes_up_past_nights(dag: DAG) -> None:
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert dag.start_date is None


def test_a_night_has_a_deadline_and_no_run_outlives_the_next_night(dag: DAG) -> None:
    assert dag.dagrun_timeout is not None
    assert timedelta(hours=1) < dag.dagrun_timeout < timedelta(days=1)
    assert dag.on_failure_callback is sync_dag.on_run_failure
    alerts: Any = dag.deadline
    if dag.dag_id not in SYNCS:
        assert not alerts
        return
    (alert,) = alerts if isinstance(alerts, list) else [alerts]
    assert alert.interval == timedelta(minutes=15)
    assert type(alert.reference) is QueuedUnlessBackfill
    assert (alert.callback.path, alert.callback.kwargs) == (
        *("tiktok_airflow.deadline.deadline_missed", {"minutes": 15.0}),
    )


def test_sla_minutes_moves_the_deadline_and_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLA_MINUTES", "0.5")
    assert sync_deadline.deadline().interval == timedelta(seconds=30)
    for wrong in ("0", "-1", "soon", "inf", "nan"):
        monkeypatch.setenv("SLA_MINUTES", wrong)
        with pytest.raises(ConfigurationError, match="SLA_MINUTES must be a number of minutes"):
            sync_deadline.deadline()


def test_the_pool_is_the_only_limit(dag: DAG, pools: dict[str, int]) -> None:
    # A pool of ten times the size must still fill.
    assert dag.max_active_tasks == MAX_ACTIVE_TASKS
    assert dag.max_active_tasks > 10 * max(pools.values())
    for task in dag.tasks:
        assert task.max_active_tis_per_dag is None
        # But for refreshes at the second API: TikTok may count them among ten calls a second.
        one_by_one = (dag.dag_id, task.task_id) == (
            "refresh_business_tokens",
            "refresh_store_tokens",
        )
        assert task.max_active_tis_per_dagrun == (1 if one_by_one else None)
        assert task.pool_slots == 1


def test_every_task_is_bounded_and_tried_again(dag: DAG) -> None:
    for task in dag.tasks:
        assert timedelta(0) < (task.execution_timeout or timedelta(0)) <= timedelta(hours=1)
        assert (task.retries or 0) >= 2
        assert task.retry_exponential_backoff == 2.0
        assert timedelta(0) < task.retry_delay <= timedelta(minutes=1)
        assert task.max_retry_delay == timedelta(minutes=5)
        assert isinstance(task.retry_policy, SyncRetryPolicy)


def test_trigger_form_has_the_promised_params(dag: DAG) -> None:
    params = dag.params
    if dag.dag_id == "apply_retention":
        # Deletes no figure; personal data has clocks that run unless they are switched off.
        found = {name: params[name] for name in params}
        assert found == {"dry_run": True, "personal_dry_run": False}
        return
    if dag.dag_id == "report_weekly":
        assert {name: params[name] for name in params} == {"week": None, "region": None}
        return
    assert {name: params[name] for name in params} == {"stores": [], "dry_run": False}
    schema = params.get_param("stores").schema
    assert schema["items"] == {"type": "string"}
    # What the UI offers to choose from would be a part of each version of the Dag.
    assert not {"examples", "values_display", "enum"} & set(schema)
    for name, wrong in (("stores", "S001"), ("stores", [1]), ("dry_run", "yes")):
        with pytest.raises(ParamValidationError):
            params.get_param(name).resolve(wrong)
    assert params.get_param("stores").resolve(["S001"]) == ["S001"]
    assert params.get_param("dry_run").resolve(value=True) is True


def test_mapped_task_is_in_its_pool(sync: tuple[Any, Any], pools: dict[str, int]) -> None:
    dag, task = sync
    _, pool, _ = SYNCS[dag.dag_id]

    assert task.pool == pool
    assert pools[pool] == {"tiktok_users": 30, "tiktok_videos": 20, "tiktok_business": 10}[pool]
    assert {other.pool for other in dag.tasks if other is not task} == {"default_pool"}


def test_mapped_task_gets_store_codes_and_nothing_else(sync: tuple[Any, Any]) -> None:
    dag, task = sync
    assert isinstance(task, MappedOperator)
    assert [other for other in dag.tasks if isinstance(other, MappedOperator)] == [task]

    serialized = DagSerialization.to_dict(dag)["dag"]["tasks"]
    by_id = {entry["__var"]["task_id"]: entry["__var"] for entry in serialized}
    fields = by_id[task.task_id]

    mapped = fields["expand_input"]["value"]["__var"]
    assert list(mapped) == ["store_codes"]
    assert mapped["store_codes"]["__var"] == {"task_id": "list_stores", "key": "return_value"}
    # Airflow would send the rendered fields of each task to the API server: a call more a task.
    assert fields["template_fields"] == []
    assert task.upstream_task_ids == {"list_stores"}


def test_instances_are_labelled_with_their_store(sync: tuple[Any, Any]) -> None:
    _, task = sync

    template = Template(task.partial_kwargs["map_index_template"])

    def label(*codes: str) -> str:
        operator = StoreSyncOperator(task_id="any", store_codes=list(codes))
        return str(template.render(task=operator))

    assert label("S001") == "S001"
    assert label("S001", "S002", "S009") == "S001 to S009 (3)"


def test_summary_is_the_only_leaf_and_runs_whatever_happened(sync: tuple[Any, Any]) -> None:
    dag, task = sync
    assert [leaf.task_id for leaf in dag.leaves] == ["record_summary"]
    assert [root.task_id for root in dag.roots] == ["list_stores"]

    summary = dag.get_task("record_summary")

    assert summary.trigger_rule == "all_done"
    checks = {f"data_checks.{check}" for check in CHECKS[dag.dag_id]}
    # Of the stores' task itself too: cleared together without the checks, it would not wait.
    assert summary.upstream_task_ids == {task.task_id, *checks}
    assert task.downstream_task_ids == {"record_summary", *checks}
    assert not summary.is_teardown


def test_checks_run_side_by_side_however_the_stores_ended(sync: tuple[Any, Any]) -> None:
    dag, task = sync

    checks = [dag.get_task(f"data_checks.{check}") for check in CHECKS[dag.dag_id]]

    for check in checks:
        assert isinstance(check, DataCheckOperator)
        assert check.upstream_task_ids == {task.task_id}
        assert check.downstream_task_ids == {"record_summary"}
        assert check.trigger_rule == "all_done"
        assert check.conn_id == "store_db"
        # The summary waits for them, whatever goes wrong.
        assert check.execution_timeout == timedelta(minutes=2)
    assert sorted(dag.task_group.get_child_by_label("data_checks").children) == sorted(
        check.task_id for check in checks
    )


def test_every_check_is_a_file_and_every_file_is_run_by_one_dag(dagbag: DagBag) -> None:
    run = [
        task.check
        for dag in dagbag.dags.values()
        for task in dag.tasks
        if isinstance(task, DataCheckOperator)
    ]

    assert sorted(run) == sorted(
        file.stem for file in (ROOT / "include/tiktok_sync/sync/data_checks").glob("*.sql")
    )


def test_a_check_is_not_read_before_it_runs(sync: tuple[Any, Any]) -> None:
    dag, _ = sync
    for check in CHECKS[dag.dag_id]:
        assert dag.get_task(f"data_checks.{check}").sql == f"{check}.sql"


def test_summary_announces_the_tables_of_its_dag(sync: tuple[Any, Any]) -> None:
    dag, task = sync
    _, _, tables = SYNCS[dag.dag_id]

    outlets = dag.get_task("record_summary").outlets
    uris = [f"postgres://store-db:5432/tiktok_sync/public/{name}" for name in tables]
    assert [(outlet.name, outlet.uri) for outlet in outlets if isinstance(outlet, Asset)] == [
        *((uri, uri) for uri in uris),
        # Until 0.5.0.
        *(
            (name, f"tiktok-sync://store_db/public/{name}")
            for name in tables
            if dag.dag_id != "sync_insights_daily"
        ),
    ]
    assert not task.partial_kwargs.get("outlets")
    assert not dag.get_task("list_stores").outlets


def test_assets_are_announced_by_one_dag_only(dagbag: DagBag) -> None:
    names = [
        outlet.name
        for dag in dagbag.dags.values()
        for task in dag.tasks
        if not isinstance(task, MappedOperator)
        for outlet in task.outlets
    ]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "slots", "check"),
    [
        ("refresh_tokens", 30, "grants_end_soon"),
        ("refresh_business_tokens", 10, "business_grants_end_soon"),
    ],
)
def test_the_refresh_goes_by_batches_ahead_of_the_night(
    dagbag: DagBag, pools: dict[str, int], name: str, slots: int, check: str
) -> None:
    dag = dagbag.dags[name]
    work = dag.get_task("refresh_store_tokens")
    assert isinstance(work, MappedOperator)
    assert pools[work.pool] == slots
    assert work.upstream_task_ids == {"list_stores"}
    assert work.downstream_task_ids == {f"data_checks.{check}", "record_summary"}
    assert [leaf.task_id for leaf in dag.leaves] == ["record_summary"]
    assert not dag.get_task("record_summary").outlets


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_file_is_wiring_only(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES

    own = {plugin.stem for plugin in (ROOT / "plugins").iterdir()}
    imported = {
        name
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "."]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    strange = {
        name
        for name in imported
        if name != "airflow.sdk"
        and name.split(".")[0] not in sys.stdlib_module_names
        and name.split(".")[0] not in own
    }
    assert strange == set()
    assert "tiktok_airflow.dag" in imported
    assert "airflow" in text.lower()  # else Airflow passes the file over (safe mode)


@pytest.mark.parametrize("file", DAG_FILES, ids=lambda file: file.stem)
def test_page_of_the_dag_begins_with_the_docstring_of_its_file(file: Path, dagbag: DagBag) -> None:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")), clean=False)

    assert re.match(r"### \S", docstring or "")
    page = dagbag.dags[file.stem].doc_md or ""
    assert page.startswith(docstring or "")
    # What is the same for all syncs has one source.
    assert (page != docstring) == (file.stem in SYNCS)


def test_pages_of_the_two_syncs_differ_in_nothing_but_their_own_task(dagbag: DagBag) -> None:
    pages = []
    for name, own in (("user", "tiktok_users"), ("video", "tiktok_videos")):
        page = dagbag.dags[f"sync_{name}_daily"].doc_md or ""
        assert own in page
        shared = page[page.index("**Woken up?**") :].replace(f"sync_store_{name}", "TASK")
        pages.append(
            [
                line
                for line in shared.splitlines()
                if not line.startswith(("| `TASK`", "| `data_checks.", "`TASK`:"))
            ]
        )
    assert pages[0] == pages[1]
    assert not [line for line in pages[0] if "{" in line]
