"""What are the last lines of a failed task's log? The cause and the next step."""

from __future__ import annotations

from typing import Any

import structlog
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from include.tiktok_sync.errors import SyncError

log = structlog.get_logger(__name__)


def log_failure_reason(context: Any) -> None:
    """The last lines of a task that Airflow does not retry."""
    error = context.get("exception")
    if error is not None:
        _unfold()
        for line in _lines(error):
            log.error(line)


def log_retry_reason(context: Any) -> None:
    """The last lines of a try that failed and is followed by another."""
    error, ti = context.get("exception"), context["ti"]
    if error is not None:
        _unfold()
        tries = f"Try {ti.try_number} of {ti.max_tries + 1}: Airflow tries again by itself."
        for line in (*_lines(error), tries):
            log.warning(line)


def _lines(error: BaseException) -> list[str]:
    """The cause and, on a separate line, the next step: the UI truncates long lines."""
    if isinstance(error, AirflowTaskTimeout):
        return [
            "The task took longer than its execution_timeout; the traceback above says where.",
            "Clear the task to run it again; what was written stays.",
        ]
    if not isinstance(error, (SyncError, AirflowFailException)):
        return [
            f"Unexpected {type(error).__name__}: the traceback above says where.",
            "Clear the task to run it again; if it fails again, report it with this log.",
        ]
    cause, _, step = str(error).partition(". ")
    return [f"{cause}.", step] if step else [cause]


def _unfold() -> None:
    # Airflow has opened the group "Post Execute", which the UI shows folded.
    log.info("::endgroup::")
