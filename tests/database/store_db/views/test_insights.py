"""Do the views show both sources side by side, say why a figure is absent, and stay bounded?"""

# ruff: noqa: S608 - the queries are made of constants of this file

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import row, rows
from tests.database.witnesses.plans import scans

UTC = timezone.utc


def utc_day(ago: int) -> date:
    return datetime.now(UTC).date() - timedelta(days=ago)


@pytest.fixture
def world(conn: Connection) -> Connection:
    """One store of both APIs with a video, and a post that only ads show."""
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")
    conn.execute(
        "INSERT INTO business_tokens (store_code, open_id, scope, access_token, refresh_token)"
        " VALUES ('S1', 'b1', 'user.insights,video.list', '', '')"
    )
    conn.execute(
        "INSERT INTO videos (video_id, store_code, first_seen_at, last_seen_at)"
        " VALUES ('v', 'S1', now(), now())"
    )
    first = utc_day(5)
    conn.execute("SELECT ensure_video_daily_stats_partitions(%s)", [first])
    conn.execute("SELECT ensure_video_insights_partitions(%s)", [first])
    return conn


def insight(conn: Connection, video: str, ago: int, **columns: Any) -> None:
    values = {"store_code": "S1", "video_id": video, "snapshot_date": utc_day(ago)}
    values |= {"fetched_at": datetime.now(UTC) - timedelta(days=ago)} | columns
    names = ", ".join(values)
    marks = ", ".join(f"%({name})s" for name in values)
    conn.execute(f"INSERT INTO video_insights_daily ({names}) VALUES ({marks})".encode(), values)


def test_an_account_has_a_row_for_each_day_of_either_source(world: Connection) -> None:
    world.execute(
        "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, observed_at,"
        " is_late) VALUES ('S1', %s, 7, now(), false), ('S1', %s, 8, now(), true),"
        " ('S1', %s, 9, now(), false)",
        [utc_day(3), utc_day(2), utc_day(1)],
    )
    world.execute(
        "INSERT INTO account_daily (store_code, metric_date, video_views, followers_count,"
        " fetched_at) VALUES ('S1', %s, 40, -1, now()), ('S1', %s, 50, NULL, now())",
        [utc_day(2), utc_day(3)],
    )

    found = rows(
        world,
        "SELECT day, follower_count, video_views, followers_count FROM account_history_daily"
        " ORDER BY day",
    )
    assert [tuple(line.values()) for line in found] == [
        (utc_day(3), 7, 50, None),
        (utc_day(2), None, 40, -1),
        (utc_day(1), 9, None, None),
    ]


def test_a_video_has_its_counters_next_to_the_newest_known_reach(world: Connection) -> None:
    for ago, views in ((3, 10), (1, 12)):
        world.execute(
            "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count,"
            " observed_at) VALUES ('v', %s, 'S1', %s, now())",
            [utc_day(ago), views],
        )
    insight(world, "v", 3, reach=5, average_time_watched=1.5, media_type="VIDEO")
    insight(world, "v", 1, likes=3, media_type="VIDEO")
    insight(world, "ad", 1, reach=2, is_ad=True, media_type="VIDEO")

    found = {
        (line["video_id"], line["snapshot_date"]): line
        for line in rows(world, "SELECT * FROM video_performance")
    }
    assert found.keys() == {("v", utc_day(3)), ("v", utc_day(1)), ("ad", utc_day(1))}
    now = found["v", utc_day(1)]
    assert (now["view_count"], now["likes"], now["reach"], now["last_reach"]) == (12, 3, None, 5)
    assert (now["last_average_time_watched"], now["last_known_on"]) == (1.5, utc_day(3))
    # The newest reach came without watch figures: those known before stay the newest of theirs.
    insight(world, "v", 2, reach=6, media_type="VIDEO")
    where = "SELECT * FROM video_performance WHERE video_id = 'v' AND snapshot_date = %s"
    now = row(world, where, utc_day(1))
    assert (now["last_reach"], now["last_average_time_watched"]) == (6, 1.5)
    assert now["last_known_on"] == utc_day(2)
    ad = found["ad", utc_day(1)]
    assert (ad["on_profile"], ad["view_count"], ad["is_ad"], ad["reach"]) == (False, None, True, 2)
    assert now["on_profile"]


def reasons(conn: Connection, table: str) -> dict[tuple[date, str], str]:
    found = rows(conn, "SELECT * FROM insights_absent WHERE table_name = %s", table)
    return {(line["day"], name): line["reason"] for line in found for name in line["fields"]}


def test_the_reasons_of_an_account(world: Connection) -> None:
    world.execute(
        "INSERT INTO account_audience (store_code, snapshot_date, is_business_account,"
        " followers_count, fetched_at) VALUES ('S1', %s, false, 60, now())",
        [utc_day(0)],
    )
    world.execute(
        "INSERT INTO account_daily (store_code, metric_date, video_views, fetched_at)"
        " VALUES ('S1', %s, 1, now())",
        [utc_day(10)],
    )

    found = reasons(world, "account_daily")
    there = {field: why for (day, field), why in found.items() if day == utc_day(10)}
    assert there["daily_new_followers"] == "personal account"
    assert there["email_clicks"] == "personal account"
    assert there["audience_activity"] == "under 100 followers"
    assert there["likes"] == "left out by TikTok"
    assert "video_views" not in there
    assert there["followers_count"] == "permission user.info.stats not granted"
    assert found[utc_day(1), "*"].startswith("too fresh")
    assert found[utc_day(40), "*"].startswith("not in TikTok")
    audience = reasons(world, "account_audience")
    assert set(audience.values()) == {"under 100 followers"}
    assert len(audience) == 4

    world.execute("UPDATE business_tokens SET scope = 'user.insights,user.info.stats'")
    found = reasons(world, "account_daily")
    assert found[utc_day(10), "followers_count"] == "left out by TikTok"

    world.execute("UPDATE business_tokens SET scope = 'video.list'")
    assert reasons(world, "account_daily")[utc_day(40), "*"] == (
        "permission user.insights not granted"
    )


