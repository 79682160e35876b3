"""Several stores in one task: one after the other, each with its own result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from include.tiktok_sync.errors import (
    DatabaseUnavailableError,
    RetriableError,
    SkippableError,
    SyncError,
)
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_job import StoreClient
from include.tiktok_sync.sync.store_run import Report, no_report, run_store
from include.tiktok_sync.sync.sync_log import SyncLog

MOST_TASKS = 500
"""Up to this number a task has one store, which is the simplest to watch and to retry. More tasks
fill no pool better, and each costs the scheduler more (measured: 8 % per task at 1,000 tasks)."""


def cut(codes: Sequence[str], per_task: int | None = None) -> list[list[str]]:
    """The stores of each task.

    Args:
        codes: All stores of the run.
        per_task: How many share a task; ``None`` = as many as needed to stay within 500 tasks, so
            that with more stores more of them share the cost of a task.
    """
    if per_task is None:
        per_task = max(1, math.ceil(len(codes) / MOST_TASKS))
    return [list(codes[at : at + per_task]) for at in range(0, len(codes), per_task)]


def run_batch(
    runs: Sequence[StoreRun],
    *,
    open_client: Callable[[str], StoreClient],
    repository: StoreRepository,
    report: Report = no_report,
) -> None:
    """Sync every store of the batch, even if others fail.

    On a retry only the stores without success in this run are synced. If all have succeeded, the
    task was cleared on purpose, and all are synced again.

    Args:
        runs: The stores' parts of one run; at least one.
        open_client: Makes the client of a store code.
        repository: The database.
        report: Called with the result of each store that was done.

    Raises:
        SkippableError: There was nothing to do for any of them.
        RetriableError: Some stores failed, and at least one of them can succeed later.
        SyncError: Some stores failed, and trying again helps none of them.
        Exception: The first error outside the error tree; all stores were tried.
    """
    left = _left(runs, repository) if len(runs) > 1 else runs
    skips: list[SkippableError] = []
    failures: list[tuple[str, Exception]] = []
    for run in left:
        try:
            run_store(
                run,
                open_client=partial(open_client, run.store_code),
                repository=repository,
                report=report,
            )
        except SkippableError as error:
            skips.append(error)
        except DatabaseUnavailableError:
            raise  # the others could not even be recorded
        except Exception as error:  # noqa: BLE001 - raised again below, after the other stores
            failures.append((run.store_code, error))
    if failures:
        raise _together(failures, len(runs))
    if len(skips) == len(runs):
        raise skips[0]


def _left(runs: Sequence[StoreRun], repository: StoreRepository) -> Sequence[StoreRun]:
    codes = [run.store_code for run in runs]
    done = SyncLog(repository.conn).succeeded(runs[0].key, codes)
    return [run for run in runs if run.store_code not in done] or runs


def _together(failures: Sequence[tuple[str, Exception]], total: int) -> Exception:
    if total == 1:
        return failures[0][1]
    expected = [error for _, error in failures if isinstance(error, SyncError)]
    if len(expected) < len(failures):
        return next(error for _, error in failures if not isinstance(error, SyncError))
    code, first = failures[0]
    message = f"{len(failures)} of {total} stores failed. First: {code}: {first}"
    again = [error for error in expected if isinstance(error, RetriableError)]
    if not again:
        return type(expected[0])(message, detail=expected[0].detail)
    waits = [error.retry_after_s for error in again if error.retry_after_s is not None]
    return RetriableError(message, retry_after_s=max(waits, default=None), detail=again[0].detail)
