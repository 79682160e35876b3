"""What this project adds to Airflow itself. Every process of Airflow loads it: keep it cheap."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

import sync_deadline
from tiktok_airflow.deadline import QueuedUnlessBackfill

PREFIX = "/tiktok-sync"

# The UI may be served below a path of its host.
_BASE = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/") + PREFIX


VIEWS = [
    {
        "name": "TikTok",  # longer names are cut off
        "href": f"{_BASE}/",
        "url_route": "tiktok-sync",
        "destination": "nav",
        "nav_top_level": True,
    },
    {
        "name": "Stores",
        "href": f"{_BASE}/run?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
        "url_route": "tiktok-sync-run",
        "destination": "dag_run",
    },
]
"""The status page in the navigation, and on every run a tab with its stores."""


class TikTokSyncPlugin(AirflowPlugin):
    """What a run's deadline counts from, for those who make runs; and the status page."""

    name = "tiktok_sync"
    deadline_references: list[Any] = [  # noqa: RUF012 - as the base class has it
        QueuedUnlessBackfill,
        sync_deadline.QueuedUnlessBackfill,
    ]
    external_views = VIEWS

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # read, never written
        """The app; made when the API server asks, so that no other process imports FastAPI."""
        from tiktok_airflow.status_page.app import build_app  # noqa: PLC0415 - see above

        return [{"app": build_app(), "url_prefix": PREFIX, "name": "TikTok sync"}]
