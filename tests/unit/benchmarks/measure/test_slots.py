"""Splitting the time between two stores in a slot."""

from __future__ import annotations

from dataclasses import astuple
from datetime import datetime, timezone
from typing import Any

import pytest

from benchmarks.errors import BenchError
from benchmarks.measure.slots import AFTER, BEFORE, ROUND, StoreTimes, gaps, store_times

START = 1_000_000.0


def _store(queued: float) -> StoreTimes:
    """Each step takes a second longer than the one before, the calls 6 s."""
    steps = (0, 1, 3, 6, 10, 15, 21, 28, 36, 45)
    return StoreTimes(*(queued + step for step in steps))


def test_a_gap_is_split_into_all_of_its_parts_in_their_order() -> None:
    first, second = _store(START), _store(START + 45 + 10)

    split = gaps([second, first], slots=1)

    assert list(split) == [*AFTER, ROUND, *BEFORE]
    assert list(split.values()) == [7, 8, 9, 10, 1, 2, 3, 4, 5]
    assert sum(split.values()) == second.called - first.answered


def test_a_store_takes_the_slot_that_became_free_first() -> None:
    early, late = _store(START), _store(START + 30)
    after_early, after_late = _store(early.written + 2), _store(late.written + 4)

    split = gaps([late, early, after_late, after_early], slots=2)

    assert split[ROUND] == pytest.approx(3)


def test_a_run_that_uses_no_slot_twice_has_no_gap() -> None:
    with pytest.raises(BenchError, match="take more stores"):
        gaps([_store(START)], slots=30)


def _line(event: str, at: float) -> dict[str, Any]:
    return {"event": event, "timestamp": datetime.fromtimestamp(at, timezone.utc).isoformat()}


LOG = [
    _line("::group::Pre Execute", 2),
    _line("DAG bundles loaded: dags-folder", 3),
    _line("Worker startup parse complete", 4),
    _line("::endgroup::", 5),
    _line("Store synced", 9),
    _line("::endgroup::", 10),
]
TASK = {"queued": 1.0, "forked": 2.0, "ended": 11.0, "written": 12.0}


def test_a_task_is_put_together_from_its_row_its_log_and_its_calls() -> None:
    calls = [{"at": 7.5, "duration_s": 0.5}, {"at": 6.0, "duration_s": 1.0}]

    times = store_times(TASK, LOG, calls)

    assert astuple(times) == (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)


def test_a_log_that_airflow_words_in_another_way_is_no_gap_of_nothing() -> None:
    with pytest.raises(BenchError, match="Worker startup parse complete"):
        store_times(TASK, [LOG[0], LOG[1], LOG[3], LOG[4]], [{"at": 6.0, "duration_s": 1.0}])
