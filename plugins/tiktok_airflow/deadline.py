"""When is a run late? ``SLA_MINUTES`` after it was queued, unless it is a backfill."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime, timedelta
from typing import Any, ClassVar

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert

from include.tiktok_sync.errors import ConfigurationError

DEFAULT_SLA_MINUTES = "15"


class QueuedUnlessBackfill(BaseDeadlineReference):
    """The time at which a run was queued; a backfilled run has no deadline.

    Airflow 3.3.2's own ``DAGRUN_QUEUED_AT`` alarms on backfills, which queue all their days at
    once, and makes clearing an active run an error 500 (Airflow issue 70368).
    """

    required_kwargs: ClassVar[set[str]] = {"dag_id", "run_id"}

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        # Only the scheduler and the API server come here; a Dag file's parse does not pay for it.
        from airflow.models.dagrun import DagRun  # noqa: PLC0415 - see above
        from sqlalchemy import select  # noqa: PLC0415 - see above

        row = session.execute(
            select(DagRun.run_type, DagRun.queued_at).where(
                DagRun.dag_id == dag_id, DagRun.run_id == run_id
            )
        ).one_or_none()
        if row is None or row.run_type == "backfill":
            return None
        queued_at: datetime | None = row.queued_at
        return queued_at


def sla() -> timedelta:
    """How long a nightly run may take.

    Raises:
        ConfigurationError: ``SLA_MINUTES`` is not a number above 0.
    """
    text = os.environ.get("SLA_MINUTES") or DEFAULT_SLA_MINUTES
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0
    if not 0 < minutes < float("inf"):
        message = f"SLA_MINUTES must be a number of minutes above 0, not {text!r}."
        raise ConfigurationError(message)
    return timedelta(minutes=minutes)


def deadline() -> DeadlineAlert:
    """The alert of a nightly Dag; its callback runs in the triggerer.

    Not in the executor, as a ``SyncCallback`` would: there Airflow 3.3.2 refuses it every
    connection that is not in the environment (403, its token is for a workload).
    """
    return DeadlineAlert(
        reference=QueuedUnlessBackfill(),
        interval=sla(),
        callback=AsyncCallback(deadline_missed, kwargs={"minutes": sla() / timedelta(minutes=1)}),
        name="SLA",
    )


async def deadline_missed(context: Any, minutes: float) -> None:
    """Raise the alert outside the triggerer's own loop: it asks the database and the channels."""
    await asyncio.to_thread(_tell, context, minutes)


def _tell(context: Any, minutes: float) -> None:
    # Airflow imports this module at every parse of a Dag, so the rest comes when it is needed.
    from tiktok_airflow import alerting  # noqa: PLC0415 - see above

    alerting.deadline_missed(context, minutes)
