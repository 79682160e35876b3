"""Warm workers: what every task imports is imported once, before the workers are forked.

Airflow imports this module in every process that starts (``plugins/`` is on its path). A mapped
task is a bare fork of a worker, so what is here costs a task nothing; measured on 2 cores, a task
starts with 0.06 s of CPU instead of 0.88 s. Nothing with a thread, a socket or a connection may
come to life before the fork: imports, and tables in memory.
"""

import sys

# The callback of a run that failed is a fork of the Dag processor, and has 50 seconds.
if sys.argv[1:2] == ["dag-processor"]:
    import tiktok_airflow.hooks.store_db_hook  # noqa: F401 - see above

# Other commands (`airflow dags list`, the api-server) must not pay for it.
if {"scheduler", "celery"} & set(sys.argv[1:3]):
    # The parsing of a Dag file, which every task does: Airflow imports these at its first use.
    import airflow.dag_processing.bundles.local
    import airflow.dag_processing.dagbag
    import airflow.dag_processing.importers.python_importer
    import airflow.providers.common.io.assets.file
    import airflow.providers.postgres.assets.postgres
    import airflow.providers.standard.decorators.python
    import airflow.sdk.definitions.decorators

    # What the task runner imports around the task's own code.
    import airflow.sdk.execution_time.cache  # at the first look-up of a connection
    import airflow.sdk.execution_time.task_mapping
    import airflow.sdk.execution_time.timeout
    import airflow.sdk.listener
    import airflow.sdk.plugins_manager
    import airflow.sdk.serde

    # Our own: what the Dag files and their tasks import.
    from tiktok_airflow import dag as sync_dag
    from tiktok_airflow.tasks import sync as sync_tasks  # noqa: F401 - see above

    # What the first task of a process would build for itself and keep.
    airflow.sdk.listener.get_listener_manager()  # scans the plugins
    sync_dag.warm_up()
