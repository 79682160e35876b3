"""Shared by the Dags: when they run, how they retry, which parameters they have."""

from __future__ import annotations

import os
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from airflow.sdk import (
    DAG,
    CronTriggerTimetable,
    Param,
    TaskGroup,
    get_current_context,
    task,
)

from tiktok_airflow.assets import outlets
from tiktok_airflow.failure_log import log_failure_reason, log_retry_reason
from tiktok_airflow.operators.data_check import DataCheckOperator
from tiktok_airflow.operators.store_sync import STORES_LABEL, StoreSyncOperator
from tiktok_airflow.retry_policy import SyncRetryPolicy

TAGS = ["tiktok", "stores", "nightly"]

AT_NIGHT = "0 2 * * *"
BEFORE_THE_NIGHT = "30 1 * * *"
BEFORE_INSIGHTS = "30 4 * * *"
AFTER_THE_NIGHT = "0 5 * * *"

RUN_TIMEOUT = timedelta(hours=20)
"""A run that hangs is failed before it can keep the next night from starting."""

MAX_ACTIVE_TASKS = 512
"""Above any sensible pool: the limit is the pool, which can be changed while Airflow runs."""

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "marketing-data",
    # Listing, checks and summary take precedence over hundreds of stores that wait for their pool.
    "priority_weight": 10,
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": SyncRetryPolicy(),
    "execution_timeout": timedelta(minutes=10),
    "on_failure_callback": log_failure_reason,
    "on_retry_callback": log_retry_reason,
}


def has_insights() -> bool:
    """Whether the Accounts API is used, so that its Dags exist; as ``jobs.has_insights``.

    Read here because a parse must not import the package.
    """
    return bool(os.environ.get("TIKTOK_BUSINESS_APP_ID", "").strip())


def nightly(cron: str = AT_NIGHT) -> CronTriggerTimetable:
    """Every day at the time of ``cron`` in ``SYNC_TIMEZONE``.

    No ``start_date`` and a short ``run_immediately``: the first night is the next one, so that
    switching a Dag on during a manual run does not start a second one. The five minutes are for
    that first night: without them a parse between that time and the scheduler's next look would
    move it by a day. A later night missed while Airflow was down is run when it is back.
    """
    return CronTriggerTimetable(
        cron,
        timezone=os.environ.get("SYNC_TIMEZONE") or "UTC",
        run_immediately=timedelta(minutes=5),
    )


def params(
    dry_run: str = "Call TikTok and write nothing; each store's log says what would have been"
    " written. Tokens that must be refreshed are refreshed.",
) -> dict[str, Param]:
    """The trigger form; ``dry_run`` says what a dry run does.

    It lists no stores: the form is part of the Dag, and each store that is added or renamed would
    create a new version of the Dag (docs/decisions/0010). The first task refuses unknown codes and
    names them.
    """
    return {
        "stores": Param(
            [],
            # The form's list is null once it was filled and emptied again.
            type=["array", "null"],
            items={"type": "string"},
            title="Stores",
            description="The stores to sync, one store code a line; none = every active store."
            " TikTok, Stores in the navigation finds a code by the store's name; the store's page"
            " there syncs it alone.",
        ),
        "dry_run": Param(
            default=False,
            type="boolean",
            title="Dry run",
            description=dry_run,
        ),
    }


def list_stores(per_task: int | None = None) -> Any:
    """The first task: the stores of the run, as lists of those that share a task.

    Args:
        per_task: How many share a task; ``None`` = as set by ``STORES_PER_TASK``.
    """

    @task
    def list_stores() -> list[list[str]]:
        """List the stores of this run."""
        from tiktok_airflow.tasks import sync as sync_tasks  # noqa: PLC0415 - heavy; preloaded in workers, not paid at parse

        return sync_tasks.list_stores(get_current_context(), per_task)

    return list_stores()


def data_checks(*checks: str) -> TaskGroup:
    """The tasks that check the run's rows in parallel; each runs one SQL file."""
    with TaskGroup("data_checks", tooltip="Do the run's rows make sense?") as group:
        for check in checks:
            DataCheckOperator(
                check=check,
                trigger_rule="all_done",
                # The summary waits for them: a slow check must not delay the night's result.
                retries=2,
                execution_timeout=timedelta(minutes=2),
            )
    return group


class SyncDag(DAG):
    """A Dag that ``airflow dags test`` can run although it has a deadline.

    A file with nothing else of Airflow must name it all the same, or it is not parsed (safe mode).
    """

    def test(self, *args: Any, **kwargs: Any) -> Any:
        """Run once in this process, without a deadline.

        Airflow 3.3.2 looks deadlines up by their ids, which a Dag that was just parsed has not,
        and fails at the end of the run. The Dag that it stores meanwhile keeps its deadline.
        """
        self.deadline = None
        return super().test(*args, **kwargs)


def on_run_failure(context: Any) -> None:
    """Report a run that failed, even without a summary: it was killed, or out of time."""
    from tiktok_airflow import alerting  # noqa: PLC0415 - heavy; runs in the Dag processor, and seldom

    alerting.run_failed(context)


def warm_up() -> None:
    """Build, once and before the fork, what the first Dag of a process builds and keeps.

    Schema validators, template code and regular expressions outlive the Dag that needed them.
    Measured on 2 cores, a task then spends 11 ms of CPU on parsing its Dag instead of 34, and 3 ms
    on its first template instead of 17.
    """
    with DAG("warm_up", schedule=nightly(), params=params(), default_args=DEFAULT_ARGS) as dag:
        sync_stores = StoreSyncOperator.partial(task_id="sync_stores")
        sync_stores.expand(store_codes=list_stores()) >> data_checks("any") >> record_summary()
    label = dag.get_template_env().from_string(STORES_LABEL)
    label.render(task=SimpleNamespace(store_label="S001"))


def record_summary(*tables: str) -> Any:
    """The last task: records the result of the run and announces the tables' fresh data."""

    @task(trigger_rule="all_done", outlets=outlets(*tables))
    def record_summary() -> None:
        """Record the result of the run."""
        from tiktok_airflow.tasks import sync as sync_tasks  # noqa: PLC0415 - heavy; preloaded in workers, not paid at parse

        sync_tasks.record_summary(get_current_context())

    return record_summary()
