"""The mapped task of every sync: its stores, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowTaskTimeout

from include.tiktok_sync.errors import SyncError
from tiktok_airflow.store_label import label

if TYPE_CHECKING:  # heavy; preloaded in workers, not paid at parse
    from include.tiktok_sync.sync.stopped_tasks import StopRecorder
    from include.tiktok_sync.sync.store_job import StoreReport

log = structlog.get_logger(__name__)

STORES_LABEL = "{{ task.store_label }}"
"""``map_index_template`` of a :class:`StoreSyncOperator`."""


class StoreSyncOperator(BaseOperator):
    """Does the job named after its Dag for each of its stores.

    It has no template fields: Airflow would send the rendered fields to the API server, one more
    call per task, to show what the task's name in the UI says already.

    :param store_codes: The stores; expanded from the lists of ``list_stores``.
    :param execution_timeout: For each store: the task has this much time for each of them.
    """

    template_fields: Sequence[str] = ()

    def __init__(self, *, store_codes: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store_codes = store_codes
        self.store_timeout = self.execution_timeout
        if self.store_timeout is not None:
            self.execution_timeout = self.store_timeout * len(store_codes)
        self._reports: list[StoreReport] = []
        self._failure: BaseException | None = None
        self._stop_recorder: StopRecorder | None = None

    @property
    def store_label(self) -> str:
        """The task's name in the UI: its stores, and their results so far."""
        return label(
            self.store_codes,
            [report.result for report in self._reports],
            self._failure,
            dry_run=any(report.dry_run for report in self._reports),
        )

    def execute(self, context: Any) -> None:
        """Sync the stores, and show their results in the task's name.

        Raises:
            AirflowSkipException: Nothing to be done for any of them.
            SyncError: Some of them failed; the retry policy decides what follows.
        """
        from tiktok_airflow.tasks import sync as sync_tasks  # noqa: PLC0415 - heavy; preloaded in workers, not paid at parse

        try:
            sync_tasks.sync_stores(
                self.dag_id,
                self.store_codes,
                context,
                self._reports.append,
                store_timeout=self.store_timeout,
                on_stop_recorder=self._keep,
            )
        except SyncError as error:
            self._failure = error
            # An expected failure says all in its message; Airflow would print every frame.
            raise error.with_traceback(None) from None
        except BaseException as error:  # a time-out is none of Exception's
            self._failure = error
            raise
        finally:
            # Airflow renders the name again now and sends it where it differs from this one, one
            # call of the API server more. The message that ends the task carries it anyway.
            context["ti"].rendered_map_index = self.store_label

    def on_kill(self) -> None:
        """Record the stores that are not done, without interrupting the work in progress.

        Airflow calls it after a time-out, and in the handler of a signal: somebody marked or
        cleared the task, another worker has it, or this one is shutting down. The task may be in
        the middle of a token refresh, which must not be cut off.
        """
        if self._stop_recorder is None:
            return
        why, kind = (
            "The task was stopped from outside (marked, cleared or its worker ended)",
            "stopped",
        )
        if isinstance(self._failure, AirflowTaskTimeout):
            why, kind = (
                f"The task was stopped after {_minutes(self.execution_timeout)}",
                "timed_out",
            )
        try:
            self._stop_recorder.record(why, kind=kind)
        except Exception:  # psycopg is not imported at parse; the task ends all the same
            log.exception("The stores that are not done could not be recorded")

    def _keep(self, stop_recorder: StopRecorder) -> None:
        self._stop_recorder = stop_recorder


def _minutes(timeout: timedelta | None) -> str:
    minutes = (timeout or timedelta()) / timedelta(minutes=1)
    return f"{minutes:g} minutes (its execution_timeout)"
