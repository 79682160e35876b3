"""Does Airflow's own history name a store's account: its database, and the log files of its tasks?

The product writes no name there, only store codes. An operator may: in a note, in the parameters of
a run; and an unexpected error may quote a row. Only texts are changed, and only those of the
product's own Dags; Airflow's tables are reached as ``doctor`` reaches them, without Airflow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql
from typing_extensions import LiteralString

from include.tiktok_sync.jobs import ALL_DAGS
from include.tiktok_sync.store_db.database import Connection, connect, database_errors
from include.tiktok_sync.stores.erasure.redaction import Redactor
from include.tiktok_sync.stores.erasure.task_logs import hide_in_files

VARIABLE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
_RESULTS = "AIRFLOW__CELERY__RESULT_BACKEND"
_LOGS = "AIRFLOW__LOGGING__BASE_LOG_FOLDER"
_REMOTE = "AIRFLOW__LOGGING__REMOTE_LOGGING"

_DAG: LiteralString = "dag_id = ANY(%(dags)s)"
_RUN: LiteralString = "SELECT id FROM dag_run WHERE dag_id = ANY(%(dags)s)"
_TASK: LiteralString = "SELECT id FROM task_instance WHERE dag_id = ANY(%(dags)s)"

# Table -> its columns with texts of people or tasks, and which of its rows are ours.
_PLACES: tuple[tuple[LiteralString, tuple[LiteralString, ...], LiteralString], ...] = (
    ("task_instance", ("rendered_map_index", "retry_reason", "next_kwargs"), _DAG),
    ("task_instance_history", ("rendered_map_index", "retry_reason", "next_kwargs"), _DAG),
    ("rendered_task_instance_fields", ("rendered_fields", "k8s_pod_yaml"), _DAG),
    ("xcom", ("value",), _DAG),
    ("task_map", ("keys",), _DAG),
    ("task_state_store", ("value",), _DAG),
    ("dag_run", ("conf",), _DAG),
    ("backfill", ("dag_run_conf",), _DAG),
    ("dag_warning", ("message",), _DAG),
    ("log", ("extra",), f"({_DAG} OR dag_id IS NULL)"),
    ("asset_event", ("extra",), "source_dag_id = ANY(%(dags)s)"),
    ("asset_state_store", ("value",), "last_updated_by_dag_id = ANY(%(dags)s)"),
    ("dag_run_note", ("content",), f"dag_run_id IN ({_RUN})"),
    ("task_instance_note", ("content",), f"ti_id IN ({_TASK})"),
    (
        "callback",
        ("data", "output"),
        "EXISTS (SELECT FROM unnest(%(dags)s::text[]) AS d WHERE strpos(data::text, d) > 0)",
    ),
)

_COLUMNS = """
SELECT table_name || '.' || column_name, data_type FROM information_schema.columns
WHERE table_schema = ANY(current_schemas(false))
"""
_ARCHIVED = r"""
SELECT count(*) FROM pg_class
WHERE relkind = 'r' AND relname LIKE '\_airflow\_deleted\_\_%' AND pg_table_is_visible(oid)
"""
_CASTS: Mapping[str, sql.SQL] = {"json": sql.SQL("json"), "jsonb": sql.SQL("jsonb")}
_TRIES = 3
_AT_ONCE = 1_000


@dataclass(frozen=True)
class History:
    """What was found in it; hidden by now unless it was a dry run.

    Attributes:
        values: Column of Airflow's database -> values that named the account.
        files: Log files that did.
        database: Whether its database was searched.
        folder: Where log files were looked for; ``None`` = nowhere.
        unsearched: What could not be searched, and what to do about it.
    """

    values: Mapping[str, int]
    files: int
    database: bool
    folder: Path | None
    unsearched: tuple[str, ...]


def database_url(env: Mapping[str, str]) -> str | None:
    """Airflow's database as libpq wants its URL; ``None`` = not set, or no Postgres."""
    url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", env.get(VARIABLE, ""))
    return url if url.startswith("postgresql://") else None


