"""### Videos of every store and their counters, once a night

Reads each active store's public videos (new ones by `video/list`, known ones also by `video/query`)
and writes them to `videos`, and one row per video and day (views, likes, comments, shares) to
`video_daily_stats`. A video that TikTok no longer shows gets `removed_at`. TikTok keeps no history: a day that is missed is lost.
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
    "sync_video_daily",
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
        task="sync_store_video",
        does="; a second try continues where the first stopped (pool `tiktok_videos`)",
        skipped="the store's videos cannot be read until its manager connects the account again"
        " (the profile may be: it needs other permissions); the task's name says why.",
        checks={
            "video_syncs_missing": "was every store read, or the reason recorded?",
            "videos_lost": "did a store lose more than half of its videos?",
            "video_counts_negative": "is a count below zero?",
            "video_rows_late": "was a row observed after its day?",
            "video_figures_differ": "do `video/list` and `video/query` say the same?",
        },
    ),
):
    sync_store_video = StoreSyncOperator.partial(
        task_id="sync_store_video",
        doc_md="Sync one store's videos; above 500 stores, several one after the other.",
        pool="tiktok_videos",
        map_index_template=STORES_LABEL,
        # The longer of the two syncs: its free slots are filled first.
        priority_weight=2,
        weight_rule="absolute",
        execution_timeout=timedelta(minutes=30),
    )

    stores = sync_store_video.expand(store_codes=list_stores())
    summary = record_summary("videos", "video_daily_stats")
    (
        stores
        >> data_checks(
            "video_syncs_missing",
            "videos_lost",
            "video_counts_negative",
            "video_rows_late",
            "video_figures_differ",
        )
        >> summary
    )
    stores >> summary  # cleared with failed stores and without the checks, it waits for them
