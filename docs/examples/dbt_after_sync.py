"""### dbt after both syncs

Builds and tests the dbt package once both nightly syncs have announced fresh data. An example: copy
it into your Dag folder, and see docs/downstream.md for what it needs.
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset

# The same address as STORE_DB_ASSET_URI of the syncs.
STORE_DB = "postgres://store-db:5432/tiktok_sync"
# dbt has an environment of its own: its dependencies clash with Airflow's.
DBT = os.environ.get("DBT_COMMAND", "/opt/dbt/bin/dbt")
PROJECT = os.environ.get("DBT_PROJECT_FOLDER", "/opt/airflow/dbt")

with DAG(
    "dbt_after_sync",
    # By URI alone: another name would be another asset. All of them must be fresh.
    schedule=[
        Asset(uri=f"{STORE_DB}/public/user_daily_stats"),
        Asset(uri=f"{STORE_DB}/public/video_daily_stats"),
    ],
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    tags=["tiktok", "dbt"],
    doc_md=__doc__,
):
    BashOperator(
        task_id="dbt_build",
        # DBT_ENV_SECRET_PASSWORD and the other variables of profiles.yml come from the worker's
        # environment: a value passed here would be stored with the task. The project's folder may
        # be read-only; the task's own folder is temporary.
        bash_command=f"{DBT} build --project-dir {PROJECT} --profiles-dir {PROJECT}"
        ' --target-path "$PWD/target" --log-path "$PWD/logs"',
        append_env=True,
        retries=2,
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=1),
    )
