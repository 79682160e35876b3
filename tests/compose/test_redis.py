"""Redis is killed in the middle of a night and comes back, as when its machine is restarted."""

from __future__ import annotations

from datetime import date

import pytest

from include.local.parts.airflow_api import AirflowApi
from tests.compose.conftest import STORES
from tests.compose.native_stack import NativeStack
from tests.compose.night import new_day, play, problems


@pytest.mark.usefixtures("fresh_tokens")
@pytest.mark.timeout(1800)
def test_a_redis_that_is_killed_and_comes_back_costs_nothing(
    stack: NativeStack, api: AirflowApi
) -> None:
    new_day(stack, date(2026, 12, 3))

    def strike() -> int:
        at_work = stack.running["worker-1"].tasks()
        stack.running["redis"].kill()
        stack.start_again("redis")
        return at_work

    night = play(stack, api, strike, stores=STORES)

    assert problems(stack, night, stores=STORES) == []
