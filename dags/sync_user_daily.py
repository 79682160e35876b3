"""### Profile figures of every store, once a night

Reads each active store's TikTok profile (followers, likes, number of videos) and writes one row
a store and day to `user_daily_stats`. TikTok keeps no history: a day that is missed is gone.

| task | what it does | red means |
| --- | --- | --- |
| `list_stores` | checks schema, keys and TikTok app, then lists the stores | nothing was synced; its log names the setting to change |
| `sync_store_user` | one store each (several above 500 stores), 30 tasks at once (pool `tiktok_users`) | this store failed; the reason is in its log and in `sync_logs` |
| `data_checks.user_rows_missing` | does every store have its row of the day? | the check itself could not run; the run goes on |
| `data_checks.user_counts_negative` | is a count below zero? | the check itself could not run; the run goes on |
| `data_checks.user_rows_late` | was a row observed after its day? | the check itself could not run; the run goes on |
| `record_summary` | writes the run's row to `sync_logs` | too many stores failed (`MIN_SUCCESS_RATE`), or none were listed |

A **skipped** store (pink) needs its manager: the grant ended or does not cover the profile.
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
    doc_md=__doc__,
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

    (
        sync_store_user.expand(store_codes=list_stores())
        >> data_checks("user_rows_missing", "user_counts_negative", "user_rows_late")
        >> record_summary("user_daily_stats")
    )
