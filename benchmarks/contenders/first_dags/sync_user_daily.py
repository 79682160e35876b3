"""The Dag one writes first: a task a store, everything imported at the top of the file."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from benchmarks.contenders.first_steps import list_active_stores, record_run, sync_one_store


@dag(schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=30)})
def sync_user_daily() -> None:
    """See the module."""

    @task
    def list_stores() -> list[str]:
        return list_active_stores()

    @task(pool="tiktok_users")
    def sync_store_user(store_code: str) -> None:
        sync_one_store("sync_user_daily", store_code)

    @task(trigger_rule="all_done")
    def record_summary() -> None:
        record_run("sync_user_daily")

    sync_store_user.expand(store_code=list_stores()) >> record_summary()


sync_user_daily()
