"""### Clear personal data that is due, thin out old video figures

**Personal data** is cleared every day at noon, by three clocks; figures stay as they are. Names, links and account ids in daily
profile rows go after `RETENTION_IDENTITY_DAYS` (90; the store's current ones stay), the text of a removed video after
`RETENTION_REMOVED_TEXT_DAYS` (30), everything personal of a store that left or whose grant ended after `RETENTION_LEFT_DAYS` (30), or at once
if TikTok says that the account was deleted. 0 switches a clock off; `personal_dry_run` only counts. Weekly reports lose the lines about
videos whose text was cleared, and are deleted a year after their week.

**Figures.** The table with one row per video and day is the one that grows. Days older than `RETENTION_DAILY_DAYS` (400) are thinned to one
a week, the newest of each video; whole months older than `RETENTION_WEEKLY_DAYS` (0 = never)
are dropped. The connect app's records are deleted after `RETENTION_CONNECT_DAYS` (180): ended
attempts, links that no longer open anything, TikTok's events. Profiles, videos, logs and
the audit trail stay.

**No figure is deleted until you enable it.** Until then the log says which months and tables would
lose how many rows. Set `RETENTION_APPLY=yes` in the environment to let the
runs delete them; or trigger one with `dry_run` off. Deleted figures cannot be read again: TikTok keeps no history. Make a
backup first (docs/operations.md).

| task | what it does | red means |
| --- | --- | --- |
| `clear_personal_data` | clears personal data that is due, 50 stores at a time | the database was unavailable; clear the task: it continues where it stopped |
| `thin_and_drop` | thins and drops, a month at a time | the database was unavailable, or a table was in use for too long; clear the task: it continues where it stopped |
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG, Param, get_current_context, task

from tiktok_airflow.dag import DEFAULT_ARGS, MAX_ACTIVE_TASKS, RUN_TIMEOUT, nightly, on_run_failure

NOON = "0 12 * * *"
"""Far from the night, in which the figures are written; daily, for data that must go at once."""

with DAG(
    "apply_retention",
    schedule=nightly(NOON),
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
            title="Dry run of figures and connect records",
            description="Delete none of them; the log says what would go.",
        ),
        "personal_dry_run": Param(
            default=False,
            type="boolean",
            title="Dry run of personal data",
            description="Clear none; the log says what would be cleared.",
        ),
    },
    tags=["tiktok", "daily"],
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

    @task(
        doc_md="Clear personal data that is due; or say what would be cleared.",
        execution_timeout=timedelta(hours=1),
    )
    def clear_personal_data() -> None:
        """Clear personal data that is due; or say what would be cleared."""
        from tiktok_airflow.tasks import retention as retention_tasks  # noqa: PLC0415 - heavy; not paid at parse

        retention_tasks.clear_personal_data(get_current_context())

    clear_personal_data()
    thin_and_drop()
