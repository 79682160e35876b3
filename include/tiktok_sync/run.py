"""Which run, which store in it, and which day do its figures stand for?"""

from __future__ import annotations

from dataclasses import dataclass

from include.tiktok_sync.snapshot import SnapshotDay
from include.tiktok_sync.sync_log import RunKey


@dataclass(frozen=True)
class StoreRun:
    """One store's part of a run.

    Attributes:
        job_name: A key of :data:`include.tiktok_sync.store_run.JOBS`.
        run_id: Airflow's run id, or the CLI's.
        store_code: Which store.
        day: The snapshot day.
        stores_in_run: How many stores the whole run has, for the progress line; ``None`` = as many
            as are active.
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
