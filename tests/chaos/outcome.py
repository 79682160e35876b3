"""What is wrong after a round? Runs, figures, logs, tokens, processes and connections."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg

from include.local.processes import leftovers as processes
from include.local.stack import Stack
from include.tiktok_sync.tokens.vault import TokenVault
from tests.chaos.conftest import STORES
from tests.chaos.rounds import Round
from tests.truth import ask, differences

_SETTLE_S = 90.0


def check(local: Stack, played: Round, *, refresh_tokens: int) -> None:
    """Fill in a round's problems and cost.

    Args:
        local: Whose.
        played: The round.
        refresh_tokens: How many refresh tokens TikTok had given out before it.
    """
    settings = local.settings
    with (
        psycopg.connect(settings.store_db_url) as store_db,
        psycopg.connect(settings.airflow_db_url) as airflow_db,
    ):
        played.cost = _cost(airflow_db, played)
        played.problems += [
            *_runs(airflow_db, played),
            *_logs(store_db, played),
            *_figures(local, store_db, played),
            *_tokens(local, store_db, refresh_tokens),
        ]
    played.problems += _left_over(local)


def count_refresh_tokens(local: Stack) -> int:
    """How many refresh tokens TikTok has given out so far: one more for each refresh."""
    return len(ask(local.settings.sandbox_url, "secrets").json()["refresh_tokens"])


def most_tries(local: Stack, played: Round) -> int:
    """The largest number of tries that a task of the round needed."""
    with psycopg.connect(local.settings.airflow_db_url) as conn:
        query = "SELECT max(try_number) FROM task_instance WHERE run_id = ANY(%s)"
        return int(_one(conn, query, [list(played.run_ids.values())])[0])


def _one(conn: psycopg.Connection, query: Any, values: list[Any]) -> Any:
    return conn.execute(query, values).fetchone()


def _cost(conn: psycopg.Connection, played: Round) -> str:
    tasks, again, most = _one(
        conn,
        "SELECT count(*), count(*) FILTER (WHERE try_number > 1), max(try_number)"
        " FROM task_instance WHERE run_id = ANY(%s)",
        [list(played.run_ids.values())],
    )
    return f"{again} of {tasks} tasks tried again, at most {most} tries"


def _runs(conn: psycopg.Connection, played: Round) -> Iterator[str]:
    if played.exit_status:
        yield f"the sync ended with status {played.exit_status}: {played.output[-600:]}"
    for dag_id, run_id in played.run_ids.items():
        query = "SELECT state FROM dag_run WHERE dag_id = %s AND run_id = %s"
        (state,) = _one(conn, query, [dag_id, run_id])
        if state != "success":
            yield f"{dag_id} ended as {state}"
    for kill in played.kills:
        if kill.back_s is None:
            yield f"{kill.kind} ({kill.what}) was not got over"


def _logs(conn: psycopg.Connection, played: Round) -> Iterator[str]:
    """One row for each store and run, and one for each run, all of them of success."""
    for dag_id, run_id in played.run_ids.items():
        stores, distinct, summaries, right = _one(
            conn,
            "SELECT count(store_code), count(DISTINCT store_code),"
            " count(*) FILTER (WHERE store_code IS NULL),"
            " count(*) FILTER (WHERE status = 'success')"
            " FROM sync_logs WHERE job_name = %s AND run_id = %s",
            [dag_id, run_id],
        )
        if (stores, distinct, summaries, right) != (STORES, STORES, 1, STORES + 1):
            yield (
                f"sync_logs of {dag_id}: {stores} rows for {distinct} stores, {summaries}"
                f" summaries, {right} with success"
            )


def _figures(local: Stack, conn: psycopg.Connection, played: Round) -> list[str]:
    # Written by the runs themselves: the round may begin before midnight and end after it.
    days = {
        day
        for (day,) in conn.execute(
            "SELECT DISTINCT snapshot_date FROM sync_logs WHERE run_id = ANY(%s)",
            [list(played.run_ids.values())],
        )
    }
    if len(days) != 1:
        return [f"the round's rows are of the days {sorted(map(str, days))}"]
    return differences(local.settings.store_db_url, local.settings.sandbox_url, days.pop())


def _tokens(local: Stack, conn: psycopg.Connection, before: int) -> Iterator[str]:
    """Every store is connected and holds TikTok's newest pair; no refresh was needed."""
    newest = {
        row["store_code"]: (row["access_token"], row["refresh_token"])
        for row in csv.DictReader(io.StringIO(ask(local.settings.sandbox_url, "stores.csv").text))
    }
    vault = TokenVault((local.settings.env["TIKTOK_TOKEN_KEYS"],))
    stored = conn.execute(
        "SELECT store_code, access_token, refresh_token, status FROM store_tokens"
    ).fetchall()
    if len(stored) != STORES:
        yield f"{len(stored)} stores have tokens"
    for code, access, refresh, status in stored:
        pair = (
            vault.decrypt(access, store_code=code, kind="access"),
            vault.decrypt(refresh, store_code=code, kind="refresh"),
        )
        if pair != newest[code]:
            yield f"{code} does not hold TikTok's newest tokens"
        if status != "active":
            yield f"{code} is {status}"
    if count_refresh_tokens(local) != before:
        yield "tokens were refreshed, though all of them were fresh"


def _left_over(local: Stack) -> list[str]:
    """Processes without the stack's supervisord above them, and connections of dead tasks."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        found = [*_strays(local), *_connections(local)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(1)


def _strays(local: Stack) -> Iterator[str]:
    supervisor = int((local.workspace.state / "supervisord.pid").read_text())
    for process in processes.of_stack(local.workspace):
        try:
            family = {process.pid, *(parent.pid for parent in process.parents())}
            title = " ".join(process.cmdline())[:60]
        except psutil.NoSuchProcess:
            continue
        if supervisor not in family:
            yield f"left behind: {title}"


def _connections(local: Stack) -> Iterator[str]:
    with psycopg.connect(local.settings.store_db_url) as conn:
        rows = conn.execute(
            "SELECT application_name, state FROM pg_stat_activity WHERE datname ="
            " current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchall()
    for name, state in rows:
        yield f"still connected: {name} ({state})"


def empty_figures(local: Stack) -> None:
    """Make the next sync a first one: no figure is right because it already was."""
    with psycopg.connect(local.settings.store_db_url) as conn:
        conn.execute("TRUNCATE user_daily_stats, videos, video_daily_stats, video_listings")
