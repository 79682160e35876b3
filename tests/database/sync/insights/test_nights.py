"""Are account days and posts what TikTok says, first night and later ones, and is nothing lost?"""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from include.tiktok_sync.business.models import POST_LISTS
from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.errors import DataError, MissingScopeError, TikTokUnavailableError
from tests.database.bench import today
from tests.database.sync.insights.worlds import (
    DAY_COLUMNS,
    INSIGHTS_REFUSED,
    InsightsBench,
    differences,
    last_nights,
)

pytestmark = pytest.mark.usefixtures("no_waits")

CODE = "S001"


def asked_days(world: InsightsBench, code: str) -> list[tuple[str, str]]:
    """First and last day of each call for an account."""
    found = world.bench.rows(
        "SELECT details ->> 'days_asked_from' AS first, snapshot_date::text AS day FROM sync_logs"
        " WHERE store_code = %s AND details ? 'days_asked_from' ORDER BY snapshot_date",
        code,
    )
    return [(line["first"], line["day"]) for line in found]


def test_the_first_night_brings_sixty_days_and_every_post_of_every_kind_of_account(
    world: InsightsBench,
) -> None:
    world.bench.import_stores()
    day = world.night(today().date)
    codes = [line["store_code"] for line in world.bench.rows("SELECT store_code FROM stores")]

    pages = sum(world.sync(code, day).details["pages"] for code in codes)

    assert [line for code in codes for line in differences(world, code, day.date)] == []
    calls = world.calls()
    assert (calls["get"], calls["video_list"]) == (len(codes), pages)
    oldest = min(day for code in codes for day in world.days(code))
    assert oldest == (day.date - timedelta(days=60)).isoformat()


def test_sixty_days_are_asked_for_every_night_and_a_final_one_has_its_last_figures(
    world: InsightsBench,
) -> None:
    world.bench.import_stores(CODE)
    nights = last_nights(9)
    for night in nights:
        world.sync(CODE, world.night(night))

    assert asked_days(world, CODE) == [
        (str(night - timedelta(days=60)), str(night)) for night in nights
    ]
    assert world.calls()["get"] == len(nights)
    truth, kept = world.truth(CODE), world.days(CODE)
    final = {day for day, row in kept.items() if row["is_final"]}
    old = {day: told for day, told in truth["final_days"].items() if day in final}
    assert len(old) >= 52
    assert {day: kept[day]["video_views"] for day in old} == {
        day: told["video_views"] for day, told in old.items()
    }


def test_days_of_nights_that_did_not_run_are_brought_by_the_next_one(
    world: InsightsBench,
) -> None:
    world.bench.import_stores(CODE)
    first, last = today().date - timedelta(days=20), today().date
    world.sync(CODE, world.night(first))
    world.sync(CODE, world.night(last))

    assert set(world.truth(CODE)["days"]) <= set(world.days(CODE))


def test_days_that_came_without_their_insights_are_read_the_next_night(
    world: InsightsBench,
) -> None:
    world.bench.import_stores(CODE)
    world.bench.sandbox.admin("POST", "/faults", json={"rules": INSIGHTS_REFUSED})
    before, after = last_nights(2)
    outcome = world.sync(CODE, world.night(before))

    assert list(outcome.details["fields_skipped"]) == ["insights"]
    assert outcome.details["days"] == 0
    audience = world.bench.row("SELECT * FROM account_audience")
    assert audience["followers_count"] is not None  # what came is written
    world.sync(CODE, world.night(after))
    assert differences(world, CODE, after, is_first=False) == []


def test_final_days_of_a_release_that_took_them_without_their_insights_are_filled(
    world: InsightsBench,
) -> None:
    world.bench.import_stores(CODE)
    before, after = last_nights(2)
    world.sync(CODE, world.night(before))
    kept = world.days(CODE)
    others = ", ".join(f"{name} = NULL" for name in DAY_COLUMNS if name != "followers_count")
    world.bench.conn.execute(f"UPDATE account_daily SET {others}".encode())  # noqa: S608 - names of columns
    world.sync(CODE, world.night(after))

    assert differences(world, CODE, after, is_first=False) == []
    oldest = str(after - timedelta(days=60))
    final = {day for day, row in kept.items() if row["is_final"] and day >= oldest}
    assert len(final) > 45
    found = world.days(CODE)
    for day in final:
        assert {name: found[day][name] for name in DAY_COLUMNS} == {
            name: kept[day][name] for name in DAY_COLUMNS
        }


def test_an_old_day_that_could_not_be_read_is_asked_for_until_it_comes(
    world: InsightsBench,
) -> None:
    world.bench.import_stores(CODE)
    unreadable = {"fault": "business_unreadable_row", "endpoints": ["business_get"]}
    world.bench.sandbox.admin("POST", "/faults", json={"seed": 1, "rules": [unreadable]})
    before, after = last_nights(2)
    with pytest.raises(DataError, match="could not be read, the others are written"):
        world.sync(CODE, world.night(before))
    kept = world.days(CODE)
    lost = world.truth(CODE)["days"].keys() - kept.keys()
    assert min(lost) < max(day for day, row in kept.items() if row["is_final"])

    world.bench.sandbox.admin("DELETE", "/faults")
    world.sync(CODE, world.night(after))
    assert differences(world, CODE, after, is_first=False) == []


