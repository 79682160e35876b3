"""Switch every Dag of the product off, over Airflow's REST API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import requests

from include.tiktok_sync.doctor.airflow_client import AirflowClient
from include.tiktok_sync.jobs import ALL_DAGS, BUSINESS_JOBS


@dataclass(frozen=True)
class DagsPaused:
    """What Airflow said.

    Attributes:
        paused: Dags that are paused now; in a dry run, those that would be.
        problem: Why the others are not, and what to do; ``None`` = all are.
    """

    paused: tuple[str, ...]
    problem: str | None = None


def pause_dags(env: Mapping[str, str], *, dry_run: bool) -> DagsPaused:
    """Pause them; tasks that run go on. An Airflow that is down is a result, not an error.

    Args:
        env: ``AIRFLOW_API_URL`` and ``AIRFLOW_ADMIN_PASSWORD``.
        dry_run: Only ask whether Airflow knows them.
    """
    url = env.get("AIRFLOW_API_URL", "")
    if not url:
        return DagsPaused((), f"AIRFLOW_API_URL is not set. {_by_hand(ALL_DAGS)}")
    paused: list[str] = []
    missing: list[str] = []
    try:
        with AirflowClient(url, env.get("AIRFLOW_ADMIN_PASSWORD", "")) as api:
            for dag in ALL_DAGS:
                (paused if _pause(api, dag, dry_run=dry_run) else missing).append(dag)
    except requests.HTTPError as error:
        said = f"{url} answered with HTTP {error.response.status_code}"
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        said = f"{url} does not answer ({type(error).__name__})"
    else:
        # Where the Accounts API is not used, there are no such Dags.
        missing = [dag for dag in missing if dag not in BUSINESS_JOBS]
        problem = f"Airflow does not know {', '.join(missing)}." if missing else None
        return DagsPaused(tuple(paused), problem)
    left = [dag for dag in ALL_DAGS if dag not in paused]
    return DagsPaused(tuple(paused), f"Airflow: {said}. {_by_hand(left)}")


def _pause(api: AirflowClient, dag: str, *, dry_run: bool) -> bool:
    """Whether Airflow knows the Dag."""
    path = f"/api/v2/dags/{dag}"
    try:
        if dry_run:
            api.ask("GET", path)
        else:
            api.ask("PATCH", path, body={"is_paused": True})
    except requests.HTTPError as error:
        if error.response.status_code == requests.codes.not_found:
            return False
        raise
    return True


def _by_hand(dags: tuple[str, ...] | list[str]) -> str:
    return (
        f"Not paused: {', '.join(dags)}. No sync reads a store that is paused in the"
        " database; run incident --yes again once Airflow answers, or pause the Dags in the UI."
    )
