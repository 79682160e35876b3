"""Which of the sandbox's stores does the product know, and which of them are active?"""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import requests

from include.local.airflow_env import product_env
from include.local.console import say
from include.local.errors import SyncError
from include.local.stack import Stack
from include.local.supervisor import base_env

_CHUNK = 500  # codes in one address, some 3 kB


def seed_stores(stack: Stack) -> None:
    """Import the sandbox's stores that are missing, and activate exactly the first ``STORES``.

    Known stores keep their tokens: the sandbox has rotated them since, and an import would put
    back old ones. Stores that the sandbox does not know are never touched.

    Raises:
        SyncError: The sandbox or the import failed.
    """
    known = [store["store_code"] for store in _get(stack, "/admin/stores").json()]
    wanted = known[: stack.settings.stores]
    with psycopg.connect(stack.settings.store_db_url) as connection:
        rows = connection.execute("SELECT store_code FROM stores").fetchall()
    present = {row[0] for row in rows}
    missing = [code for code in wanted if code not in present]
    for start in range(0, len(missing), _CHUNK):
        codes = ",".join(missing[start : start + _CHUNK])
        _import(stack, _get(stack, f"/admin/stores.csv?codes={codes}").text)
    with psycopg.connect(stack.settings.store_db_url) as connection:
        connection.execute(
            """
            UPDATE stores SET is_active = (store_code = ANY(%(wanted)s))
            WHERE store_code = ANY(%(known)s)
              AND is_active IS DISTINCT FROM (store_code = ANY(%(wanted)s))
            """,
            {"wanted": wanted, "known": known},
        )
    say(f"  stores       {len(wanted)} of the sandbox active, {len(missing)} newly imported")


def _import(stack: Stack, csv: str) -> None:
    """Give the CSV to the product's own command, tokens on its standard input only."""
    done = subprocess.run(
        [sys.executable, "-m", "include.tiktok_sync", "stores", "import", "-"],
        cwd=stack.workspace.root,
        env={
            **base_env(stack.workspace, os.environ),
            **product_env(stack.settings),
        },
        input=csv,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr or done.stdout).strip()
        message = f"The sandbox's stores could not be imported:\n{reason}"
        raise SyncError(message)


def _get(stack: Stack, path: str) -> requests.Response:
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy to the loopback interface
            answer = session.get(stack.settings.sandbox_url + path, timeout=(3, 60))
        answer.raise_for_status()
    except requests.RequestException as error:
        log = stack.workspace.log_file("sandbox")
        message = f"The sandbox did not answer {path.partition('?')[0]}. Its log: {log}"
        raise SyncError(message) from error
    return answer
