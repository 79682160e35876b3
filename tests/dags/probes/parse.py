"""Parse a folder of Dags in a process in which nothing outside may be asked; print what came."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.execution_time import context as lookups
from airflow.serialization.serialized_objects import DagSerialization

FORBIDDEN_EVENTS = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
    "sqlite3.connect",
    "subprocess.Popen",
    "os.system",
    "os.fork",
)

attempts: list[str] = []
parsing = False


class OutsideError(Exception):
    """Something outside the process was asked."""


def refuse(what: str) -> NoReturn:
    # Kept as well as raised: a Dag file might swallow the exception.
    attempts.append(what)
    raise OutsideError(what)


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    del arguments
    if parsing and event in FORBIDDEN_EVENTS:
        refuse(event)


def no_connection(conn_id: str) -> NoReturn:
    refuse(f"connection {conn_id}")


def no_variable(key: str, *arguments: Any, **options: Any) -> NoReturn:
    del arguments, options
    refuse(f"variable {key}")


folder = sys.argv[1]
lookups._get_connection = no_connection
lookups._get_variable = no_variable
sys.addaudithook(hook)
before = set(sys.modules)
parsing = True
bag = DagBag(folder)
parsing = False
print(  # noqa: T201 - a probe's answer
    json.dumps(
        {
            "errors": bag.import_errors,
            "attempts": attempts,
            "before": sorted(before),
            "imported": sorted(set(sys.modules) - before),
            "dags": {name: DagSerialization.to_dict(dag) for name, dag in bag.dags.items()},
        }
    )
)
