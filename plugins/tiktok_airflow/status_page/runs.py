"""What Airflow knows of the runs, and what the buttons ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request

from include.tiktok_sync.jobs import INSIGHTS_JOB, SYNC_JOBS, nightly_jobs, sync_jobs
from tiktok_airflow.status_page.airflow_rest import AirflowRest, in_path
from tiktok_airflow.tasks.context import LIST_TASK

ACTIVE_STATES = ("queued", "running")
_MOST = 20


@dataclass(frozen=True)
class ActiveRun:
    """A run that is queued or running.

    Attributes:
        job_name: The Dag id.
        run_id: Airflow's.
        state: ``queued`` or ``running``.
        since: When it got that state; ``None`` = just now.
        stores: Those it was asked for; empty = all active ones.
        dry_run: It records nothing, so it has no progress to show.
    """

    job_name: str
    run_id: str
    state: str
    since: datetime | None
    stores: Sequence[str] = ()
    dry_run: bool = False


def rest(request: Request) -> AirflowRest:
    """Airflow's API in the name of the request's user."""
    return AirflowRest(request)


RestDep = Annotated[AirflowRest, Depends(rest)]


async def active_runs(airflow: RestDep) -> list[ActiveRun]:
    """The syncs that are queued or running, the oldest first.

    Raises:
        AirflowRefusedError: Airflow does not say.
    """
    found = await airflow.get(
        "/dags/~/dagRuns",
        state=list(ACTIVE_STATES),
        dag_id_pattern="|".join(nightly_jobs()),
        order_by="run_after",
        limit=_MOST,
    )
    return [_active(run) for run in found["dag_runs"] if run["dag_id"] in nightly_jobs()]


ActiveRunsDep = Annotated[list[ActiveRun], Depends(active_runs)]


async def paused_dags(airflow: RestDep) -> list[str]:
    """Of the syncs those that are switched off in Airflow: what is queued for them waits.

    Raises:
        AirflowRefusedError: Airflow does not say.
    """
    return await _paused_of(airflow, sync_jobs())


async def _paused_of(airflow: AirflowRest, jobs: Sequence[str]) -> list[str]:
    found = await airflow.get("/dags", dag_id_pattern="|".join(jobs), paused=True, limit=_MOST)
    paused = {dag["dag_id"] for dag in found["dags"]}
    return [job for job in jobs if job in paused]


PausedDagsDep = Annotated[list[str], Depends(paused_dags)]


async def sync_store(airflow: AirflowRest, store_code: str, *, insights: bool) -> str:
    """Trigger the syncs for one store.

    Args:
        airflow: In whose name.
        store_code: The store.
        insights: Also the sync of the Accounts API.

    Returns:
        What was done, for the person.

    Raises:
        AirflowRefusedError: Airflow refused one of them.
    """
    jobs = (*SYNC_JOBS, INSIGHTS_JOB) if insights else SYNC_JOBS
    for job in jobs:
        await airflow.post(
            f"/dags/{in_path(job)}/dagRuns",
            {"logical_date": None, "conf": {"stores": [store_code]}},
        )
    queued = f"{'Three' if insights else 'Two'} runs for {store_code} are queued"
    if paused := await _paused_of(airflow, jobs):
        return (
            f"{queued}, but {' and '.join(paused)}"
            f" {'are' if len(paused) > 1 else 'is'} switched off in Airflow, and what is queued"
            " there does not start. Switch it on there and they run; do not press again."
        )
    if insights:
        return f"{queued}: its profile, its videos and its insights."
    return f"{queued}: its profile and its videos."


async def retry_failed(airflow: AirflowRest, job_name: str, run_id: str) -> str:
    """Clear the failed tasks of a run, then what follows them, so that the summary is made again.

    Clearing keeps the run and its day, and leaves the stores alone whose task did not fail.

    Returns:
        What was done, for the person.

    Raises:
        AirflowRefusedError: Airflow refused.
    """
    path = f"/dags/{in_path(job_name)}"
    cleared = await _clear(airflow, path, run_id, only_failed=True)
    if not cleared:
        return (
            "No task of this run is failed. A skipped store needs its manager to connect it again."
        )
    tasks = (await airflow.get(f"{path}/tasks"))["tasks"]
    after = [
        task["task_id"] for task in tasks if not task["is_mapped"] and task["task_id"] != LIST_TASK
    ]
    await _clear(airflow, path, run_id, only_failed=False, task_ids=after)
    return f"{cleared} failed task{'s' if cleared > 1 else ''} cleared; Airflow does them again."


async def _clear(airflow: AirflowRest, path: str, run_id: str, **which: Any) -> int:
    done = await airflow.post(
        f"{path}/clearTaskInstances", {"dry_run": False, "dag_run_id": run_id, **which}
    )
    return int(done["total_entries"])


def _active(run: dict[str, Any]) -> ActiveRun:
    conf = run["conf"] or {}
    moment = run["start_date"] or run["queued_at"]
    return ActiveRun(
        job_name=run["dag_id"],
        run_id=run["dag_run_id"],
        state=run["state"],
        # Python 3.10 cannot read the Z.
        since=datetime.fromisoformat(moment.replace("Z", "+00:00")) if moment else None,
        stores=tuple(conf.get("stores") or ()),
        dry_run=bool(conf.get("dry_run")),
    )
