"""The mapped task of every sync: its stores, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator

STORES_LABEL = (
    "{% set codes = task.store_codes %}{{ codes[0] }}"
    "{% if codes | length > 1 %} to {{ codes[-1] }} ({{ codes | length }}){% endif %}"
)
"""Name of a mapped task in the UI: its store, or the first and last of them and how many."""


class StoreSyncOperator(BaseOperator):
    """Does the job that is named like its Dag for each of its stores.

    Nothing of it is a template: Airflow would send the rendered fields to the API server, one call
    more for each task, to show there what the task's name in the UI says already.

    :param store_codes: The stores; expanded from those that ``list_stores`` puts together.
    """

    template_fields: Sequence[str] = ()

    def __init__(self, *, store_codes: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store_codes = store_codes

    def execute(self, context: Any) -> None:
        """Sync the stores.

        Raises:
            AirflowSkipException: Nothing to be done for any of them.
            SyncError: Some of them failed; the retry policy decides what follows.
        """
        import sync_tasks  # noqa: PLC0415 - heavy; preloaded in workers, not paid at parse

        sync_tasks.sync_stores(self.dag_id, self.store_codes, context)
