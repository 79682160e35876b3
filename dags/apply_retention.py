"""### Thin out old video figures, once a week

The table with one row per video and day is the one that grows. Days older than `RETENTION_DAILY_DAYS` (400) are thinned to one
a week, the newest of each video; whole months older than `RETENTION_WEEKLY_DAYS` (0 = never)
are dropped. The connect app's records are deleted after `RETENTION_CONNECT_DAYS` (180): ended
attempts, links that no longer open anything, TikTok's events. Profiles, videos, logs and
the audit trail stay.

**Nothing is deleted until you enable it.** A run is a dry run: its log says which months and tables would
lose how many rows. Set `RETENTION_APPLY=yes` in the environment to let the weekly
runs delete them; or trigger one with `dry_run` off. Deleted figures cannot be read again: TikTok keeps no history. Make a
backup first (docs/operations.md).

| task | what it does | red means |
| --- | --- | --- |
| `thin_and_drop` | thins and drops, a month at a time | the database was unavailable, or a table was in use for too long; clear the task: it continues where it stopped |
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG, Param, get_current_context, task

from tiktok_airflow.dag import DEFAULT_ARGS, MAX_ACTIVE_TASKS, RUN_TIMEOUT, nightly, on_run_failure

SUNDAY_NOON = "0 12 * * 0"
"""Far from the night, in which the figures are written."""

with DAG(
    "apply_retention",
    schedule=nightly(SUNDAY_NOON),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=MAX_ACTIVE_TASKS,
    dagrun_timeout=RUN_TIMEOUT,
    on_failure_callback=on_run_failure,
    default_args=DEFAULT_ARGS,
    params={
        "dry_run": Param(
            default=os.environ.get("RETENTION_APPLY") != "yes",
            type="boolean",
            title="Dry run",
            description="Delete nothing; the log says what would go.",
        )
    },
    tags=["tiktok", "weekly"],
    doc_md=__doc__,
):

    @task(
        doc_md="Thin old days, drop old months; or say what would go.",
        execution_timeout=timedelta(hours=1),
    )
    def thin_and_drop() -> None:
        """Thin old days, drop old months; or say what would go."""
        from tiktok_airflow.tasks import retention as retention_tasks  # noqa: PLC0415 - heavy; not paid at parse

        retention_tasks.thin_and_drop(get_current_context())

    thin_and_drop()
