"""Start Airflow as the command in the arguments does; print what is loaded, then what a task adds.

After the preload comes what a worker runs in each task, in its order: the Dag file is parsed
through Airflow's own classes, then the task's code imports what it needs.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import ssl
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[4]

# The console script of Airflow; a task's process sees the arguments of its scheduler.
sys.argv = ["airflow", *sys.argv[1:]]

import alive  # type: ignore[import-not-found]  # noqa: E402 - a neighbour of this script

LOOKS = (alive.unshareable, alive.generators, alive.held_locks)


def jitter() -> str:
    """A wait between the tries of a call, as the product's client draws it."""
    client = sys.modules["include.tiktok_sync.tiktok.api_client"]
    wait = client.wait_random_exponential(multiplier=0.5, max=8)
    return str(wait(SimpleNamespace(attempt_number=4)))


sockets_before = alive.sockets()
before = [look() for look in LOOKS]
importlib.import_module("airflow")  # initialises Airflow, which imports airflow_local_settings
preloaded = set(sys.modules)
threads = [thread.name for thread in threading.enumerate()]
native_threads = alive.native_threads()
new_sockets = sorted(alive.sockets() - sockets_before)
appeared = [
    sorted(text for identity, text in look().items() if identity not in known)
    for look, known in zip(LOOKS, before, strict=True)
]
draws: dict[str, Any] = {
    "random": random.random,
    "OpenSSL": lambda: ssl.RAND_bytes(8).hex(),
    "the system": lambda: os.urandom(8).hex(),
}
if "include.tiktok_sync.tiktok.api_client" in sys.modules:
    draws["the client's jitter"] = jitter
drawn = {name: alive.drawn_in_forks(draw) for name, draw in draws.items()}

# What a process builds at its first use and keeps: found here, or built again by every task.
built = {}
if "airflow.sdk.listener" in sys.modules:
    listener = sys.modules["airflow.sdk.listener"]
    built["listeners"] = listener.get_listener_manager.cache_info().currsize
if "jinja2.lexer" in sys.modules:
    built["template lexers"] = len(sys.modules["jinja2.lexer"]._lexer_cache)

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
importlib.import_module("tiktok_airflow.tasks.sync")
# The connection, as the local stack gives it to tasks.
os.environ["AIRFLOW_CONN_TIKTOK_DEFAULT"] = json.dumps(
    {"conn_type": "http", "host": "http://127.0.0.1:1", "login": "key", "password": "secret"}
)
sys.modules["tiktok_airflow.hooks.tiktok_hook"].TikTokHook().app()

print(  # noqa: T201 - a probe's answer
    json.dumps(
        {
            "preloaded": sorted(preloaded),
            "threads": threads,
            "native_threads": native_threads,
            "new_sockets": new_sockets,
            "unshareable": appeared[0],
            "generators": appeared[1],
            "held_locks": appeared[2],
            "drawn": drawn,
            "built": built,
            "dags": sorted(bag.dags),
            "errors": bag.import_errors,
            "added_by_task": sorted(set(sys.modules) - forked),
        }
    )
)
