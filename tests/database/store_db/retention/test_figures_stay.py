"""Is every figure as it was after a year in which the clocks cleared personal data?"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import personal_columns
from include.tiktok_sync.store_db.personal_retention import clear_personal
from include.tiktok_sync.store_db.retention import RetentionSettings
from tests.database.bench import rows
from tests.database.store_db.retention.personal_rows import (
    TODAY,
    add_day,
    add_grant,
    add_store,
    add_video,
    ago,
    names,
)

VIEWS = (
    "account_growth_daily",
    "account_growth_daily_with_late",
    "living_grants",
    "store_leaderboard",
    "sync_freshness",
    "video_gains_daily",
    "video_gains_daily_with_late",
)


def figures(conn: Connection) -> dict[str, list[Any]]:
    """Everything that is not personal, of every table and view."""
    personal = {(found.table, found.column) for found in personal_columns(conn)}
    found: dict[str, list[Any]] = {}
    for table in (*VIEWS, "user_daily_stats", "videos", "video_daily_stats", "stores"):
        names = rows(
            conn,
            "SELECT column_name AS c FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = %s",
            table,
        )
        kept = [name["c"] for name in names if (table, name["c"]) not in personal]
        wanted = ", ".join(name for name in kept if name != "days_left")  # by the clock
        query = f"SELECT {wanted} FROM {table}"  # noqa: S608 - the schema's own names
        found[table] = sorted(map(repr, conn.execute(query.encode()).fetchall()))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_year_with_the_clocks_running_changes_no_figure(conn: Connection, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    left: dict[str, float | None] = {}
    removed: dict[str, float | None] = {}
    conn.execute(
        "SELECT ensure_video_daily_stats_partitions(%s, 14)", [TODAY - timedelta(days=370)]
    )
    for number in range(6):
        code = f"S{number}"
        left[code] = dice.choice([None, None, dice.uniform(1, 80)])
        add_store(conn, code, removed=left[code])
        add_grant(conn, code, ended=left[code])
        for day in range(365):
            if dice.random() < 0.3:
                name = dice.choice(["Anna", "Bea", None])
                add_day(conn, code, TODAY - timedelta(days=day), name)
        for video in range(4):
            key = f"{code}v{video}"
            removed[key] = dice.choice([None, dice.uniform(1, 80)])
            add_video(conn, code, key, removed=removed[key])
            conn.execute(
                "INSERT INTO video_daily_stats (video_id, store_code, snapshot_date, view_count,"
                " observed_at) SELECT %s, %s, d, extract(doy FROM d), d"
                " FROM generate_series(%s::date, %s::date, '9 days') AS d",
                [key, code, TODAY - timedelta(days=300), TODAY],
            )
    before = figures(conn)
    was = {code: names(conn, code) for code in left}

    for days in range(360, -1, -30):  # the Dag of each month, as of then
        now = ago(days)
        clear_personal(conn, RetentionSettings(), now=now, today=now.date(), dry_run=False)

    assert figures(conn) == before
    for code, since in left.items():
        due = since is not None and since >= 30
        current = min((age for age, name in was[code].items() if name), default=None)
        assert names(conn, code) == {
            age: None if due or (age > 90 and age != current) else name
            for age, name in was[code].items()
        }
        for seen in rows(conn, "SELECT video_id, title FROM videos WHERE store_code = %s", code):
            gone = removed[seen["video_id"]]
            cleared = due or (gone is not None and gone >= 30)
            assert seen["title"] == (None if cleared else "Anna sings")
