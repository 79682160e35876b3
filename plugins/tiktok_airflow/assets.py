"""The assets that the syncs announce: which names do other Dags wait for?"""

from __future__ import annotations

import os
import re

from airflow.sdk import Asset

from include.tiktok_sync.errors import ConfigurationError

DEFAULT_ASSET_URI = "postgres://store-db:5432/tiktok_sync"
"""The store database as docker-compose.yaml names it."""

FORMER_TABLES = ("user_daily_stats", "videos", "video_daily_stats")
"""Those that had assets in version 0.3."""

_DATABASE = re.compile(
    r"postgres(?:ql)?://(?P<host>\[[0-9a-f:]+\]|[^/?#@:\s]+)(?P<port>:\d+)?/(?P<name>[^/?#\s]+)/?",
    re.IGNORECASE,
)


def database_uri() -> str:
    """Where the store database is, as asset URIs and lineage tools say it: no user, no password.

    It comes from ``STORE_DB_ASSET_URI`` and not from the connection ``store_db``: a Dag file that
    is parsed may not look up a connection, and a connection leads to a pooler, differs between
    processes, and changes when the database moves, while an asset's name must not.

    Returns:
        ``postgres://host:port/database``.

    Raises:
        ConfigurationError: ``STORE_DB_ASSET_URI`` is of another form. The value is not shown: it
            may hold a password.
    """
    found = _DATABASE.fullmatch(os.environ.get("STORE_DB_ASSET_URI") or DEFAULT_ASSET_URI)
    if not found:
        message = (
            "STORE_DB_ASSET_URI must be postgres://host:port/database, without user, password or"
            " parameters; it only names the assets."
        )
        raise ConfigurationError(message)
    return f"postgres://{found['host']}{found['port'] or ':5432'}/{found['name']}"


def table(name: str) -> Asset:
    """The asset of a table of the store database, named by its URI as Airflow does by default."""
    return Asset(uri=f"{database_uri()}/public/{name}")


def former_table(name: str) -> Asset:
    """Its asset under the URI of versions up to 0.3; announced as well until 0.5.0."""
    return Asset(name, uri=f"tiktok-sync://store_db/public/{name}")


def outlets(*tables: str) -> list[Asset]:
    """What a task announces that has written these tables."""
    former = [name for name in tables if name in FORMER_TABLES]
    return [*map(table, tables), *map(former_table, former)]
