"""### Profile figures of every store, once a night

Reads each active store's TikTok profile (followers, likes, number of videos) and writes one row
per store and day to `user_daily_stats`. TikTok keeps no history: a day that is missed is lost.

**Woken up?** Open the run and read the last line of the log of `record_summary`: how many stores
failed, and why. A day can be saved until it ends in `SYNC_TIMEZONE`; after midnight TikTok
shows other figures, and those are marked late.

| task | what it does | red means | what to do |
| --- | --- | --- | --- |
| `list_stores` | checks schema, keys and TikTok app, then lists the stores | nothing was synced: a setting is wrong, `stores` names one that does not exist, or the database or TikTok is unavailable | do what the last line of its log says, then clear the run |
| `sync_store_user` | syncs one store per task (several above 500 stores) (pool `tiktok_users`) | a store failed after all its tries; the task's name says why | a few: clear them. If most failed for one reason, fix that first (TikTok down? database? network?), then clear all that failed |
| `data_checks.user_rows_missing` | does every store have its row of the day? | the check itself could not run; the figures are unaffected | see its log; not urgent |
| `data_checks.user_counts_negative` | is a count below zero? | the check itself could not run; the figures are unaffected | see its log; not urgent |
| `data_checks.user_rows_late` | was a row observed after its day? | the check itself could not run; the figures are unaffected | see its log; not urgent |
| `record_summary` | writes the run's row to `sync_logs` | too many stores failed (`MIN_SUCCESS_RATE`), or none could be listed | clear what failed before it, with *Downstream*: it runs again after that |

Other colours: **orange** (up for retry) waits and retries by itself; leave it. **Pink** (skipped)
`sync_store_user`: the profile cannot be read until the store's manager connects the account again;
the task's name says why. **Pink** check: it found something; its log and the summary's
`details -> 'warnings'` name the stores and the next step. The run does not fail for either.

**Retry:** clearing is always safe, even in a run that is still active: rows are replaced, never
duplicated. Leave *Downstream* on, so that the checks and the summary run again, and *Clear only
failed tasks* off.

- stores: open `sync_store_user`, tick those that failed (sort by *State*), *Clear Task Instances*
- the whole run: open the run, *Clear*
- a store outside the run: *Trigger*, and enter its code under *Stores*

**Alerts:** a run that takes longer than `SLA_MINUTES` (15), fails, leaves stores without figures or
finds a dead grant raises one alert, through the Airflow connection `tiktok_alerts`.
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

    stores = sync_store_user.expand(store_codes=list_stores())
    summary = record_summary("user_daily_stats")
    stores >> data_checks("user_rows_missing", "user_counts_negative", "user_rows_late") >> summary
    stores >> summary  # cleared with failed stores and without the checks, it waits for them
