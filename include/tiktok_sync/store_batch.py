"""Several stores in one task: one after the other, each with its own outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from include.tiktok_sync.client import TikTokClient
from include.tiktok_sync.errors import (
    DatabaseUnavailableError,
    RetriableError,
    SkippableError,
    SyncError,
)
from include.tiktok_sync.repository import StoreRepository
from include.tiktok_sync.run import StoreRun
from include.tiktok_sync.store_run import run_store
from include.tiktok_sync.sync_log import SyncLog


def run_batch(
    runs: Sequence[StoreRun],
    *,
    open_client: Callable[[str], TikTokClient],
    repository: StoreRepository,
) -> None:
    """Do every store of the batch, whatever comes of the others.

    A batch that is tried again does only the stores without success in this run; one that had
    nothing left to do was asked for again on purpose, and is done again.

    Args:
        runs: The stores' parts of one run; at least one.
        open_client: Makes the client of a store code.
        repository: The database.

    Raises:
        RetriableError: Some stores failed, and one of them at least can succeed later.
        SyncError: Some stores failed; none can succeed by trying again.
        Exception: The first failure from outside the tree; all stores were tried.
    """
    codes = [run.store_code for run in runs]
    done = SyncLog(repository.conn).succeeded(runs[0].key, codes)
    left = [run for run in runs if run.store_code not in done] or runs
    failures: list[tuple[str, Exception]] = []
    for run in left:
        try:
            run_store(run, open_client=partial(open_client, run.store_code), repository=repository)
        except SkippableError:
            continue  # recorded, with its reason
        except DatabaseUnavailableError:
            raise  # the others could not even be recorded
        except Exception as error:  # noqa: BLE001 - raised again below, after the other stores
            failures.append((run.store_code, error))
    if failures:
        raise _together(failures, len(runs))


def _together(failures: Sequence[tuple[str, Exception]], total: int) -> Exception:
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
