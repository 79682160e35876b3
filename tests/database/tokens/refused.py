"""Runs of `refresh_tokens` in which TikTok refuses stores, and what was made of the refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.errors import SyncError
from include.tiktok_sync.jobs import REFRESH_JOB, RunKey, StoreRun
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_run import run_store
from include.tiktok_sync.sync.summary import RunSummary, summarize
from include.tiktok_sync.sync.sync_log import SyncLog
from include.tiktok_sync.tokens.refusals import review_refusals
from tests.database.bench import Bench, today

ALL = [f"S{number:03}" for number in range(1, 21)]
RUN = "night"


def refresh(
    bench: Bench, codes: Sequence[str], *, run: str | None = RUN, app: TikTokApp | None = None
) -> dict[str, str]:
    """Refresh stores in a run of `refresh_tokens`; how each ended, by the kind of its error."""
    app = app or bench.app
    repository = StoreRepository(bench.conn)
    found = {}
    with app.transport() as http:
        for code in codes:
            part = StoreRun(REFRESH_JOB, run or "by-hand", code, today(), len(codes))
            try:
                run_store(
                    part,
                    open_client=lambda code=code: app.client(  # type: ignore[misc]  # called at once
                        code,
                        http=http,
                        conn=bench.conn,
                        settings=bench.settings,
                        run=part.key.name if run else None,  # noqa: B023 - called at once
                    ),
                    repository=repository,
                )
            except SyncError as error:
                found[code] = error.kind
            else:
                found[code] = "success"
    return found


def end(bench: Bench, codes: Sequence[str] = ALL, run: str = RUN) -> RunSummary:
    """The end of such a run: its refusals are reviewed, then it is summed up."""
    key = RunKey(REFRESH_JOB, run, today().date)
    return summarize(
        SyncLog(bench.conn),
        key,
        codes,
        min_success_rate=0.9,
        implausible=review_refusals(bench.conn, key),
    )


def revoke(bench: Bench, codes: Sequence[str]) -> None:
    """Their managers withdraw, and TikTok does not tell."""
    for code in codes:
        bench.grant(code, revoke=True)


def marked(bench: Bench) -> set[str]:
    found = bench.rows("SELECT store_code FROM store_tokens WHERE status = 'needs_consent'")
    return {line["store_code"] for line in found}


def recorded(bench: Bench) -> Counter[str]:
    return Counter(line["status"] for line in bench.rows("SELECT status FROM sync_logs"))
