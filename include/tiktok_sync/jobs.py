"""Which jobs are there, and which run, store and day is one piece of work for?"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from include.tiktok_sync.days import SnapshotDay

Api = Literal["display", "business"]
"""TikTok's two APIs, each with an app, grants and limits of its own."""

APIS: tuple[Api, ...] = get_args(Api)

USER_JOB = "sync_user_daily"
VIDEO_JOB = "sync_video_daily"
REFRESH_JOB = "refresh_tokens"
INSIGHTS_JOB = "sync_insights_daily"
REFRESH_BUSINESS_JOB = "refresh_business_tokens"

SYNC_JOBS = (USER_JOB, VIDEO_JOB)
"""The Dags that write figures of the Display API."""

NIGHTLY_JOBS = (REFRESH_JOB, *SYNC_JOBS)
"""The Dags of every night, in the order in which they start."""

BUSINESS_JOBS = (REFRESH_BUSINESS_JOB, INSIGHTS_JOB)
"""Those of the Accounts API, which come after them."""

REPORT_JOB = "report_weekly"

OTHER_DAGS = ("apply_retention", REPORT_JOB)
"""The Dags that no night needs."""

ALL_DAGS = (*NIGHTLY_JOBS, *BUSINESS_JOBS, *OTHER_DAGS)
"""Every Dag of the product: whose history in Airflow may speak of a store."""

INSIGHTS_SWITCH = "TIKTOK_BUSINESS_APP_ID"
"""Unset, there is no Dag of the Accounts API, and nothing looks for one."""


def has_insights(env: Mapping[str, str] = os.environ) -> bool:
    """Whether the Accounts API is used; a secret that is missing then fails its run."""
    return bool(env.get(INSIGHTS_SWITCH, "").strip())


def nightly_jobs(env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The Dags of a night of this installation, in the order in which they start."""
    return (*NIGHTLY_JOBS, *BUSINESS_JOBS) if has_insights(env) else NIGHTLY_JOBS


def sync_jobs(env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Those of them that write figures."""
    return (*SYNC_JOBS, INSIGHTS_JOB) if has_insights(env) else SYNC_JOBS


def api_of(job_name: str) -> Api:
    """Which API a job calls, and so with whose grants and as which app."""
    return "business" if job_name in BUSINESS_JOBS else "display"


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
        job_name: One of :func:`nightly_jobs`.
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


def is_turn(run: StoreRun, nights: int) -> bool:
    """Whether it is the store's night of several: each store has one of its own."""
    return (run.day.date.toordinal() + zlib.crc32(run.store_code.encode())) % nights == 0
