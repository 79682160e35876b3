"""### Fresh tokens of TikTok's Accounts API, half an hour before the insights

As `refresh_tokens` does for the first consents: refreshes the access tokens of all active stores
that gave the second consent, so that `sync_insights_daily` does not begin with one refresh per
store. While that Dag is paused, this one finds out which managers have withdrawn. The same rules
hold, and its failures never touch the first consents. This Dag exists only while
`TIKTOK_BUSINESS_APP_ID` is set.

**Woken up?** Nothing is lost: `sync_insights_daily` refreshes whatever this Dag did not, and TikTok
keeps each day for 60 days. Read the last line of the log of `record_summary`: if it names the app of
the Accounts API, the keys or the database, the insights will fail for the same reason; fix it now.

| task | what it does | red means | what to do |
| --- | --- | --- | --- |
| `list_stores` | checks schema, keys and the app of the Accounts API, then lists the stores with the second consent | nothing was refreshed: a setting is wrong, `stores` names one that does not exist, or the database or TikTok is unavailable | do what the last line of its log says, then clear the run |
| `refresh_store_tokens` | refreshes a batch of 50 stores, one after another and one batch at a time (pool `tiktok_business`) | some stores of the batch failed; the task's name says which, `sync_logs` why | clear it: only stores that did not succeed are repeated |
| `data_checks.business_grants_end_soon` | does a second consent end within `CONSENT_WARNING_DAYS` (30) days? | the check itself could not run; the run continues | see its log; not urgent |
| `record_summary` | writes the run's row to `sync_logs` | too many stores failed (`MIN_SUCCESS_RATE`), or none could be listed | clear what failed before it, with *Downstream*: it runs again after that |

Other colours: **orange** (up for retry) waits and retries by itself; leave it. **Pink** (skipped)
`refresh_store_tokens`: the managers of all stores in the batch must give the second consent again
(`stores link CODE --business`). **Pink** check: it found consents that end soon; its log and the
summary's `details -> 'warnings'` name them, the earliest first. The run does not fail for either.

Each such consent raises an alert when 30, 14 and 3 days are left, through the Airflow connection `tiktok_alerts`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from tiktok_airflow.dag import (
    BEFORE_INSIGHTS,
    DEFAULT_ARGS,
    MAX_ACTIVE_TASKS,
    RUN_TIMEOUT,
    TAGS,
    data_checks,
    has_insights,
    list_stores,
    nightly,
    on_run_failure,
    params,
    record_summary,
)
from tiktok_airflow.operators.store_sync import STORES_LABEL, StoreSyncOperator

BATCH = 50
"""As in ``refresh_tokens``."""

if has_insights():
    with DAG(
        "refresh_business_tokens",
        schedule=nightly(BEFORE_INSIGHTS),
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
            pool="tiktok_business",
            map_index_template=STORES_LABEL,
            execution_timeout=timedelta(minutes=10),
            # Refreshes may count among the app's ten calls a second; it is refused for 5 minutes
            # above that.
            max_active_tis_per_dagrun=1,
        )

        stores = refresh_store_tokens.expand(store_codes=list_stores(BATCH))
        summary = record_summary()
        stores >> data_checks("business_grants_end_soon") >> summary
        stores >> summary  # cleared with failed stores and without the checks, it waits for them
