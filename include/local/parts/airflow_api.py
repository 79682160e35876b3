"""What does Airflow's REST API say? A small client of ``/api/v2`` for the local stack."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from include.local.errors import AirflowApiError
from include.local.settings import LocalSettings
from include.tiktok_sync.doctor.airflow_client import AirflowClient

_HEALTHY = "healthy"


class AirflowApi:
    """Airflow's API as user admin.

    Args:
        settings: Where Airflow is, and the password.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self._url = settings.airflow_url
        self._client = AirflowClient(self._url, settings.env["AIRFLOW_ADMIN_PASSWORD"])
        # Asking about a run that is just being created may get one 500 (seen with Airflow 3.3.2).
        again = Retry(
            total=3,
            connect=0,
            read=0,
            status_forcelist=(500,),
            allowed_methods=("GET",),
            backoff_factor=0.5,
            raise_on_status=False,
        )
        self._client.session.mount("http://", HTTPAdapter(max_retries=again))

    def heartbeats(self) -> dict[str, datetime | None]:
        """Last heartbeat of ``scheduler``, ``triggerer`` and ``dag_processor``; None = not healthy.

        Raises:
            AirflowApiError: No answer, or the metadata database is away.
        """
        answer = self._send("GET", "/api/v2/monitor/health", log_in=False)
        if answer["metadatabase"]["status"] != _HEALTHY:
            message = f"Airflow at {self._url} cannot reach its metadata database"
            raise AirflowApiError(message)
        beats: dict[str, datetime | None] = {}
        for part in ("scheduler", "triggerer", "dag_processor"):
            state = answer.get(part) or {}
            moment = state.get(f"latest_{part}_heartbeat")
            beats[part] = moment_of(moment) if moment and state["status"] == _HEALTHY else None
        return beats

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """One Dag, None while it is not known.

        Raises:
            AirflowApiError: No answer, or a refusal.
        """
        found = self._get("/api/v2/dags", {"dag_id_pattern": dag_id, "exclude_stale": "true"})
        return next((dag for dag in found["dags"] if dag["dag_id"] == dag_id), None)

    def import_errors(self) -> list[dict[str, Any]]:
        """The files that could not be parsed: ``filename``, ``timestamp``, ``stack_trace``.

        Raises:
            AirflowApiError: No answer, or a refusal.
        """
        errors: list[dict[str, Any]] = self._get("/api/v2/importErrors")["import_errors"]
        return errors

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run a Dag.

        Raises:
            AirflowApiError: No answer, or a refusal.
        """
        self._send("PATCH", f"/api/v2/dags/{dag_id}", body={"is_paused": False})

    def trigger(self, dag_id: str) -> str:
        """Start a manual run of today.

        Returns:
            Its run id.

        Raises:
            AirflowApiError: No answer, or a refusal.
        """
        run = self._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body={"logical_date": None})
        return str(run["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a run: ``queued``, ``running``, ``success`` or ``failed``.

        Raises:
            AirflowApiError: No answer, or a refusal.
        """
        return str(self._get(_run_path(dag_id, run_id))["state"])

    def end_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed; Airflow ends its tasks.

        Raises:
            AirflowApiError: No answer, or a refusal.
        """
        self._send("PATCH", _run_path(dag_id, run_id), body={"state": "failed"})

    def active_runs(self, dag_id: str) -> list[str]:
        """Ids of the runs that are queued or running, the oldest first.

        Raises:
            AirflowApiError: No answer, or a refusal.
        """
        parameters = {"state": ["queued", "running"], "order_by": "run_after"}
        runs = self._get(f"/api/v2/dags/{dag_id}/dagRuns", parameters)["dag_runs"]
        return [run["dag_run_id"] for run in runs]

    def scheduled_run(self, dag_id: str, logical_date: datetime) -> str | None:
        """Id of the run of one logical date, None if there is none yet.

        Raises:
            AirflowApiError: No answer, or a refusal.
        """
        moment = logical_date.isoformat()
        parameters = {"logical_date_gte": moment, "logical_date_lte": moment}
        runs = self._get(f"/api/v2/dags/{dag_id}/dagRuns", parameters)["dag_runs"]
        return runs[0]["dag_run_id"] if runs else None

    def failed_tasks(self, dag_id: str, run_id: str, most: int) -> tuple[list[dict[str, Any]], int]:
        """The task instances that failed: ``task_id``, ``map_index``, ``try_number``, ``state``.

        Returns:
            The first of them, and how many there are in all.

        Raises:
            AirflowApiError: No answer, or a refusal.
        """
        parameters = {"state": ["failed", "upstream_failed"], "limit": most}
        path = f"{_run_path(dag_id, run_id)}/taskInstances"
        found = self._get(path, parameters)
        return found["task_instances"], int(found["total_entries"])

    def waiting_retries(self, dag_id: str, run_id: str) -> int:
        """How many task instances of a run failed and wait for their next try.

        Raises:
            AirflowApiError: No answer, or a refusal.
        """
        parameters = {"state": ["up_for_retry"], "limit": 1}
        path = f"{_run_path(dag_id, run_id)}/taskInstances"
        return int(self._get(path, parameters)["total_entries"])

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Address of a run's page in the UI."""
        return f"{self._url}/dags/{dag_id}/runs/{quote(run_id, safe='')}"

    def _get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        return self._send("GET", path, parameters=parameters)

    def _send(self, method: str, path: str, **how: Any) -> Any:
        try:
            return self._client.ask(method, path, **how)
        except requests.HTTPError as error:
            detail = error.response.text[:300]
            status, asked = error.response.status_code, error.response.request  # maybe the log-in
            message = (
                f"Airflow answered {asked.method} {asked.path_url} with HTTP {status}: {detail}"
            )
            raise AirflowApiError(message) from error
        except (requests.RequestException, ValueError) as error:
            message = f"Airflow at {self._url} does not answer {method} {path}"
            raise AirflowApiError(message) from error


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def moment_of(text: str) -> datetime:
    """A time of the API, which ends in ``Z`` (Python 3.10 cannot read that)."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