def hide_in_history(env: Mapping[str, str], redactor: Redactor, *, dry_run: bool) -> History:
    """Hide what the redactor knows in the history of the Airflow that the environment leads to.

    Doing it again finds nothing more to do.

    Args:
        env: Airflow's own variables: its database, the folder of its logs.
        redactor: What is hidden.
        dry_run: Change nothing, count.

    Raises:
        DatabaseUnavailableError: Its database cannot be reached.
        ConfigurationError: Its URL is none.
    """
    unsearched = []
    values: dict[str, int] = {}
    url = database_url(env)
    if url is None:
        unsearched.append(
            f"Airflow's database: {VARIABLE} leads to no Postgres here. Run this where Airflow's"
            " variables are set, before the store's rows are gone."
        )
    else:
        with (
            connect(url, application_name="tiktok_sync:erase", setting=VARIABLE) as conn,
            database_errors(),
        ):
            values = _hide_in_tables(conn, redactor, dry_run=dry_run)
            if archived := conn.execute(_ARCHIVED).fetchall()[0][0]:
                unsearched.append(
                    f"{archived} tables that airflow db clean archived: airflow db drop-archived"
                    " --yes drops them."
                )
    folder = _log_folder(env)
    files = 0
    if folder is None:
        unsearched.append(f"Log files of Airflow's tasks: neither {_LOGS} nor AIRFLOW_HOME is set.")
    elif not folder.is_dir():
        unsearched.append(f"Log files of Airflow's tasks: there is no folder {folder} here.")
        folder = None
    else:
        found = hide_in_files(folder, redactor, dags=ALL_DAGS, dry_run=dry_run)
        files = found.changed
        if found.unread:
            unsearched.append(
                f"{len(found.unread)} log files or folders are compressed or not accessible, the"
                f" first: {found.unread[0]}. Delete them, or wait until they are rotated away."
            )
    if env.get(_REMOTE, "").strip().lower() in {"true", "t", "1"}:
        unsearched.append(
            "Remote task logs (AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER): their storage's own rule"
            " for old objects deletes them."
        )
    if env.get(_RESULTS):
        unsearched.append(
            "Celery's results: Airflow keeps none of a task's texts there, but a traceback of an"
            " unexpected error may be among them. Celery deletes them after a day."
        )
    return History(values, files, url is not None, folder, tuple(unsearched))


def _log_folder(env: Mapping[str, str]) -> Path | None:
    if folder := env.get(_LOGS):
        return Path(folder)
    home = env.get("AIRFLOW_HOME")
    return Path(home, "logs") if home else None


def _hide_in_tables(conn: Connection, redactor: Redactor, *, dry_run: bool) -> dict[str, int]:
    types: dict[str, str] = dict(conn.execute(_COLUMNS).fetchall())
    values: dict[str, int] = {}
    for table, columns, ours in _PLACES:
        for column in columns:
            name = f"{table}.{column}"
            if name not in types:  # another version of Airflow
                continue
            hidden = _hide_in_column(
                conn, table, column, ours, redactor, types[name], dry_run=dry_run
            )
            if hidden:
                values[name] = hidden
    return values


def _hide_in_column(
    conn: Connection,
    table: LiteralString,
    column: LiteralString,
    ours: LiteralString,
    redactor: Redactor,
    data_type: str,
    *,
    dry_run: bool,
) -> int:
    # By its place, and only if it still holds the same: Airflow goes on working meanwhile.
    update = sql.SQL(
        "UPDATE {table} SET {column} = %s::{type} WHERE ctid = %s::tid AND {column}::text = %s"
    ).format(
        table=sql.Identifier(table),
        column=sql.Identifier(column),
        type=_CASTS.get(data_type, sql.SQL("text")),
    )
    hidden = 0
    for _ in range(_TRIES):
        found = list(_holding(conn, table, column, ours, redactor, data_type))
        if dry_run:
            return len(found)
        for place, text, written in found:
            hidden += conn.execute(update, [written, place, text]).rowcount
        if not found:
            break
    return hidden


def _holding(
    conn: Connection,
    table: LiteralString,
    column: LiteralString,
    ours: LiteralString,
    redactor: Redactor,
    data_type: str,
) -> Iterator[tuple[str, str, str]]:
    """Of the rows that hold something to hide: the place, the text, and what it becomes."""
    query = sql.SQL(
        "SELECT ctid::text, {column}::text FROM {table} WHERE {column} IS NOT NULL AND "
    ).format(column=sql.Identifier(column), table=sql.Identifier(table))
    with conn.transaction(), conn.cursor("erase") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(query + sql.SQL(ours), {"dags": list(ALL_DAGS)})
        for place, text in cursor:
            written = _hide_in_text(redactor, text, is_json=data_type in _CASTS)
            if written is not text:
                yield place, text, written


def _hide_in_text(redactor: Redactor, text: str, *, is_json: bool) -> str:
    """Text that is JSON, as its column's type or its beginning says, stays JSON."""
    hidden = redactor.hide(text)
    if hidden is text or not (is_json or text.startswith(("{", "[", '"'))):
        return hidden
    try:
        value: Any = json.loads(text)
    except ValueError:
        return hidden
    without = redactor.hide_in_json(value)
    return text if without == value else json.dumps(without)
