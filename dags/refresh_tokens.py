"""### Fresh tokens for every store, half an hour before the night

TikTok's access tokens live for hours. This Dag refreshes those that would end during the nightly
syncs, so that the syncs do not begin with one refresh a store, and a refresh that goes wrong is
known before it costs figures. A refresh whose answer is lost costs the store its grant, so the
fewer happen in the middle of a sync, the better.

| task | what it does | red means |
| --- | --- | --- |
| `list_stores` | checks schema, keys and TikTok app, then lists the stores | nothing was refreshed; its log names the setting to change |
| `make_batches` | cuts the list into batches of 50 | a bug |
| `refresh_store_tokens` | one batch each, store after store (pool `tiktok_users`) | some stores of the batch failed; each says why in `sync_logs` |
| `data_checks.grants_end_soon` | does a grant end within `CONSENT_WARNING_DAYS` (30) days? | the check itself could not run; the run goes on |
| `record_summary` | writes the run's row to `sync_logs` | too many stores failed (`MIN_SUCCESS_RATE`), or none were listed |

A **skipped** check (pink) found grants that end soon: its log and the summary's
`details -> 'warnings'` name them, the earliest first.

**What to do:** clear the failed tasks; only stores without success are done again. The nightly
syncs refresh for themselves what this Dag did not.
"""

from __future__ import annotations

from airflow.sdk import DAG, get_current_context, task

from sync_dag import (
    BEFORE_THE_NIGHT,
    DEFAULT_ARGS,
    MAX_ACTIVE_TASKS,
    TAGS,
    data_checks,
    list_stores,
    nightly,
    params,
    record_summary,
)

BATCH = 50

with DAG(
    "refresh_tokens",
    schedule=nightly(BEFORE_THE_NIGHT),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=MAX_ACTIVE_TASKS,
    default_args=DEFAULT_ARGS,
    params=params(dry_run="Refresh nothing; each store's log says whether it would have been."),
    tags=TAGS,
    doc_md=__doc__,
):

    @task
    def make_batches(store_codes: list[str]) -> list[list[str]]:
        """Cut the list into batches."""
        return [store_codes[at : at + BATCH] for at in range(0, len(store_codes), BATCH)]

    @task(
        pool="tiktok_users",
        map_index_template="{{ task.op_kwargs['store_codes'][0] }} to"
        " {{ task.op_kwargs['store_codes'][-1] }}",
    )
    def refresh_store_tokens(store_codes: list[str]) -> None:
        """Refresh one batch."""
        import sync_tasks  # noqa: PLC0415 - heavy; preloaded in workers, not paid at parse

        sync_tasks.sync_batch("refresh_tokens", store_codes, get_current_context())

    batches = make_batches(list_stores())  # type: ignore[arg-type]  # the codes, once it runs
    (
        refresh_store_tokens.expand(store_codes=batches)
        >> data_checks("grants_end_soon")
        >> record_summary()
    )
