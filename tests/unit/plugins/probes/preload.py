"""Start Airflow as the command in the arguments does; print what is loaded, then what a task adds.

After the preload comes what a worker runs in each task, in its order: the Dag file is parsed
through Airflow's own classes, then the task's code imports what it needs.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]

# The console script of Airflow; a task's process sees the arguments of its scheduler.
sys.argv = ["airflow", *sys.argv[1:]]


def sockets() -> list[str]:
    """Sockets this process holds open."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            link = str(descriptor.readlink())
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
        if link.startswith("socket:"):
            links.append(link)
    return links


sockets_before = sockets()
importlib.import_module("airflow")  # initialises Airflow, which imports airflow_local_settings
preloaded = set(sys.modules)
alive = [thread.name for thread in threading.enumerate()]
sockets_after = sockets()

# The scheduler and its executor load these themselves before any worker is forked.
for name in (
    "airflow.executors.local_executor",
    "airflow.jobs.scheduler_job_runner",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
):
    importlib.import_module(name)
forked = set(sys.modules)

bags = importlib.import_module("airflow.dag_processing.dagbag")
bag = bags.BundleDagBag(
    dag_folder=str(ROOT / "dags" / "sync_user_daily.py"),
    safe_mode=False,
    load_op_links=False,
    bundle_path=str(ROOT / "dags"),
    bundle_name="dags-folder",
)
# The rest of what airflow.sdk.execution_time.task_runner imports while a task runs.
for name in (
    "airflow.sdk.execution_time.task_mapping",
    "airflow.sdk.execution_time.timeout",
    "airflow.sdk.plugins_manager",
    "airflow.sdk.serde",
    "jinja2",
):
    importlib.import_module(name)
importlib.import_module("sync_tasks")

print(  # noqa: T201 - a probe's answer
    json.dumps(
        {
            "preloaded": sorted(preloaded),
            "threads": alive,
            "new_sockets": sorted(set(sockets_after) - set(sockets_before)),
            "dags": sorted(bag.dags),
            "errors": bag.import_errors,
            "added_by_task": sorted(set(sys.modules) - forked),
        }
    )
)
