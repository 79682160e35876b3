"""The Dags that the benchmark compares with do the same work: same ids, tasks and pools."""

from __future__ import annotations

from typing import Any

from airflow.dag_processing.dagbag import DagBag

from benchmarks.measure.bench_stack import FIRST_DAGS
from benchmarks.workload import JOBS


def test_the_first_dags_have_the_tasks_and_pools_that_are_measured(
    dagbag: DagBag, pools: dict[str, int]
) -> None:
    first = DagBag(str(FIRST_DAGS), known_pools={*pools, "default_pool"})

    assert first.import_errors == {}
    assert sorted(first.dags) == sorted(job.dag_id for job in JOBS.values())
    for job in JOBS.values():
        theirs: Any = first.dags[job.dag_id].get_task(job.task_id)
        ours: Any = dagbag.dags[job.dag_id].get_task(job.task_id)
        for mapped in (theirs, ours):
            assert (mapped.is_mapped, pools[mapped.pool]) == (True, job.slots)
        assert theirs.pool == ours.pool
