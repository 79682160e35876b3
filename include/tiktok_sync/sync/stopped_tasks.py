"""A task is being stopped from outside: how are its unfinished stores recorded?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg

from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.sync_log import SyncLog
from include.tiktok_sync.tiktok.time_left import TimeLeft

HURRY_S = 2
"""To connect, and for each statement: Airflow kills a process 5 s after its signal."""


_NEXT = "Clear the task if Airflow does not retry it by itself."


class StopRecorder:
    """Records the stores of a task that is being stopped.

    It writes on its own connection and interrupts nothing, so it may be used in a signal handler
    while the task's connection is busy, for example with a token refresh, which must finish if it
    still can. A store that finishes after all overwrites its row.

    Args:
        conn: The task's connection.
        runs: The task's stores.
    """

    def __init__(self, conn: Connection, runs: Sequence[StoreRun]) -> None:
        # The server cannot be asked for its address in a signal handler.
        self._parameters: dict[str, Any] = {
            **conn.info.get_parameters(),
            "password": conn.info.password,
        }
        self._left = {run.store_code: run for run in runs}
        self._current: tuple[str, TimeLeft, float] | None = None

    def begin(self, store_code: str, time_left: TimeLeft) -> None:
        """Note that work on the store has begun."""
        self._current = (store_code, time_left, time.monotonic())

    def end(self, store_code: str) -> None:
        """Note that the result of the store is recorded."""
        self._left.pop(store_code, None)

    def record(self, why: str, *, kind: str) -> list[str]:
        """Record unfinished stores as ``failed``, unless another try has finished them meanwhile.

        Args:
            why: The reason, a sentence without its full stop.
            kind: For ``details``.

        Returns:
            The stores recorded.

        Raises:
            psycopg.Error: They could not be recorded.
        """
        if not self._left:
            return []
        parameters = {**self._parameters, "connect_timeout": HURRY_S}
        with psycopg.connect(**parameters, prepare_threshold=None) as conn:
            conn.execute("SELECT set_config('statement_timeout', %s, true)", [f"{HURRY_S}s"])
            log = SyncLog(conn)
            return [code for code, run in self._left.items() if self._record(log, run, why, kind)]

    def _record(self, log: SyncLog, run: StoreRun, why: str, kind: str) -> bool:
        if self._current is None or self._current[0] != run.store_code:
            return log.record_stopped(
                run.key, run.store_code, f"{why}, before it was this store's turn. {_NEXT}", kind
            )
        _, time_left, began_at = self._current
        message = f"{why}, while {time_left.doing}. {_NEXT}"
        lasted = timedelta(seconds=time.monotonic() - began_at)
        return log.record_stopped(run.key, run.store_code, message, kind, lasted)
