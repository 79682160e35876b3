"""In any world and under any faults: no wrong figure, none replaced by nothing, all put right?

A small TikTok is made up, faults strike some nights, nights are missed; the figures in the database
are compared with everything that TikTok has said. `WORLDS=200` tries more of them.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from include.tiktok_sync.business.models import AUDIENCE_LISTS, POST_LISTS
from include.tiktok_sync.errors import RetriableError, SyncError
from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import today
from tests.database.sync.insights.worlds import (
    DAY_COLUMNS,
    INSIGHTS_REFUSED,
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

LEAVES_OUT = {"business_figure_null", "business_figure_absent", "business_list_null"}

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
        st.booleans(),  # whether the account's insights are refused
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
def test_no_figure_is_wrong_or_lost_and_corrections_arrive(
    database: tuple[str, Connection],
    made: dict[str, Any],
    story: list[tuple[int, list[dict[str, Any]], bool]],
) -> None:
    url, conn = database
    conn.execute("TRUNCATE stores, sync_logs, rate_limits, rate_limit_grants, benchmarks CASCADE")
    last = today().date
    day = last - timedelta(days=8 + sum(gap for gap, _, _ in story))
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
        for number, (gap, broken, refused) in enumerate(story):
            day += timedelta(days=gap)
            rules = [*(INSIGHTS_REFUSED if refused else ()), *broken]
            server.admin("POST", "/faults", json={"seed": number, "rules": rules})
            before = _figures(world)
            _night(world, day)
            _remember(world, said, day)
            after = _figures(world)
            assert not before.keys() - after.keys(), "a figure was replaced by nothing"
            wrong = {key: value for key, value in after.items() if value not in said[key]}
            assert wrong == {}
        server.admin("DELETE", "/faults")
        for day in (last - timedelta(days=1), last):
            _night(world, day)
        faults = {rule["fault"] for _, broken, _ in story for rule in broken}
        for code in server.sandbox.codes():
            assert _lost(world, code) == []
            # A figure that the last answer before the day was final left out stays as it was.
            if not faults & LEAVES_OUT:
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


Figures = dict[tuple[str, str, str], Any]


def _figures(world: InsightsBench) -> Figures:
    """Every figure that the database has: store, what it is of, column -> value.

    A post's lists count in its newest row: that is where they move to.
    """
    found: Figures = {}
    for line in world.bench.rows("SELECT * FROM account_daily"):
        _add(found, (line["store_code"], str(line["metric_date"])), line, DAY_COLUMNS)
    for line in world.bench.rows("SELECT * FROM account_audience"):
        of = (line["store_code"], f"audience {line['snapshot_date']}")
        _add(found, of, line, AUDIENCE_LISTS)
    for line in world.bench.rows("SELECT * FROM video_insights_daily"):
        of = (line["store_code"], f"{line['video_id']} {line['snapshot_date']}")
        _add(found, of, line, POST_FIGURES)
    for line in world.bench.rows(
        "SELECT DISTINCT ON (video_id) * FROM video_insights_daily"
        " ORDER BY video_id, snapshot_date DESC"
    ):
        _add(found, (line["store_code"], f"{line['video_id']} newest"), line, POST_LISTS)
    return found


def _add(
    found: Figures, of: tuple[str, str], line: Mapping[str, Any], names: Iterable[str]
) -> None:
    for name in names:
        value = _comparable(line[name])
        if value is not None:
            found[(*of, name)] = value


def _comparable(value: Any) -> Any:
    """A number as it is, a list as text; an empty list is an absence."""
    if isinstance(value, list):
        return json.dumps(value, sort_keys=True) if value else None
    return value


def _remember(world: InsightsBench, said: dict[tuple[str, str, str], set[Any]], day: date) -> None:
    def add(of: str, told: Mapping[str, Any], names: Iterable[str]) -> None:
        for name in names:
            said[code, of, name].add(_comparable(told.get(name)))

    for code in world.bench.sandbox.sandbox.codes():
        truth = world.truth(code)
        add(f"audience {day}", truth["audience"], AUDIENCE_LISTS)
        for metric_day, told in truth["days"].items():
            add(metric_day, told, DAY_COLUMNS)
            said[code, metric_day, "followers_count"].add(told.get("total_followers"))
        for post in truth["posts"]:
            add(f"{post['item_id']} {day}", post, POST_FIGURES)
            add(f"{post['item_id']} newest", post, POST_LISTS)


def _lost(world: InsightsBench, code: str) -> list[str]:
    """Figures of days that TikTok has and the database has not."""
    kept = world.days(code)
    return [
        f"{day} {name}"
        for day, told in world.truth(code)["days"].items()
        for name in DAY_COLUMNS
        if told.get(name) is not None and (day not in kept or kept[day][name] is None)
    ]


def _judge_final_days(world: InsightsBench, code: str) -> None:
    kept, final = world.days(code), world.truth(code)["final_days"]
    for day, line in kept.items():
        if line["is_final"] and day in final:
            assert line["video_views"] == final[day]["video_views"], (code, day)
            assert line["likes"] == final[day]["likes"], (code, day)