def test_a_figure_that_tiktok_leaves_out_later_stays_and_lists_are_kept_at_their_ages(
    world: InsightsBench,
) -> None:
    world.bench.import_stores(CODE)
    nights = last_nights(12)
    for night in nights:
        world.sync(CODE, world.night(night))

    lists = world.bench.rows(
        "SELECT video_id, snapshot_date, audience_genders IS NOT NULL AS has_lists,"
        " lists_kept_for,"
        " snapshot_date = max(snapshot_date) OVER (PARTITION BY video_id) AS newest"
        " FROM video_insights_daily WHERE media_type = 'VIDEO'"
    )
    kept = [line for line in lists if line["has_lists"]]
    assert {line["video_id"] for line in kept}
    assert all(line["newest"] or line["lists_kept_for"] for line in kept)
    stages = {line["lists_kept_for"] for line in lists}
    assert stages <= {None, 7, 28, 365}
    newest = {line["video_id"]: line for line in lists if line["newest"]}
    told = {post["item_id"]: post for post in world.truth(CODE)["posts"] if not post["hidden"]}
    for video_id, post in told.items():
        if video_id in newest and post["audience_genders"] is not None:
            assert newest[video_id]["has_lists"], video_id


def test_an_empty_list_leaves_the_last_known_one(world: InsightsBench) -> None:
    world.bench.import_stores(CODE)
    before, after = last_nights(2)
    world.sync(CODE, world.night(before))
    posts = world.posts(CODE, before)
    rule = {"fault": "business_list_null"}
    world.bench.sandbox.admin("POST", "/faults", json={"rules": [rule]})
    for run_id in ("first", "again"):
        world.sync(CODE, world.night(after), run_id=run_id)

    kept = world.posts(CODE, after)
    known = [
        (video_id, name)
        for video_id in kept.keys() & posts.keys()
        for name in POST_LISTS
        if posts[video_id][name]
    ]
    assert known
    assert [key for key in known if not kept[key[0]][key[1]]] == []


def test_old_pages_are_left_out_except_once_a_week(world: InsightsBench) -> None:
    code = world.bench.code_with_videos(at_least=60)
    world.bench.import_stores(code)
    pages = [
        (outcome.details["pages"], outcome.details["listed_to_end"])
        for outcome in (world.sync(code, world.night(night)) for night in last_nights(9))
    ]

    whole = {count for count, to_end in pages if to_end}
    assert pages[0][1]
    assert sum(to_end for _, to_end in pages) in {2, 3}
    assert all(count < max(whole) for count, to_end in pages if not to_end)


def test_a_retry_continues_behind_the_last_page_that_was_written(world: InsightsBench) -> None:
    code = world.bench.code_with_videos(at_least=60)
    world.bench.import_stores(code)
    day = world.night(today().date)
    rule = {"fault": "business_trouble", "endpoints": ["business_video_list"], "after": 2}
    world.bench.sandbox.admin("POST", "/faults", json={"rules": [rule]})
    with pytest.raises(TikTokUnavailableError):
        world.sync(code, day)
    world.bench.sandbox.admin("DELETE", "/faults")
    before = world.calls()["video_list"]

    outcome = world.sync(code, day)

    assert outcome.details["resumed"]
    assert world.calls()["video_list"] - before == outcome.details["pages"] - 2
    assert differences(world, code, day.date) == []
    assert world.bench.rows("SELECT * FROM insight_listings") == []


def test_a_dry_run_calls_and_writes_nothing(world: InsightsBench) -> None:
    world.bench.import_stores(CODE)
    tables = ["account_daily", "account_audience", "video_insights_daily", "sync_logs"]
    outcome = world.sync(CODE, world.night(today().date), dry_run=True)

    assert outcome.details["days"] > 0
    assert world.bench.dump(tables) == dict.fromkeys(tables, "")


def test_without_the_scope_of_posts_the_account_is_read_and_the_message_says_so(
    world: InsightsBench,
) -> None:
    world.bench.sandbox.admin(
        "POST",
        f"/stores/{CODE}/grant?api=business",
        json={"scope": "user.info.basic,user.info.stats,user.insights"},
    )
    world.bench.import_stores(CODE)

    outcome = world.sync(CODE, world.night(today().date))

    assert "posts not granted" in outcome.message
    assert "video.list" in outcome.details["scopes_not_granted"]
    assert world.days(CODE)
    assert world.bench.rows("SELECT * FROM video_insights_daily") == []


def test_a_grant_without_anything_useful_skips_the_store(world: InsightsBench) -> None:
    world.bench.import_stores(CODE)
    world.bench.conn.execute("UPDATE business_tokens SET scope = 'comment.list'")
    with pytest.raises(MissingScopeError):
        world.sync(CODE, world.night(today().date))


def test_the_chains_benchmark_is_fetched_once_a_day(world: InsightsBench) -> None:
    world = InsightsBench(world.bench.with_settings(business_category="BEAUTY"), world.patch)
    codes = ["S001", "S002", "S003"]
    world.bench.import_stores(*codes)
    day = world.night(today().date)
    for code in codes:
        world.sync(code, day)

    assert world.calls()["benchmark"] == 1
    found = world.bench.row("SELECT * FROM benchmarks")
    told = world.bench.sandbox.admin("GET", "/business/benchmarks")["BEAUTY"]
    assert found["business_category"] == "BEAUTY"
    assert {name: found[name] for name in found if name.startswith("average")} == {
        name: told[name] for name in told if name.startswith("average")
    }


def test_a_snapshot_day_is_of_the_syncs_zone_and_metrics_are_of_utc(world: InsightsBench) -> None:
    world.bench.import_stores(CODE)
    day: SnapshotDay = world.night(today().date)
    world.sync(CODE, day)

    audience = world.bench.row("SELECT * FROM account_audience")
    assert audience["snapshot_date"] == day.date
    newest = max(world.days(CODE))
    assert date.fromisoformat(newest) < day.date
