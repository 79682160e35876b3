"""Does a number ever give way to an absence, and are lists kept where they must be?"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from include.tiktok_sync.business.models import (
    BENCHMARK_FIGURES,
    DAY_FIGURES,
    AccountDay,
    AccountInsights,
    Benchmark,
    VideoInsights,
)
from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.jobs import INSIGHTS_JOB, StoreRun
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.insights.repository import InsightsRepository, PostsProgress
from include.tiktok_sync.sync.repository import StoreRepository
from tests.database.bench import row, rows

UTC = timezone.utc
DAY = date(2026, 3, 10)
AT_FIVE = datetime(2026, 3, 11, 5, tzinfo=UTC)


def later(days: float) -> datetime:
    return AT_FIVE + timedelta(days=days)


def run_on(day: date, run_id: str = "run") -> StoreRun:
    return StoreRun(INSIGHTS_JOB, run_id, "S1", SnapshotDay(day, ZoneInfo("UTC")))


def day_of(figures: dict[str, int], activity: list[Any] | None = None) -> AccountDay:
    return AccountDay(DAY, {**dict.fromkeys(DAY_FIGURES), **figures}, activity)


def post(created: datetime | None, lists: dict[str, list[Any]], **figures: Any) -> VideoInsights:
    return VideoInsights(
        video_id="v1",
        create_time=created,
        media_type="VIDEO",
        is_ad=False,
        caption="text",
        share_url="link",
        duration=9.5,
        figures=figures,
        lists=lists,
    )


@pytest.fixture
def insights(conn: Connection) -> InsightsRepository:
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")
    found = InsightsRepository(StoreRepository(conn))
    found.ensure_partitions(date(2026, 3, 1))
    return found


def test_a_figure_takes_a_correction_and_no_absence_until_the_day_is_final(
    insights: InsightsRepository,
) -> None:
    hours = [{"hour": "0", "count": 3}]
    steps = [
        (AT_FIVE, day_of({"video_views": 10, "comments": -2, "likes": 4}, hours)),
        (later(1), day_of({"video_views": 12, "shares": 0})),
        (later(0.5), day_of({"video_views": 11})),  # an older answer that arrives late
        (later(6), day_of({"video_views": 15})),  # the day is 7 days old
        (later(7), day_of({"video_views": 99, "likes": 99})),
    ]
    written = [insights.save_days("S1", [day], at) for at, day in steps]

    assert written == [1, 1, 0, 1, 0]
    found = row(insights.conn, "SELECT * FROM account_daily")
    assert found["is_final"]
    assert (found["video_views"], found["comments"], found["likes"]) == (15, -2, 4)
    assert (found["shares"], found["profile_views"]) == (0, None)
    assert found["audience_activity"] == hours


def test_a_final_day_takes_the_figures_that_it_never_had_and_changes_none(
    insights: InsightsRepository,
) -> None:
    hours = [{"hour": "0", "count": 3}]
    steps = [
        (later(8), day_of({"followers_count": 5})),
        (later(9), day_of({"followers_count": 6, "video_views": 10}, hours)),
        (later(10), day_of({"followers_count": 7, "video_views": 11})),
        (later(8.5), day_of({"likes": 1})),  # an older answer that arrives late
    ]
    written = [insights.save_days("S1", [day], at) for at, day in steps]

    assert written == [1, 1, 0, 0]
    found = row(insights.conn, "SELECT * FROM account_daily")
    assert (found["followers_count"], found["video_views"], found["likes"]) == (5, 10, None)
    assert found["audience_activity"] == hours


def test_the_audience_of_a_day_is_merged_field_by_field(insights: InsightsRepository) -> None:
    ages, cities = [{"age": "18-24", "percentage": 0.5}], [{"city_name": "x", "percentage": 7.5}]
    first = AccountInsights(AT_FIVE, followers_count=5, audience={"audience_ages": ages})
    second = AccountInsights(
        later(0.1), is_business_account=False, audience={"audience_cities": cities}
    )
    for found in (first, second):
        insights.save_audience(run_on(DAY), found)

    kept = row(insights.conn, "SELECT * FROM account_audience")
    assert (kept["followers_count"], kept["is_business_account"]) == (5, False)
    assert (kept["audience_ages"], kept["audience_cities"]) == (ages, cities)
    assert kept["audience_genders"] is None


def test_lists_go_with_the_newest_row_and_stay_at_seven_and_twenty_eight_days(
    insights: InsightsRepository,
) -> None:
    created = datetime(2026, 3, 10, 4, tzinfo=UTC)
    for age in range(1, 31):
        lists = {"impression_sources": [{"impression_source": "For You", "percentage": age}]}
        if age > 20:
            lists = {"audience_genders": [{"gender": "Other", "percentage": age}]}
        at = datetime(2026, 3, 10, 5, tzinfo=UTC) + timedelta(days=age)
        insights.save_posts(run_on(at.date()), [post(created, lists, reach=age)], at)

    kept = {
        (line["snapshot_date"] - created.date()).days: line
        for line in rows(insights.conn, "SELECT * FROM video_insights_daily")
    }
    assert {age: line["reach"] for age, line in kept.items()} == {n: n for n in range(1, 31)}
    with_lists = {age for age, line in kept.items() if line["impression_sources"] is not None}
    assert with_lists == {7, 28, 30}
    assert {age: line["lists_kept_for"] for age, line in kept.items() if age in with_lists} == {
        7: 7,
        28: 28,
        30: None,
    }
    # TikTok left the sources out from day 21 on: the merged list has the last ones.
    assert kept[30]["impression_sources"][0]["percentage"] == 20
    assert kept[30]["audience_genders"][0]["percentage"] == 30
    assert kept[7]["impression_sources"][0]["percentage"] == 7


def test_a_second_answer_of_the_day_replaces_figures_and_loses_none(
    insights: InsightsRepository,
) -> None:
    sources = [{"impression_source": "Search", "percentage": 1.0}]
    insights.save_posts(
        run_on(DAY), [post(None, {"impression_sources": sources}, reach=5, likes=1)], AT_FIVE
    )
    insights.save_posts(run_on(DAY), [post(None, {}, likes=2)], later(0.1))

    kept = row(insights.conn, "SELECT * FROM video_insights_daily")
    assert (kept["reach"], kept["likes"], kept["video_duration"]) == (5, 2, 9.5)
    assert kept["impression_sources"] == sources
    assert kept["lists_kept_for"] is None  # nobody knows how old it is


def test_a_page_and_its_position_are_written_together_and_only_for_their_run(
    insights: InsightsRepository,
) -> None:
    progress = PostsProgress(next_cursor=1_770_000_000_000, pages=2, posts=40)
    insights.save_posts(run_on(DAY), [], AT_FIVE, progress)

    assert insights.resumed_posts(run_on(DAY)) == progress
    assert insights.resumed_posts(run_on(DAY, "another")) is None
    assert insights.resumed_posts(run_on(DAY + timedelta(days=1))) is None
    insights.forget_posts("S1")
    assert insights.resumed_posts(run_on(DAY)) is None


def test_one_store_asks_for_the_benchmark_and_another_only_if_it_never_came(
    insights: InsightsRepository,
) -> None:
    assert insights.claim_benchmark(DAY, "BEAUTY")
    assert not insights.claim_benchmark(DAY, "BEAUTY")
    insights.conn.execute("UPDATE benchmarks SET asked_at = now() - interval '11 minutes'")
    assert insights.claim_benchmark(DAY, "BEAUTY")
    figures = dict.fromkeys(BENCHMARK_FIGURES, 1.5)
    insights.save_benchmark(DAY, Benchmark("BEAUTY", figures, AT_FIVE))
    insights.conn.execute("UPDATE benchmarks SET asked_at = now() - interval '11 minutes'")
    assert not insights.claim_benchmark(DAY, "BEAUTY")
    kept = row(insights.conn, "SELECT * FROM benchmarks")
    assert {name: kept[name] for name in BENCHMARK_FIGURES} == figures
