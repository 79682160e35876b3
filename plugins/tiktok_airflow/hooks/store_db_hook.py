"""The product's database from an Airflow connection."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import psycopg
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.database import PREPARE_AFTER, Connection, unreachable

APPLICATION_NAME_BYTES = 63
"""Postgres cuts longer names (NAMEDATALEN - 1)."""


class StoreDbHook(PostgresHook):
    """Connections to the store database, named and bounded after the task that opens them.

    :param postgres_conn_id: A connection of type ``postgres``.
    :param application_name: Shown in ``pg_stat_activity``.
    :param statement_timeout: No statement outlives this; ``None`` = no bound. Without it a task
        that Airflow kills at its ``execution_timeout`` leaves its statement running.
    :param connect_timeout: How long to wait for the server, whole seconds of at least 2; ``None`` =
        as the connection's extras say.
    """

    conn_name_attr = "postgres_conn_id"
    default_conn_name = "store_db"
    hook_name = "Store database"
    # Else `options` of the connection would replace those of this hook.
    ignored_extra_options = PostgresHook.ignored_extra_options | {"options"}

    def __init__(
        self,
        postgres_conn_id: str = default_conn_name,
        *,
        application_name: str = "tiktok_sync",
        statement_timeout: timedelta | None = None,
        connect_timeout: timedelta | None = None,
    ) -> None:
        name = application_name.encode()[:APPLICATION_NAME_BYTES].decode(errors="ignore")
        self._application_name = name
        options = f"-c application_name={_option(name)}"
        if statement_timeout is not None:
            options += f" -c statement_timeout={int(statement_timeout.total_seconds() * 1000)}"
        super().__init__(postgres_conn_id=postgres_conn_id, options=options)
        self.connect_timeout = connect_timeout

    def get_conn(self) -> Any:
        """A connection with the options of the Airflow connection and, after them, our own.

        Behind a pooler, which refuses options of ours (they would be those of every client), it
        is named all the same; there the pooler bounds the statements (deploy/pgbouncer.sh).
        """
        own, extra = self.options, self.connection.extra_dejson
        if is_pooled(extra):
            self.options = extra.get("options")
            name = {"application_name": self._application_name}
            self.connection.extra = json.dumps({**name, **extra})
        else:
            self.options = f"{extra.get('options', '')} {own}".strip()
        try:
            return super().get_conn()
        finally:
            self.options = own

    def _create_connection(self, conn_args: dict[str, Any]) -> Any:
        if self.connect_timeout is not None:
            conn_args["connect_timeout"] = int(self.connect_timeout.total_seconds())
        return super()._create_connection(conn_args)

    @classmethod
    def for_task(cls, context: Any) -> StoreDbHook:
        """The hook of a running task, from its context."""
        ti, task = context["ti"], context["task"]
        index = f"[{ti.map_index}]" if ti.map_index >= 0 else ""
        return cls(
            application_name=f"airflow:{ti.dag_id}.{ti.task_id}{index}",
            # A task of several stores has the time of all of them; no statement needs that.
            statement_timeout=getattr(task, "store_timeout", task.execution_timeout),
        )

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """One autocommit connection, closed at the end.

        Behind a pooler in transaction mode, the connection needs ``"prepare_threshold": null``
        among its extras (``STORE_DB_POOLER=transaction`` makes the settings loader put it there).

        Raises:
            ConfigurationError: The connection does not exist in Airflow.
            DatabaseUnavailableError: The server cannot be reached or refuses the login.
        """
        try:
            conn = cast("Connection", self.get_conn())
        except AirflowNotFoundException as error:
            message = (
                f"The Airflow connection {self.postgres_conn_id} does not exist. Load"
                " airflow_settings.yaml (python plugins/load_airflow_settings.py) or create it."
            )
            raise ConfigurationError(message) from error
        except psycopg.OperationalError as error:
            raise unreachable(error) from error
        with conn:
            conn.autocommit = True
            if "prepare_threshold" not in self.connection.extra_dejson:
                conn.prepare_threshold = PREPARE_AFTER
            yield conn


def is_pooled(extra: Mapping[str, Any]) -> bool:
    """Whether a connection's extras say that a pooler in transaction mode is behind it."""
    return "prepare_threshold" in extra and extra["prepare_threshold"] is None


def _option(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
