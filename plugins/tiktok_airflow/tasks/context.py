"""What does a task know about its run: its day, its stores, its key, and where its results go?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.jobs import RunKey
from include.tiktok_sync.settings import Settings

LIST_TASK = "list_stores"
ERROR_KEY = "error"
"""XCom in which ``list_stores`` leaves the reason for its failure for the summary."""

CHECKS_GROUP = "data_checks"
"""Task group of the data checks; begins their tasks' ids."""

OUTCOME_KEY = "data_check"
"""XCom in which a data check leaves its result for the summary."""


def listed_stores(context: Mapping[str, Any]) -> list[str] | None:
    """Every store of the run; ``None`` = they could not be listed."""
    batches: Sequence[Sequence[str]] | None = context["ti"].xcom_pull(task_ids=LIST_TASK)
    return None if batches is None else [code for batch in batches for code in batch]


def snapshot_day(context: Mapping[str, Any], settings: Settings) -> SnapshotDay:
    """The day that the run's figures stand for.

    A manual run may have no logical date; it stands for the day on which it was triggered.
    """
    dag_run = context["dag_run"]
    return SnapshotDay.of(dag_run.logical_date or dag_run.run_after, settings.timezone)


def day_to_sync(context: Mapping[str, Any], settings: Settings) -> SnapshotDay:
    """The run's day, unless figures of today cannot stand for it.

    Raises:
        ConfigurationError: See :meth:`SnapshotDay.asked_for`.
    """
    return SnapshotDay.asked_for(snapshot_day(context, settings).date, settings.timezone, utc_now())


def run_key(context: Mapping[str, Any]) -> RunKey:
    """The run's key in ``sync_logs``, with the day its figures stand for."""
    dag_run = context["dag_run"]
    return RunKey(dag_run.dag_id, dag_run.run_id, snapshot_day(context, Settings.from_env()).date)


def stores_to_check(context: Mapping[str, Any]) -> Sequence[str]:
    """The stores of the run whose rows a data check looks at.

    Raises:
        AirflowSkipException: A dry run, or no store: there is nothing to find something in.
    """
    if context["params"]["dry_run"]:
        message = "Dry run: there are no new rows to check."
        raise AirflowSkipException(message)
    codes = listed_stores(context)
    if not codes:
        message = "No store was listed: there is nothing to check."
        raise AirflowSkipException(message)
    return codes
