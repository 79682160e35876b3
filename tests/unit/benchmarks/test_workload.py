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
    limited_floor_seconds,
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


@pytest.mark.parametrize(
    ("jobs", "stores", "lanes", "seconds"),
    [
        ((USER,), 300, 1, 30),
        ((VIDEO,), 300, 1, 180 + 300 / 20),
        ((USER, VIDEO), 300, 2, 60 + 450 / 20),
        ((VIDEO,), 1_000, 2, 300 + 500 / 20),
        ((VIDEO,), 600, 1, 360 + 600 / 20),
    ],
)
def test_a_limit_lets_a_minutes_calls_go_at_once_and_as_many_a_minute_later(
    jobs: tuple[Job, ...], stores: int, lanes: int, seconds: float
) -> None:
    assert limited_floor_seconds(jobs, stores, 600, lanes) == pytest.approx(seconds)


def test_with_a_long_tail_a_barrier_waits_for_the_slowest() -> None:
    assert fmean(store_seconds(VIDEO, 2_000, 0.8)) == pytest.approx(7, rel=0.03)
    floor = floor_seconds((USER, VIDEO), 300, 0.8)
    assert 100 < floor < 125
    assert barrier_floor_seconds((USER, VIDEO), 300, 0.8) > 1.4 * floor
