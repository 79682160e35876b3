"""Of two years of videos, do the views read only the months that a query asks for?"""

# ruff: noqa: S608 - names of views of this file

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import row, rows
from tests.database.witnesses.plans import rows_read, scans


@pytest.fixture(scope="module")
def years(postgres: Any, _template: str) -> Iterator[Connection]:
    """20 stores with 15 videos each, read every day for two years; the night is over."""
    postgres.run("CREATE DATABASE {} TEMPLATE {}", "years", _template)
    with psycopg.connect(postgres.url("years"), autocommit=True) as conn:
        conn.execute("SELECT ensure_video_daily_stats_partitions(current_date - 740, 26)")
        conn.execute(
            "INSERT INTO stores (store_code, store_name, created_at)"
            " SELECT 'S' || n, 'Store', now() - interval '800 days' FROM generate_series(1, 20) n"
        )
        conn.execute(
            "INSERT INTO videos (video_id, store_code, video_description, create_time,"
            " first_seen_at, last_seen_at) SELECT s.store_code || '-' || n, s.store_code, '#sale',"
            " now() - n * interval '48 days', now() - n * interval '48 days', now()"
            " FROM stores AS s, generate_series(1, 15) AS n"
        )
        conn.execute(
            "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, observed_at)"
            " SELECT store_code, current_date - n, n, now() - n * interval '1 day'"
            " FROM stores, generate_series(0, 730) AS n"
        )
        conn.execute(
            "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count,"
            " observed_at) SELECT video_id, current_date - n, store_code, 5,"
            " now() - n * interval '1 day' FROM videos, generate_series(0, 730) AS n"
            " WHERE now() - n * interval '1 day' >= create_time"
        )
        conn.execute(
            "INSERT INTO sync_logs (job_name, store_code, status, message, run_id, run_time,"
            " snapshot_date) SELECT job, store_code, 'success', '', n,"
            " now() - n * interval '1 day', current_date - n"
            " FROM stores, generate_series(0, 730) AS n,"
            " unnest(ARRAY['sync_user_daily', 'sync_video_daily']) AS job"
        )
        conn.execute(
            "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
            " created_at) SELECT store_code, store_code, 's', '', '', created_at FROM stores"
        )
        conn.execute("ANALYZE")
        yield conn
    postgres.run("DROP DATABASE {}", "years")


def months(conn: Connection, first_ago: int, last_ago: int) -> set[str]:
    """The partitions of these days."""
    found = rows(
        conn,
        "SELECT DISTINCT 'video_daily_stats_' || to_char(current_date - n, 'YYYY_MM') AS name"
        " FROM generate_series(%s::int, %s::int) AS n",
        last_ago,
        first_ago,
    )
    return {line["name"] for line in found}


@pytest.mark.parametrize(
    ("query", "first_ago", "last_ago"),
    [
        (
            "video_engagement WHERE snapshot_date = current_date - 100 AND store_code = 'S7'",
            *[100] * 2,
        ),
        ("video_age_curve WHERE video_id = 'S7-2'", 96, 66),
        (
            "video_age_curve WHERE store_code = 'S7' AND create_time > now() - interval '60 days'",
            50,
            18,
        ),
        # The newest figures are looked for from the newest month on, also one made ahead.
        ("posting_times WHERE store_code = 'S7'", 345, -100),
        ("hashtag_performance WHERE store_code = 'S7'", 345, -100),
        (
            "store_week WHERE week_start = date_trunc('week', current_date - 100)::date",
            *(100 + 6 + 64, 94),
        ),
        ("chain_day WHERE snapshot_date = current_date - 100", 101, 100),
    ],
)
def test_of_the_days_of_videos_only_the_months_asked_for_are_read_and_by_index(
    years: Connection, query: str, first_ago: int, last_ago: int
) -> None:
    found = scans(years, f"SELECT * FROM {query}")

    read = {(table, kind) for table, kind in found if table.startswith("video_daily_stats")}
    assert {table for table, _ in read} <= months(years, first_ago, last_ago)
    assert read
    assert all("Index" in kind or "Bitmap" in kind for _, kind in read), read


@pytest.mark.parametrize(
    ("query", "most"),
    [
        # Of each store its line of the day, of the day before, and of the day for both gaps.
        ("chain_day WHERE snapshot_date = current_date - 300", 20 * 4),
        # Nine weeks and the one before each, and seven days of gaps.
        (
            "store_week WHERE week_start = date_trunc('week', current_date - 300)::date",
            20 * (9 * 2 + 7),
        ),
        (
            "store_days(ARRAY['S7', 'S8'], current_date - 300, current_date - 291, 'UTC')",
            2 * 10,
        ),
    ],
)
def test_of_the_log_only_the_days_asked_for_are_read(
    years: Connection, query: str, most: int
) -> None:
    assert 20 <= rows_read(years, f"SELECT * FROM {query}", "sync_logs") <= most


def test_the_chains_followers_of_two_years_read_no_video(years: Connection) -> None:
    query = "SELECT snapshot_date, follower_count, follower_gain FROM chain_day"

    assert {table for table, _ in scans(years, query)} == {"user_daily_stats"}
    found = row(years, f"SELECT count(*) AS n, sum(follower_gain)::int AS gain FROM ({query}) AS d")
    assert found == {"n": 731, "gain": -20 * 730}
