"""### Fresh tokens for every store, half an hour before the night

TikTok's access tokens live for hours. This Dag refreshes those that would end during the nightly
syncs, so that the syncs do not begin with one refresh per store, and a failing refresh is
noticed before it costs figures. A refresh whose answer is lost costs the store its grant, so the
fewer happen in the middle of a sync, the better.

**Woken up?** Nothing is lost yet: the nightly syncs refresh whatever this Dag did not.
Read the last line of the log of `record_summary`: if it names the TikTok app, the keys or the
database, the syncs will fail for the same reason; fix it now.

| task | what it does | red means | what to do |
| --- | --- | --- | --- |
| `list_stores` | checks schema, keys and TikTok app, then lists the stores | nothing was refreshed: a setting is wrong, `stores` names one that does not exist, or the database or TikTok is unavailable | do what the last line of its log says, then clear the run |
| `refresh_store_tokens` | refreshes a batch of 50 stores, one after another (pool `tiktok_users`) | some stores of the batch failed; the task's name says which, `sync_logs` why | clear it: only stores that did not succeed are repeated |
| `data_checks.grants_end_soon` | does a grant end within `CONSENT_WARNING_DAYS` (30) days? | the check itself could not run; the run continues | see its log; not urgent |
| `record_summary` | writes the run's row to `sync_logs` | too many stores failed (`MIN_SUCCESS_RATE`), or none could be listed | clear what failed before it, with *Downstream*: it runs again after that |

Other colours: **orange** (up for retry) waits and retries by itself; leave it. **Pink** (skipped)
`refresh_store_tokens`: the managers of all stores in the batch must connect again. **Pink**
check: it found grants that end soon; its log and the summary's `details -> 'warnings'` name them,
the earliest first. Ask those managers to connect again. The run does not fail for either.

Each such grant raises an alert when 30, 14 and 3 days are left, through the Airflow connection `tiktok_alerts`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from tiktok_airflow.dag import (
    BEFORE_THE_NIGHT,
    DEFAULT_ARGS,
    MAX_ACTIVE_TASKS,
    RUN_TIMEOUT,
    TAGS,
    data_checks,
    list_stores,
    nightly,
    on_run_failure,
    params,
    record_summary,
)
from tiktok_airflow.operators.store_sync import STORES_LABEL, StoreSyncOperator

BATCH = 50
"""A refresh is a call of a fraction of a second; 50 of them are worth one task."""

with DAG(
    "refresh_tokens",
    schedule=nightly(BEFORE_THE_NIGHT),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=MAX_ACTIVE_TASKS,
    dagrun_timeout=RUN_TIMEOUT,
    on_failure_callback=on_run_failure,
    default_args=DEFAULT_ARGS,
    params=params(dry_run="Refresh nothing; each store's log says whether it would have been."),
    tags=TAGS,
    doc_md=__doc__,
):
    refresh_store_tokens = StoreSyncOperator.partial(
        task_id="refresh_store_tokens",
        doc_md="Refresh one batch of stores, one after the other.",
        pool="tiktok_users",
        map_index_template=STORES_LABEL,
        execution_timeout=timedelta(minutes=10),
    )

    stores = refresh_store_tokens.expand(store_codes=list_stores(BATCH))
    summary = record_summary()
    stores >> data_checks("grants_end_soon") >> summary
    stores >> summary  # cleared with failed stores and without the checks, it waits for them
