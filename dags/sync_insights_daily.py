"""### Account days and posts from TikTok's Accounts API, once a night

Reads what the Display API does not have: each account's figures by day (`account_daily`), its
audience (`account_audience`), and for each post reach, watch time, completion and traffic sources
(`video_insights_daily`). Every night asks for the last 60 days, in one call: TikTok delivers a day
late and corrects it until it is 7 days old. From then on its figures stay, and only those that it
lacks are filled in. Days are UTC's.

A **backfill** over past days writes those days' true figures, up to 60 days back; one call per
store covers them all. This Dag exists only while `TIKTOK_BUSINESS_APP_ID` is set.
"""

from __future__ import annotations

from datetime import timedelta

from tiktok_airflow.dag import (
    AFTER_THE_NIGHT,
    DEFAULT_ARGS,
    MAX_ACTIVE_TASKS,
    RUN_TIMEOUT,
    TAGS,
    SyncDag,
    data_checks,
    has_insights,
    list_stores,
    nightly,
    on_run_failure,
    params,
    record_summary,
)
from tiktok_airflow.deadline import deadline
from tiktok_airflow.operators.store_sync import STORES_LABEL, StoreSyncOperator
from tiktok_airflow.sync_page import KEPT_FOR_60_DAYS, sync_page

if has_insights():
    with SyncDag(
        "sync_insights_daily",
        schedule=nightly(AFTER_THE_NIGHT),
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
            task="sync_store_insights",
            does="; a second try continues where the first stopped (pool `tiktok_business`)",
            skipped="the store's manager must give the second consent again; the task's name says"
            " why.",
            checks={
                "insight_days_missing": "did a store's days stop coming?",
                "insight_counts_negative": "is a count below zero that cannot be?",
            },
            how_long=KEPT_FOR_60_DAYS,
        ),
    ):
        sync_store_insights = StoreSyncOperator.partial(
            task_id="sync_store_insights",
            doc_md="Sync one store's account days and posts; above 500 stores, several.",
            pool="tiktok_business",
            map_index_template=STORES_LABEL,
            priority_weight=1,
            weight_rule="absolute",
            execution_timeout=timedelta(minutes=30),
        )

        stores = sync_store_insights.expand(store_codes=list_stores())
        summary = record_summary("account_daily", "account_audience", "video_insights_daily")
        checks = data_checks("insight_days_missing", "insight_counts_negative")
        stores >> checks >> summary
        stores >> summary  # cleared with failed stores and without the checks, it waits for them
