"""Which of the sandbox's stores does the product know, and which of them are active?"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys

import psycopg

from include.local.console import say
from include.local.environment import base_env
from include.local.errors import LocalSyncError
from include.local.parts.airflow_env import product_env
from include.local.run.sandbox_admin import ask
from include.local.stack import Stack

_CHUNK = 500  # codes in one address, some 3 kB


def seed_stores(stack: Stack) -> list[str]:
    """Import the sandbox's stores that are missing, and activate exactly the first ``STORES``.

    Known stores keep their tokens: the sandbox has rotated them since, and an import would put
    back old ones. Stores that the sandbox does not know, and those that somebody paused or removed,
    are never touched.

    Returns:
        Codes of the active ones.

    Raises:
        SyncError: The sandbox or the import failed.
    """
    known = [store["store_code"] for store in ask(stack, "GET", "/stores").json()]
    wanted = known[: stack.settings.stores]
    with psycopg.connect(stack.settings.store_db_url) as connection:
        rows = connection.execute("SELECT store_code FROM stores").fetchall()
    present = {row[0] for row in rows}
    missing = [code for code in wanted if code not in present]
    import_stores(stack, missing)
    if stack.settings.business:
        _import_second_grants(stack, wanted)
    with psycopg.connect(stack.settings.store_db_url) as connection:
        connection.execute(
            """
            UPDATE stores SET is_active = (store_code = ANY(%(wanted)s))
            WHERE store_code = ANY(%(known)s)
              AND is_active IS DISTINCT FROM (store_code = ANY(%(wanted)s))
              AND paused_at IS NULL AND removed_at IS NULL
            """,
            {"wanted": wanted, "known": known},
        )
    say(f"  stores       {len(wanted)} of the sandbox active, {len(missing)} newly imported")
    return wanted


def _import_second_grants(stack: Stack, codes: list[str]) -> None:
    """Give known stores the grants of the Accounts API that they lack; the first ones stay."""
    with psycopg.connect(stack.settings.store_db_url) as connection:
        rows = connection.execute("SELECT store_code FROM business_tokens").fetchall()
    connected = {row[0] for row in rows}
    lacking = [code for code in codes if code not in connected]
    for start in range(0, len(lacking), _CHUNK):
        chunk = ",".join(lacking[start : start + _CHUNK])
        given = csv.DictReader(io.StringIO(ask(stack, "GET", f"/stores.csv?codes={chunk}").text))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, given.fieldnames or ())
        writer.writeheader()
        for row in given:
            writer.writerow({name: row[name] if _is_kept(name) else "" for name in row})
        _import(stack, text.getvalue())


def _is_kept(column: str) -> bool:
    return column in {"store_code", "store_name", "region"} or column.startswith("business_")


def import_stores(stack: Stack, codes: list[str]) -> None:
    """Import stores with their newest tokens: new ones, or ones to be connected again.

    Raises:
        SyncError: The sandbox or the import failed.
    """
    for start in range(0, len(codes), _CHUNK):
        chunk = ",".join(codes[start : start + _CHUNK])
        _import(stack, ask(stack, "GET", f"/stores.csv?codes={chunk}").text)


def _import(stack: Stack, text: str) -> None:
    """Give the CSV to the product's own command, tokens on its standard input only."""
    done = subprocess.run(
        [sys.executable, "-m", "include.tiktok_sync", "stores", "import", "-"],
        cwd=stack.workspace.root,
        env={
            **base_env(stack.workspace, os.environ),
            **product_env(stack.settings),
        },
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr or done.stdout).strip()
        message = f"The sandbox's stores could not be imported:\n{reason}"
        raise LocalSyncError(message)
