"""Who may see the page, and which buttons? Airflow's login and Airflow's own permissions.

An app that a plugin mounts inherits no authentication, so every page asks for it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, status

from include.tiktok_sync.jobs import nightly_jobs
from tiktok_airflow.hooks.store_db_hook import StoreDbHook

Method = Literal["GET", "POST", "PUT"]


@dataclass(frozen=True)
class Viewer:
    """Who looks at the page.

    Attributes:
        id: Airflow's id of the user.
        name: Its name, for the record of who did what.
        may_sync: May trigger runs of every sync.
        may_retry: May clear their tasks.
        may_manage: May put stores in and make connect links, see :func:`_may_manage`.
    """

    id: str
    name: str
    may_sync: bool
    may_retry: bool
    may_manage: bool

    @property
    def actor(self) -> str:
        """Who did it, in ``store_audit``: a user of Airflow, not of a machine."""
        return f"airflow:{self.name}"


def viewer(user: GetUserDep) -> Viewer:
    """The user of the request, who may read the runs of the syncs.

    Raises:
        HTTPException: 401 without a login, 403 when the user may not read the runs.
    """
    airflow = get_auth_manager()
    if not _may(airflow, user, "GET", DagAccessEntity.RUN):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            f"You may not see the runs of {', '.join(nightly_jobs())}."
            " Ask an administrator of Airflow.",
        )
    return Viewer(
        id=str(user.get_id()),
        name=str(user.get_name()),
        may_sync=_may(airflow, user, "POST", DagAccessEntity.RUN),
        may_retry=_may(airflow, user, "PUT", DagAccessEntity.TASK_INSTANCE),
        may_manage=_may_manage(airflow, user),
    )


ViewerDep = Annotated[Viewer, Depends(viewer)]


def manager(user: ViewerDep) -> Viewer:
    """The user of the request, who may put stores in and connect them.

    Raises:
        HTTPException: 403 when the user may not.
    """
    if not user.may_manage:
        raise HTTPException(
            status.HTTP_403_FORBIDDEN,
            "You may not edit the connection store_db in Airflow, and so neither put stores in nor"
            " make connect links. Ask somebody who may, or an administrator.",
        )
    return user


ManagerDep = Annotated[Viewer, Depends(manager)]


def _may_manage(airflow: BaseAuthManager[BaseUser], user: BaseUser) -> bool:
    """Whether Airflow lets the user edit the connection to the store database.

    A link brings an account's access into the product, as a connection brings a login into Airflow,
    and anyone who may edit that connection decides what is synced anyway. Triggering a run, which
    more people may, changes nothing of who is synced.
    """
    conn_id = StoreDbHook.default_conn_name
    details = ConnectionDetails(conn_id=conn_id, team_name=Connection.get_team_name(conn_id))
    return airflow.is_authorized_connection(method="PUT", details=details, user=user)


def _may(
    airflow: BaseAuthManager[BaseUser], user: BaseUser, method: Method, entity: DagAccessEntity
) -> bool:
    return all(
        airflow.is_authorized_dag(
            method=method,
            access_entity=entity,
            details=DagDetails(id=job, team_name=DagModel.get_team_name(job)),
            user=user,
        )
        for job in nightly_jobs()
    )
