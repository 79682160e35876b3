"""In any world and under any faults: no wrong number, none replaced by nothing, all put right?

A small TikTok is made up, faults strike some nights, nights are missed; the figures in the database
are compared with everything that TikTok has said. `WORLDS=200` tries more of them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from include.tiktok_sync.errors import RetriableError, SyncError
from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import today
from tests.database.sync.insights.worlds import (
    DAY_COLUMNS,
    NO_LIMITS,
    POST_FIGURES,
    InsightsBench,
    differences,
    insights_bench,
    new_database,
)
from tests.sandbox_server import running_sandbox

STORES = 2
TRIES = 3

TROUBLE = ("gateway_timeout_html", "business_trouble")
ODD = (
    *("business_figure_null", "business_figure_absent", "business_figure_text"),
    *("business_list_null", "business_unreadable_row", "business_item_not_object"),
    *("business_short_page", "business_empty_page", "business_code_text"),
    *("business_audience_in_metrics", "business_scope_refused"),
)

worlds = st.fixed_dictionaries(
    {
        "seed": st.integers(1, 60),
        "absent_as": st.sampled_from(["null", "omit", "empty", "mixed"]),
        "daily_followers": st.sampled_from(["gain", "total"]),
        "missing_scope": st.sampled_from(["refuse", "omit"]),
    }
)
nights = st.lists(
    st.tuples(
        st.integers(1, 5),  # days since the night before
        st.lists(
            st.fixed_dictionaries(
                {
                    "fault": st.sampled_from((*TROUBLE, *ODD)),
                    "rate": st.sampled_from([0.2, 1.0]),
                    "after": st.integers(0, 2),
                }
            ),
            max_size=2,
        ),
    ),
    min_size=2,
    max_size=4,
)


@pytest.fixture(scope="module")
def fast() -> Iterator[None]:
    """No pause is waited out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
        yield


@pytest.fixture(scope="module")
def database(postgres: Any, _template: str) -> Iterator[tuple[str, Connection]]:
    """One database for all worlds; each begins with empty tables."""
    url, conn = new_database(postgres, _template)
    with conn:
        yield url, conn


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("fast")
@settings(
    max_examples=int(os.environ.get("WORLDS", "6")),
    derandomize="WORLDS" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate],
)
@given(made=worlds, story=nights)
def test_no_number_is_wrong_or_lost_and_corrections_arrive(
    database: tuple[str, Connection],
    made: dict[str, Any],
    story: list[tuple[int, list[dict[str, Any]]]],
) -> None:
    url, conn = database
    conn.execute("TRUNCATE stores, sync_logs, rate_limits, rate_limit_grants, benchmarks CASCADE")
    last = today().date
    day = last - timedelta(days=8 + sum(gap for gap, _ in story))
    business = {name: value for name, value in made.items() if name != "seed"}
    with (
        running_sandbox(
            stores=STORES,
            rate_limit_per_minute=0,
            date=day,
            seed=made["seed"],
            business={**NO_LIMITS, **business},
        ) as server,
        insights_bench(url, conn, server) as world,
    ):
        world.bench.import_stores()
        said: dict[tuple[str, str, str], set[Any]] = defaultdict(set)
        for number, (gap, broken) in enumerate(story):
            day += timedelta(days=gap)
            server.admin("POST", "/faults", json={"seed": number, "rules": broken})
            before = _numbers(world)
            _night(world, day)
            _remember(world, said, day)
            after = _numbers(world)
            assert not before.keys() - after.keys(), "a number was replaced by nothing"
            wrong = {key: value for key, value in after.items() if value not in said[key]}
            assert wrong == {}
        server.admin("DELETE", "/faults")
        for day in (last - timedelta(days=1), last):
            _night(world, day)
        for code in server.sandbox.codes():
            if made["absent_as"] == "null":
                assert differences(world, code, last, is_first=False) == []
            _judge_final_days(world, code)


def _night(world: InsightsBench, day: date) -> None:
    """Every store, tried again as the Dag does it."""
    snapshot = world.night(day)
    for code in world.bench.sandbox.sandbox.codes():
        for _ in range(TRIES):
            try:
                world.sync(code, snapshot)
            except RetriableError:
                continue
            except SyncError:
                pass
            break


def _numbers(world: InsightsBench) -> dict[tuple[str, str, str], Any]:
    """Every number that the database has: store, day or post and day, column -> value."""
    found = {}
    for line in world.bench.rows("SELECT * FROM account_daily"):
        for name in DAY_COLUMNS[:-1]:
            if line[name] is not None:
                found[line["store_code"], str(line["metric_date"]), name] = line[name]
    for line in world.bench.rows("SELECT * FROM video_insights_daily"):
        for name in POST_FIGURES:
            if line[name] is not None:
                key = f"{line['video_id']} {line['snapshot_date']}"
                found[line["store_code"], key, name] = line[name]
    return found


def _remember(world: InsightsBench, said: dict[tuple[str, str, str], set[Any]], day: date) -> None:
    for code in world.bench.sandbox.sandbox.codes():
        truth = world.truth(code)
        for metric_day, told in truth["days"].items():
            for name in DAY_COLUMNS[:-1]:
                said[code, metric_day, name] |= {told.get(name), told.get("total_followers")}
        for post in truth["posts"]:
            for name in POST_FIGURES:
                said[code, f"{post['item_id']} {day}", name].add(post.get(name))


def _judge_final_days(world: InsightsBench, code: str) -> None:
    kept, final = world.days(code), world.truth(code)["final_days"]
    for day, line in kept.items():
        if line["is_final"] and day in final:
            assert line["video_views"] == final[day]["video_views"], (code, day)
            assert line["likes"] == final[day]["likes"], (code, day)
