"""Which jobs are there, and which run, store and day is one piece of work for?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from include.tiktok_sync.days import SnapshotDay

Api = Literal["display", "business"]
"""TikTok's two APIs, each with an app, grants and limits of its own."""

USER_JOB = "sync_user_daily"
VIDEO_JOB = "sync_video_daily"
REFRESH_JOB = "refresh_tokens"

SYNC_JOBS = (USER_JOB, VIDEO_JOB)
"""The Dags that write figures."""

NIGHTLY_JOBS = (REFRESH_JOB, *SYNC_JOBS)
"""The Dags of a night, in the order in which they start."""

ALL_DAGS = (*NIGHTLY_JOBS, "apply_retention")
"""Every Dag of the product: whose history in Airflow may speak of a store."""


@dataclass(frozen=True)
class RunKey:
    """Which run: the Dag id, the run id, and the day its figures stand for."""

    job_name: str
    run_id: str
    snapshot_date: date

    @property
    def name(self) -> str:
        """Dag id and run id in one text."""
        return f"{self.job_name} {self.run_id}"


@dataclass(frozen=True)
class StoreRun:
    """One store's part of a run.

    Attributes:
        job_name: One of :data:`NIGHTLY_JOBS`.
        run_id: Airflow's run id, or the CLI's.
        store_code: Which store.
        day: The snapshot day.
        stores_in_run: How many stores the whole run has, for the progress line; ``None`` = the
            number of active stores.
    """

    job_name: str
    run_id: str
    store_code: str
    day: SnapshotDay
    stores_in_run: int | None = None

    @property
    def key(self) -> RunKey:
        """The run's key in ``sync_logs``."""
        return RunKey(self.job_name, self.run_id, self.day.date)
