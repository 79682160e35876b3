"""Who may see the page, and which buttons? Airflow's login and Airflow's own permissions.

An app that a plugin mounts inherits no authentication, so every page asks for it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import HTTPException, status

from include.tiktok_sync.store_run import JOBS

Method = Literal["GET", "POST", "PUT"]


@dataclass(frozen=True)
class Viewer:
    """Who looks at the page.

    Attributes:
        id: Airflow's id of the user.
        may_sync: May trigger runs of every sync.
        may_retry: May clear their tasks.
    """

    id: str
    may_sync: bool
    may_retry: bool


def viewer(user: GetUserDep) -> Viewer:
    """The user of the request, who may read the runs of the syncs.

    Raises:
        HTTPException: 401 without a login, 403 when the user may not read the runs.
    """
    manager = get_auth_manager()
    if not _may(manager, user, "GET", DagAccessEntity.RUN):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            f"You may not see the runs of {', '.join(JOBS)}. Ask an administrator of Airflow.",
        )
    return Viewer(
        id=str(user.get_id()),
        may_sync=_may(manager, user, "POST", DagAccessEntity.RUN),
        may_retry=_may(manager, user, "PUT", DagAccessEntity.TASK_INSTANCE),
    )


def _may(
    manager: BaseAuthManager[BaseUser], user: BaseUser, method: Method, entity: DagAccessEntity
) -> bool:
    return all(
        manager.is_authorized_dag(
            method=method,
            access_entity=entity,
            details=DagDetails(id=job, team_name=DagModel.get_team_name(job)),
            user=user,
        )
        for job in JOBS
    )
