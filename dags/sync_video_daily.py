"""### Videos of every store and their counters, once a night

Lists each active store's public videos and writes them to `videos`, and one row a video and day
(views, likes, comments, shares) to `video_daily_stats`. A video that TikTok shows no more gets
`removed_at`. TikTok keeps no history: a day that is missed is gone.

| task | what it does | red means |
| --- | --- | --- |
| `list_stores` | checks schema, keys and TikTok app, then lists the stores | nothing was synced; its log names the setting to change |
| `sync_store_video` | one store each (several above 500 stores), 20 tasks at once (pool `tiktok_videos`) | this store failed; the reason is in its log and in `sync_logs` |
| `data_checks.video_syncs_missing` | was every store read, or the reason recorded? | the check itself could not run; the run goes on |
| `data_checks.videos_lost` | did a store lose more than half of its videos? | the check itself could not run; the run goes on |
| `data_checks.video_counts_negative` | is a count below zero? | the check itself could not run; the run goes on |
| `data_checks.video_rows_late` | was a row observed after its day? | the check itself could not run; the run goes on |
| `record_summary` | writes the run's row to `sync_logs` | too many stores failed (`MIN_SUCCESS_RATE`), or none were listed |

A **skipped** store (pink) needs its manager: the grant ended or does not cover `video.list`.
A **skipped** check found something: its log and the summary's `details -> 'warnings'` name the
stores and the next step. The run does not fail for it.

A run that takes longer than `SLA_MINUTES` (15), fails, leaves stores without figures or finds a
dead grant is told of once, through the Airflow connection `tiktok_alerts`.

**What to do:** clear the failed tasks; that is always safe, stores already done today are only
read again. To sync single stores, trigger with `stores`, for example `["S001"]`.
"""

from __future__ import annotations

from datetime import timedelta

from store_sync_operator import STORES_LABEL, StoreSyncOperator
from sync_dag import (
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
from sync_deadline import deadline

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
    doc_md=__doc__,
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

    (
        sync_store_video.expand(store_codes=list_stores())
        >> data_checks(
            "video_syncs_missing", "videos_lost", "video_counts_negative", "video_rows_late"
        )
        >> record_summary("videos", "video_daily_stats")
    )
