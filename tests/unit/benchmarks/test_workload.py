"""The floors that the benchmark measures against."""

from __future__ import annotations

from statistics import fmean

import pytest

from benchmarks.workload import (
    USER,
    VIDEO,
    Job,
    barrier_floor_seconds,
    floor_seconds,
    store_seconds,
)


@pytest.mark.parametrize(
    ("jobs", "stores", "seconds"),
    [
        ((USER,), 300, 30),
        ((VIDEO,), 300, 105),
        ((USER, VIDEO), 300, 105),
        ((USER,), 31, 6),
        ((VIDEO,), 5, 7),
    ],
)
def test_with_steady_answers_a_barrier_costs_nothing(
    jobs: tuple[Job, ...], stores: int, seconds: float
) -> None:
    assert floor_seconds(jobs, stores, 0.0) == pytest.approx(seconds)
    assert barrier_floor_seconds(jobs, stores, 0.0) == pytest.approx(seconds)


def test_with_a_long_tail_a_barrier_waits_for_the_slowest() -> None:
    assert fmean(store_seconds(VIDEO, 2_000, 0.8)) == pytest.approx(7, rel=0.03)
    floor = floor_seconds((USER, VIDEO), 300, 0.8)
    assert 100 < floor < 125
    assert barrier_floor_seconds((USER, VIDEO), 300, 0.8) > 1.4 * floor
