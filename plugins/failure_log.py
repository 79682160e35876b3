"""What stands at the end of a failed task's log? The cause and the next step."""

from __future__ import annotations

from typing import Any

import structlog
from airflow.sdk.exceptions import AirflowFailException

from include.tiktok_sync.errors import SyncError

log = structlog.get_logger(__name__)


def say_why_failed(context: Any) -> None:
    """The last line of a task that is not tried again by itself."""
    error = context.get("exception")
    if error is not None:
        _unfold()
        log.error(_told(error))


def say_why_retried(context: Any) -> None:
    """The last line of a try that failed and is followed by another."""
    error, ti = context.get("exception"), context["ti"]
    if error is not None:
        _unfold()
        tries = f"Try {ti.try_number} of {ti.max_tries + 1}: Airflow tries again by itself."
        log.warning("%s %s", _told(error), tries)


def _told(error: BaseException) -> str:
    if isinstance(error, (SyncError, AirflowFailException)):
        return str(error)
    return (
        f"Unexpected {type(error).__name__}: the traceback above says where."
        " Clear the task to run it again; if it comes back, report it with this log."
    )


def _unfold() -> None:
    # Airflow has opened the group "Post Execute", which the UI shows folded.
    log.info("::endgroup::")
