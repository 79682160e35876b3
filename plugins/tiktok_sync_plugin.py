"""What this project adds to Airflow itself. Every process of Airflow loads it: keep it cheap."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from sync_deadline import QueuedUnlessBackfill


class TikTokSyncPlugin(AirflowPlugin):
    """Scheduler and API server make a run's deadline, and so must know what it counts from."""

    name = "tiktok_sync"
    deadline_references: list[Any] = [QueuedUnlessBackfill]  # noqa: RUF012 - as the base class has it
