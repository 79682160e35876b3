"""What do the Dags run, when, and how? ``docs/dags.md``, from the Dags as Airflow parses them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.definitions.mappedoperator import MappedOperator

from include.tiktok_sync.jobs import INSIGHTS_SWITCH

DAGS = Path(__file__).resolve().parents[2] / "dags"

_HEAD = """\
# The Dags

Generated from `dags/` by `make dags-doc`; change the Dags, not this file. The text of each is what
Airflow shows behind *Dag Docs*.
"""


def dags_page() -> str:
    """The page as Markdown.

    Raises:
        ValueError: A Dag cannot be parsed.
    """
    # The Dag of the Accounts API exists only where that is used.
    before = os.environ.get(INSIGHTS_SWITCH)
    os.environ[INSIGHTS_SWITCH] = before or "1"
    try:
        bag = DagBag(str(DAGS))
    finally:
        if before is None:
            del os.environ[INSIGHTS_SWITCH]
    if bag.import_errors:
        message = f"Not parsed: {bag.import_errors}"
        raise ValueError(message)
    return _HEAD + "".join("\n".join(_dag(bag.dags[name])) for name in sorted(bag.dags))


def _dag(dag: DAG) -> Iterator[str]:
    timetable: Any = dag.timetable
    yield f"\n## `{dag.dag_id}`\n"
    yield f"- **Schedule**: `{timetable.expression}` in `SYNC_TIMEZONE`"
    yield f"- **Catches up on past nights**: {'yes' if dag.catchup else 'no'}"
    yield f"- **Runs at once**: {dag.max_active_runs}"
    yield f"- **Tags**: {', '.join(sorted(dag.tags))}\n"
    yield from _params(dag)
    yield from _tasks(dag)
    yield (dag.doc_md or "").strip()
    yield ""


def _params(dag: DAG) -> Iterator[str]:
    yield "| parameter | type | default | what it does |"
    yield "| --- | --- | --- | --- |"
    for name in dag.params:
        param = dag.params.get_param(name)
        kind = param.schema["type"]
        kinds = kind if isinstance(kind, str) else " or ".join(kind)
        yield f"| `{name}` | {kinds} | `{param.value!r}` | {param.description} |"
    yield ""


def _tasks(dag: DAG) -> Iterator[str]:
    yield "| task | for | after | runs when | pool | retries | first wait | time-out |"
    yield "| --- | --- | --- | --- | --- | ---: | --- | --- |"
    for task in dag.topological_sort():  # type: ignore[no-untyped-call] # Airflow's own
        is_mapped = isinstance(task, MappedOperator)
        before = ", ".join(f"`{name}`" for name in sorted(task.upstream_task_ids))
        cells = (
            f"`{task.task_id}`",
            "some stores each" if is_mapped else "the run",
            before or "-",
            f"`{task.trigger_rule.value}`",
            f"`{task.pool}`",
            str(task.retries),
            _time(task.retry_delay),
            _time(task.execution_timeout) + (" a store" if is_mapped else ""),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _time(span: timedelta | None) -> str:
    if span is None:
        return "none"
    seconds = round(span.total_seconds())
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
