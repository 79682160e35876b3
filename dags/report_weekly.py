"""### Marketing's weekly report

Every Monday at 06:00 in `SYNC_TIMEZONE`, about the week that has just ended (Monday to Sunday): the
chain's week, stores compared with themselves, the best videos, what was posted when, missing days,
stores that need consent. The report is one HTML file. It is kept for a year, listed on the status
page (TikTok, *Reports*), and its headline is sent to `REPORT_URL` with a link to it.

To make an earlier one, trigger this Dag and name the week (such as `2026-W47`), and a region if you
want one. Making a report again replaces it; its headline is sent once.

**Woken up?** No figure is lost: everything in a report is in the database. Read the last line of the
failed task's log, then clear the task.

| task | what it does | red means |
| --- | --- | --- |
| `make_report` | reads the figures, draws the charts, keeps the report | the database was unavailable, or `week` or `region` names one that does not exist; the log says which |
| `send_report` | sends the headline and the link | no channel of `REPORT_URL` accepted the message; the report is kept, and a clear sends it |
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, get_current_context, task

from tiktok_airflow.dag import DEFAULT_ARGS, MAX_ACTIVE_TASKS, RUN_TIMEOUT, nightly, on_run_failure

MONDAY_MORNING = "0 6 * * 1"
"""Before people come to work, after the sync that finds what was posted on Sunday.

Gains end with Sunday's own sync.
"""

with DAG(
    "report_weekly",
    schedule=nightly(MONDAY_MORNING),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=MAX_ACTIVE_TASKS,
    dagrun_timeout=RUN_TIMEOUT,
    on_failure_callback=on_run_failure,
    default_args=DEFAULT_ARGS,
    params={
        "week": Param(
            None,
            type=["string", "null"],
            title="Week",
            description="An ISO week such as 2026-W47; none = the last one that has ended.",
        ),
        "region": Param(
            None,
            type=["string", "null"],
            title="Region",
            description="Only the stores of this region; none = all stores.",
        ),
    },
    tags=["tiktok", "weekly"],
    doc_md=__doc__,
):

    @task(
        doc_md="Make the report of the week and keep it.",
        execution_timeout=timedelta(minutes=30),
    )
    def make_report() -> None:
        """Make the report of the week and keep it."""
        from tiktok_airflow.tasks import report as report_tasks  # noqa: PLC0415 - heavy; not paid at parse

        report_tasks.make_report(get_current_context())

    @task(doc_md="Send its headline to `REPORT_URL`.")
    def send_report() -> None:
        """Send its headline to REPORT_URL."""
        from tiktok_airflow.tasks import report as report_tasks  # noqa: PLC0415 - heavy; not paid at parse

        report_tasks.send_report(get_current_context())

    make_report() >> send_report()
