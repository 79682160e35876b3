"""### Profile figures of every store, once a night

Reads each active store's TikTok profile (followers, likes, number of videos) and writes one row
per store and day to `user_daily_stats`. TikTok keeps no history: a day that is missed is lost.
"""

from __future__ import annotations

from datetime import timedelta

from tiktok_airflow.dag import (
    DEFAULT_ARGS,
    MAX_ACTIVE_TASKS,
    RUN_TIMEOUT,
    TAGS,
    SyncDag,
    data_checks,
    list_stores,
    nightly,
    on_run_failure,
    params,
    record_summary,
)
from tiktok_airflow.deadline import deadline
from tiktok_airflow.operators.store_sync import STORES_LABEL, StoreSyncOperator
from tiktok_airflow.sync_page import sync_page

with SyncDag(
    "sync_user_daily",
    schedule=nightly(),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=MAX_ACTIVE_TASKS,
    dagrun_timeout=RUN_TIMEOUT,
    deadline=deadline(),
    on_failure_callback=on_run_failure,
    default_args=DEFAULT_ARGS,
    params=params(),
    tags=TAGS,
    doc_md=sync_page(
        __doc__,
        task="sync_store_user",
        does=" (pool `tiktok_users`)",
        skipped="the profile cannot be read until the store's manager connects the account again;"
        " the task's name says why.",
        checks={
            "user_rows_missing": "does every store have its row of the day?",
            "user_counts_negative": "is a count below zero?",
            "user_rows_late": "was a row observed after its day?",
        },
    ),
):
    sync_store_user = StoreSyncOperator.partial(
        task_id="sync_store_user",
        doc_md="Sync one store's profile; above 500 stores, several one after the other.",
        pool="tiktok_users",
        map_index_template=STORES_LABEL,
        priority_weight=1,
        weight_rule="absolute",
        execution_timeout=timedelta(minutes=10),
    )

    stores = sync_store_user.expand(store_codes=list_stores())
    summary = record_summary("user_daily_stats")
    stores >> data_checks("user_rows_missing", "user_counts_negative", "user_rows_late") >> summary
    stores >> summary  # cleared with failed stores and without the checks, it waits for them
