"""The deadline under its old path, which Airflow's database holds for what the version before made.

Airflow stores the dotted paths of a deadline's reference and callback: with each Dag version, and
with each run that waits. Both are found here after an upgrade; the next release deletes this file.
"""

from __future__ import annotations

from tiktok_airflow import deadline
from tiktok_airflow.deadline import deadline_missed

__all__ = ["QueuedUnlessBackfill", "deadline_missed"]


class QueuedUnlessBackfill(deadline.QueuedUnlessBackfill):
    """The same under the old path: Airflow finds a reference by its class's own module."""
