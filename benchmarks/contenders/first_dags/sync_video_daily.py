"""The Dag one writes first: a task a store, everything imported at the top of the file."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from benchmarks.contenders.first_steps import list_active_stores, record_run, sync_one_store


@dag(schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=30)})
def sync_video_daily() -> None:
    """See the module."""

    @task
    def list_stores() -> list[str]:
        return list_active_stores()

    @task(pool="tiktok_videos")
    def sync_store_video(store_code: str) -> None:
        sync_one_store("sync_video_daily", store_code)

    @task(trigger_rule="all_done")
    def record_summary() -> None:
        record_run("sync_video_daily")

    sync_store_video.expand(store_code=list_stores()) >> record_summary()


sync_video_daily()