@pytest.mark.parametrize(
    ("age", "media", "scope", "reach", "watched"),
    [
        (1, "VIDEO", "video.list,video.insights", "too fresh", "too fresh"),
        (5, "PHOTO", "video.list,video.insights", "left out", "a photo or text post"),
        (30, "VIDEO", "video.list,video.insights", "quiet for more", "quiet for more"),
        (400, "VIDEO", "video.list,video.insights", "no longer updated", "no longer updated"),
        (30, "VIDEO", "video.list", "quiet for more", "permission video.insights"),
    ],
)
def test_the_reasons_of_a_post(
    world: Connection, age: int, media: str, scope: str, reach: str, watched: str
) -> None:
    world.execute("UPDATE business_tokens SET scope = %s", [scope])
    created = datetime.now(UTC) - timedelta(days=age)
    insight(world, "v", 0, create_time=created, media_type=media, likes=1)

    found = reasons(world, "video_insights_daily")
    assert found[utc_day(0), "reach"].startswith(reach)
    assert found[utc_day(0), "total_time_watched"].startswith(watched)
    assert (utc_day(0), "likes") not in found


@pytest.fixture(scope="module")
def years(postgres: Any, _template: str) -> Iterator[Connection]:
    """20 stores with 10 posts each, read every day for 400 days by both APIs."""
    postgres.run("CREATE DATABASE {} TEMPLATE {}", "insight_years", _template)
    with psycopg.connect(postgres.url("insight_years"), autocommit=True) as conn:
        for table in ("video_daily_stats", "video_insights"):
            conn.execute(f"SELECT ensure_{table}_partitions(current_date - 410, 15)".encode())
        conn.execute(
            "INSERT INTO stores (store_code, store_name) SELECT 'S' || n, 'Store'"
            " FROM generate_series(1, 20) n"
        )
        conn.execute(
            "INSERT INTO business_tokens (store_code, open_id, scope, access_token, refresh_token)"
            " SELECT store_code, store_code, 'video.list', '', '' FROM stores"
        )
        conn.execute(
            "INSERT INTO videos (video_id, store_code, create_time, first_seen_at, last_seen_at)"
            " SELECT store_code || '-' || n, store_code, now() - interval '400 days', now(), now()"
            " FROM stores, generate_series(1, 9) AS n"
        )
        conn.execute(
            "INSERT INTO user_daily_stats (store_code, snapshot_date, observed_at)"
            " SELECT store_code, current_date - n, now() FROM stores, generate_series(0, 400) AS n"
        )
        conn.execute(
            "INSERT INTO account_daily (store_code, metric_date, fetched_at)"
            " SELECT store_code, current_date - n, now() FROM stores, generate_series(1, 400) AS n"
        )
        conn.execute(
            "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, observed_at)"
            " SELECT video_id, current_date - n, store_code, now() FROM videos,"
            " generate_series(0, 400) AS n"
        )
        conn.execute(
            "INSERT INTO video_insights_daily (store_code, video_id, snapshot_date, reach,"
            " average_time_watched, fetched_at)"
            " SELECT store_code, store_code || '-' || v, current_date - n, 1, 1, now()"
            " FROM stores, generate_series(1, 10) AS v, generate_series(0, 400) AS n"
        )
        conn.execute("ANALYZE")
        yield conn
    postgres.run("DROP DATABASE {}", "insight_years")


@pytest.mark.parametrize(
    "query",
    [
        "video_performance WHERE snapshot_date = current_date - 100 AND store_code = 'S7'",
        "video_performance WHERE snapshot_date BETWEEN current_date - 101 AND current_date - 100",
        (
            "insights_absent WHERE day = current_date - 100 AND store_code = 'S7'"
            " AND table_name = 'video_insights_daily'"
        ),
    ],
)
def test_of_the_days_of_posts_only_the_months_asked_for_are_read_and_by_index(
    years: Connection, query: str
) -> None:
    found = scans(years, f"SELECT * FROM {query}")

    months = {
        f"{table}_{month['m']}"
        for table in ("video_daily_stats", "video_insights_daily")
        for month in rows(
            years,
            "SELECT DISTINCT to_char(current_date - n, 'YYYY_MM') AS m"
            " FROM generate_series(100, 101) AS n",
        )
    }
    read = {(table, kind) for table, kind in found if table.startswith("video_")}
    assert {table for table, _ in read} <= months
    assert read
    assert all("Index" in kind or "Bitmap" in kind for _, kind in read), read


def test_a_day_of_an_account_is_looked_up_by_key(years: Connection) -> None:
    query = "account_history_daily WHERE store_code = 'S7' AND day = current_date - 100"
    found = {
        (table, kind)
        for table, kind in scans(years, f"SELECT * FROM {query}")
        if table in ("account_daily", "user_daily_stats")
    }
    assert found
    assert all("Index" in kind or "Bitmap" in kind for _, kind in found), found
    assert row(years, f"SELECT count(*) AS n FROM {query}") == {"n": 1}
