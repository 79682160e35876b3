"""Which failures does Airflow try again, and when? Straight from the error tree."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from include.tiktok_sync.errors import RetriableError, SyncError


class SyncRetryPolicy(RetryPolicy):
    """Waits as long as the failure requires; does not retry what cannot succeed.

    Errors from outside the tree (a bug, a killed process) follow the task's own settings.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Any = None,
    ) -> RetryDecision:
        """Decide in the worker, with the exception at hand."""
        del try_number, max_tries, context
        if isinstance(exception, RetriableError):
            delay = timedelta(seconds=exception.retry_after_s) if exception.retry_after_s else None
            return RetryDecision.retry(delay, str(exception))
        if isinstance(exception, SyncError):
            return RetryDecision.fail(str(exception))
        return RetryDecision.default()
