"""A task and TikTok are killed in the middle of a sync; ``make chaos`` does it to everything."""

from __future__ import annotations

import random
import time
from concurrent.futures import Future, ThreadPoolExecutor
from subprocess import CompletedProcess

import psycopg
import pytest

from include.local.stack import Stack
from tests.chaos.victims import TASK, Strike, strike
from tests.e2e.conftest import STORES, RunningStack
from tests.truth import differences

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

# Slow enough to be struck, and figures that no earlier sync has written.
NIGHT = {"SANDBOX_LATENCY": "1", "SANDBOX_DATE": "2027-02-03"}


@pytest.fixture(scope="module")
def calm(stack: RunningStack) -> RunningStack:
    """The stack with fresh tokens: a kill in the middle of a refresh would lose the pair."""
    with psycopg.connect(stack.db_url) as conn:
        fresh = conn.execute(
            "SELECT count(*) FROM store_tokens WHERE access_expires_at > now() + interval '15 min'"
        ).fetchone()
    if fresh != (STORES,):
        done = stack.sync()
        assert done.returncode == 0, done.stdout + done.stderr
    return stack


def _strike(local: Stack, kind: str, sync: Future[CompletedProcess[str]]) -> Strike:
    while not sync.done():
        blow = strike(local, kind, random.Random())  # noqa: S311 - any victim will do
        if blow:
            return blow
        time.sleep(0.2)
    pytest.fail(f"The sync ended before a {kind} could be killed: {sync.result()}")


def test_a_killed_task_and_a_killed_tiktok_are_made_up_for(calm: RunningStack) -> None:
    local = Stack.load(calm.env)
    with ThreadPoolExecutor() as threads:
        sync = threads.submit(calm.sync, **NIGHT)
        killed = [_strike(local, TASK, sync), _strike(local, "sandbox", sync)]
        done = sync.result()

    assert done.returncode == 0, done.stdout + done.stderr
    assert all(blow.is_back() for blow in killed)
    with psycopg.connect(calm.db_url) as conn:
        runs = conn.execute(
            "SELECT run_id, job_name, snapshot_date FROM sync_logs WHERE store_code IS NULL"
            " ORDER BY run_time DESC LIMIT 2"
        ).fetchall()
        for run_id, job_name, _ in runs:
            counts = conn.execute(
                "SELECT count(*), count(DISTINCT store_code) FROM sync_logs"
                " WHERE run_id = %s AND job_name = %s AND status = 'success'",
                [run_id, job_name],
            ).fetchone()
            assert counts == (STORES + 1, STORES)
    with psycopg.connect(local.settings.airflow_db_url) as conn:
        query = "SELECT max(try_number) FROM task_instance WHERE run_id = ANY(%s)"
        (tries,) = conn.execute(query, [[run[0] for run in runs]]).fetchone() or (0,)
    assert tries > 1
    assert differences(calm.db_url, calm.sandbox_url, runs[0][2]) == []
