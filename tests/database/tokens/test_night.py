"""A night that begins with every token expired: do both jobs together refresh each store once?"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from uuid import UUID

import psycopg
import pytest

from include.tiktok_sync.errors import SyncError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB, StoreRun
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_run import run_store
from include.tiktok_sync.tiktok.client import TikTokClient
from include.tiktok_sync.tokens.store import Claim, StoredTokens, TokenStore
from tests.database.bench import Bench, today

STORES = 300
PAIRS = 12
"""Workers of each job."""

PATIENCE_S = 600


def _expire_all(bench: Bench, stores: int) -> list[str]:
    """Import this number of stores whose access tokens have all ended; gives their codes."""
    bench.sandbox.admin("PATCH", "/settings", json={"stores": stores})
    codes = [store["store_code"] for store in bench.sandbox.admin("GET", "/stores")]
    for code in codes:
        bench.grant(code, expire_access=True)
    bench.import_stores()
    # A refresh takes a while, so that the other job really comes while it is under way.
    bench.sandbox.admin("PATCH", "/settings", json={"latency": {"oauth_token": 0.05}})
    StoreRepository(bench.conn).ensure_partitions(today().date)
    return codes


def _work(bench: Bench, job: str, codes: list[str], partner: threading.Barrier) -> None:
    """One worker of one job; it begins each store at the moment its peer of the other job does."""
    app, settings = bench.app, bench.settings
    with psycopg.connect(bench.db_url, autocommit=True) as conn, app.transport() as http:
        for code in codes:
            run = StoreRun(job, "night", code, today(), stores_in_run=len(codes))
            client: Callable[[], TikTokClient] = partial(
                app.client, code, http=http, conn=conn, settings=settings
            )
            partner.wait(PATIENCE_S)
            with suppress(SyncError):  # the outcome is in sync_logs
                run_store(run, open_client=client, repository=StoreRepository(conn))


def _both_jobs(bench: Bench, codes: list[str]) -> None:
    with ThreadPoolExecutor(2 * PAIRS) as pool:
        workers = []
        for number in range(PAIRS):
            partner = threading.Barrier(2)
            workers += [
                pool.submit(_work, bench, job, codes[number::PAIRS], partner)
                for job in (USER_JOB, VIDEO_JOB)
            ]
        for worker in workers:
            worker.result(PATIENCE_S)


def test_both_jobs_on_300_expired_tokens_refresh_each_store_once(bench: Bench) -> None:
    _both_jobs(bench, _expire_all(bench, STORES))
    outcomes = bench.rows(
        "SELECT job_name, status, count(*) FROM sync_logs GROUP BY 1, 2 ORDER BY 1"
    )
    assert outcomes == [
        {"job_name": job, "status": "success", "count": STORES} for job in (USER_JOB, VIDEO_JOB)
    ]
    stats = bench.stats()
    assert Counter(stats["refreshes"].values()) == {1: STORES}
    assert (stats["refresh_calls"], stats["dead_token_uses"]) == (STORES, 0)
    statuses = bench.rows("SELECT status, count(*) FROM store_tokens GROUP BY 1")
    assert statuses == [{"status": "active", "count": STORES}]


def test_the_same_night_without_claims_would_be_seen(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def claimed_by_all(_: TokenStore, tokens: StoredTokens, key: UUID, life: timedelta) -> Claim:
        del life
        return Claim(key, tokens, None)

    monkeypatch.setattr(TokenStore, "claim", claimed_by_all)
    _both_jobs(bench, _expire_all(bench, 2 * PAIRS))
    assert bench.stats()["refresh_calls"] > 2 * PAIRS
