"""How many connections to the store database are in use?

The earlier system reported this for its pool once a minute. Here each store in flight has a
connection of its own, in one of many processes, so the server is queried.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from psycopg.rows import class_row

from include.tiktok_sync.store_db.database import Connection

_ASK = """
SELECT count(*) AS total, count(*) FILTER (WHERE state = 'idle') AS idle,
    count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting,
    current_setting('max_connections')::int AS most
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
    AND (starts_with(application_name, 'airflow:')
        OR starts_with(application_name, 'tiktok_sync'))
"""

# pg_stat_database is open to every role; pg_stat_activity hides other roles' sessions.
_SERVER = """
SELECT coalesce(sum(numbackends), 0)::bigint AS used,
    coalesce(sum(numbackends) FILTER (WHERE datname = current_database()), 0)::bigint AS ours,
    current_setting('max_connections')::bigint AS most
FROM pg_stat_database
"""


@dataclass(frozen=True)
class Connections:
    """Connections of the database server: all, those of the store database, and the maximum."""

    used: int
    ours: int
    most: int

    @property
    def percent(self) -> float:
        """Share in use."""
        return 100 * self.used / self.most


@dataclass(frozen=True)
class ConnectionUse:
    """The product's connections, by the names it gives them.

    Attributes:
        total: All of them.
        idle: Those whose process waits for TikTok or computes, and sends no query.
        waiting: Those that wait for a lock.
        most: The server's maximum for all its users together.
    """

    total: int
    idle: int
    waiting: int
    most: int

    def line(self) -> str:
        """The earlier system's log line, which its users' tools look for."""
        told = {
            "totalCount": self.total,
            "idleCount": self.idle,
            "waitingCount": self.waiting,
            "msg": "Database pool statistics",
            "maxConnections": self.most,
        }
        return json.dumps(told, separators=(",", ":"))


def connection_use(conn: Connection) -> ConnectionUse:
    """Count them; those of other logins show no name and are left out."""
    with conn.cursor(row_factory=class_row(ConnectionUse)) as cursor:
        return cursor.execute(_ASK).fetchall()[0]


def server_connections(conn: Connection) -> Connections:
    """How many of the server's connections are in use now, by all its clients."""
    with conn.cursor(row_factory=class_row(Connections)) as cursor:
        return cursor.execute(_SERVER).fetchall()[0]
