"""The dbt package on a real Postgres, set up and built as docs/downstream.md says: `make dbt-test`.

Apart from the other tests, because dbt is installed into an environment of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from include.tiktok_sync.store_db.roles import prepare
from tests.postgres_server import PostgresServer, scratch_postgres

ROOT = Path(__file__).resolve().parents[2]
DBT = ROOT / ".venv" / "dbt" / "bin" / "dbt"
PROJECT = ROOT / "dbt"

NOON = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
"""The start of today: every row of a day is observed then, late ones a day after."""


def ago(days: float) -> datetime:
    return NOON - timedelta(days=days)


VIDEOS = [
    # id, store, posted, removed
    ("old", "S1", ago(30), None),
    ("new", "S1", ago(1.5), None),
    ("gone", "S2", ago(20), ago(1)),
]
VIDEO_ROWS = [
    # id, days ago, late, views, likes, comments, shares
    ("old", 3, False, 100, 10, 1, 0),
    ("old", 2, False, 150, 12, 1, 0),
    ("old", 1, False, None, 12, 1, None),
    ("old", 0, False, 200, 11, 1, 0),
    ("new", 1, False, 40, None, 0, 0),
    ("new", 0, False, 100, 5, 0, 0),
    ("gone", 3, False, 10, 1, 0, 0),
    ("gone", 2, False, 30, 1, 0, 0),
    ("gone", 1, True, 35, 1, 0, 0),
]
PROFILES = [
    # store, days ago, late, followers
    ("S1", 1, False, 1000),
    ("S1", 0, False, None),
    ("S2", 2, False, 50),
    ("S2", 1, True, 60),
]


class Package:
    """The package, and the database that it is built in.

    Args:
        server: The Postgres.
        folder: For what dbt writes.
    """

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def dbt(self, *args: str, schema: str = "dbt_stores", **variables: bool) -> str:
        """Run a command of dbt as the login that the docs create; gives what it printed."""
        done = self.attempt(*args, schema=schema, **variables)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def attempt(
        self, *args: str, schema: str = "dbt_stores", **variables: bool
    ) -> subprocess.CompletedProcess[str]:
        """The same, whatever its exit status."""
        values = {f"tiktok_stores_{name}": value for name, value in variables.items()}
        return subprocess.run(  # noqa: S603 - fixed program, no shell
            [
                *(str(DBT), "--no-use-colors", *args, "--vars", json.dumps(values)),
                *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
                *("--target-path", str(self._folder), "--log-path", str(self._folder)),
            ],
            env=os.environ
            | {
                "DBT_PORT": str(self._server.port),
                "DBT_SCHEMA": schema,
                "DBT_ENV_SECRET_PASSWORD": "change-me",
                "HOME": str(self._folder),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What a query finds, as the superuser."""
        with psycopg.connect(self._server.url("tiktok_sync"), row_factory=dict_row) as conn:
            return conn.execute(query.encode()).fetchall()

    def run(self, *statements: str) -> None:
        """Run statements as the superuser."""
        with psycopg.connect(self._server.url("tiktok_sync"), autocommit=True) as conn:
            for statement in statements:
                conn.execute(statement.encode())

    def owner(self) -> psycopg.Connection:
        """A connection of the product's own role."""
        return psycopg.connect(owner_url(self._server))


def owner_url(server: PostgresServer) -> str:
    return server.url("tiktok_sync").replace(f"postgres:{server.password}", "tiktok_sync:own")


def documented(heading: str) -> list[str]:
    """The statements of the SQL below a heading of docs/downstream.md."""
    text = (ROOT / "docs" / "downstream.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {heading}$.*?```pgsql\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    assert found, heading
    return [statement for statement in found[1].split(";") if statement.strip()]


def fill(conn: psycopg.Connection) -> None:
    conn.execute("SELECT ensure_video_daily_stats_partitions(current_date - 40, 3)")
    conn.execute(
        "INSERT INTO stores (store_code, store_name, region)"
        " VALUES ('S1', 'Köln', 'West'), ('S2', 'Ulm', 'South')"
    )
    for video, store, posted, removed in VIDEOS:
        conn.execute(
            "INSERT INTO videos (video_id, store_code, title, create_time, first_seen_at,"
            " last_seen_at, removed_at) VALUES (%s, %s, 'A title', %s, %s, now(), %s)",
            [video, store, posted, max(posted, ago(3)), removed],
        )
    stores = {video: store for video, store, *_ in VIDEOS}
    for video, days, late, *figures in VIDEO_ROWS:
        conn.execute(
            "INSERT INTO video_daily_stats VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [video, ago(days).date(), stores[video], *figures, ago(days - late), late],
        )
    for store, days, late, followers in PROFILES:
        conn.execute(
            "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, video_count,"
            " observed_at, is_late) VALUES (%s, %s, %s, 7, %s, %s)",
            [store, ago(days).date(), followers, ago(days - late), late],
        )
    conn.execute(
        "INSERT INTO sync_logs (job_name, store_code, status, message, run_id, snapshot_date)"
        " VALUES ('sync_video_daily', 'S1', 'success', '', 'run', current_date)"
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    with scratch_postgres() as server:
        prepare(server.url(), owner_url(server))
        found = Package(server, tmp_path_factory.mktemp("dbt"))
        with found.owner() as conn:
            fill(conn)
        found.run(*documented("dbt"))
        yield found


@pytest.fixture(scope="module")
def built(package: Package) -> Package:
    package.dbt("build")
    return package


def test_a_day_has_what_each_video_gained_since_the_day_before(built: Package) -> None:
    found = built.rows(
        "SELECT post_id, current_date - date_day AS days_ago, impressions, likes, comments, shares,"
        " impressions_total FROM dbt_stores.tiktok_stores__posts_daily ORDER BY 1, 2 DESC"
    )

    assert [tuple(row.values()) for row in found] == [
        ("gone", 3, None, None, None, None, 10),  # how old these figures are is unknown
        ("gone", 2, 20, 0, 0, 0, 30),  # and the late row is left out
        ("new", 1, 40, None, 0, 0, 40),  # posted since the night before: all of it is new
        ("new", 0, 60, None, 0, 0, 100),  # a gain since an unknown figure is unknown
        ("old", 3, None, None, None, None, 100),
        ("old", 2, 50, 2, 0, 0, 150),
        ("old", 1, None, 0, 0, None, None),
        ("old", 0, None, -1, 0, None, 200),
    ]


def test_the_roll_up_has_one_row_a_video_with_the_usual_columns(built: Package) -> None:
    found = built.rows("SELECT * FROM dbt_stores.tiktok_stores__rollup_report ORDER BY post_id")

    assert [tuple(row.values())[:13] for row in found] == [
        *(
            ("tiktok_sync.public", "tiktok", store, None, video, None, None, posted, None, *figures)
            for video, store, posted, figures in (
                ("gone", "S2", ago(20), (30, 1, 0, 0)),
                ("new", "S1", ago(1.5), (100, 5, 0, 0)),
                ("old", "S1", ago(30), (200, 11, 1, 0)),
            )
        )
    ]
    assert [row["is_removed"] for row in found] == [True, False, False]
    # Of Fivetran's social_media_reporting__rollup_report 1.5.
    assert found[0].keys() >= {
        *("created_timestamp", "post_id", "post_message", "post_url", "page_id", "page_name"),
        *("platform", "source_relation", "clicks", "impressions", "likes", "comments", "shares"),
    }


def test_a_page_has_sums_of_what_is_known_and_no_zero_for_the_rest(built: Package) -> None:
    found = built.rows(
        "SELECT page_id, current_date - date_day AS days_ago, region, followers, followers_gained,"
        " posts, posts_new, posts_with_impressions, impressions, likes"
        " FROM dbt_stores.tiktok_stores__pages_daily ORDER BY 1, 2 DESC"
    )

    assert [tuple(row.values()) for row in found] == [
        ("S1", 3, "West", None, None, 1, 0, 0, None, None),
        ("S1", 2, "West", None, None, 1, 0, 1, 50, 2),
        ("S1", 1, "West", 1000, None, 2, 1, 1, 40, 0),
        ("S1", 0, "West", None, None, 2, 0, 1, 60, -1),
        ("S2", 3, "South", None, None, 1, 0, 0, None, None),
        ("S2", 2, "South", 50, None, 1, 0, 1, 20, 0),
    ]


def test_the_products_views_can_still_be_replaced(built: Package) -> None:
    with built.owner() as conn:
        for (view,) in conn.execute(
            "SELECT relname FROM pg_class"
            " WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
        ).fetchall():
            conn.execute(f"DROP VIEW IF EXISTS {view} CASCADE".encode())
            left = conn.execute(
                "SELECT count(*) FROM pg_class WHERE relnamespace = 'dbt_stores'::regnamespace"
            ).fetchone()
        conn.rollback()
    assert left == (3,)  # the tables; CASCADE took nothing of dbt's along


def test_names_and_late_rows_come_if_they_are_asked_for(built: Package) -> None:
    refused = built.attempt("build", include_names=True)
    assert refused.returncode == 1
    assert "permission denied" in refused.stdout

    built.run("GRANT analyst_named TO dbt_stores", "CREATE SCHEMA named AUTHORIZATION dbt_stores")
    built.dbt("build", schema="named", include_names=True, include_late=True)

    found = built.rows(
        "SELECT page_name, post_message, post_url, impressions"
        " FROM named.tiktok_stores__posts_daily WHERE is_late"
    )
    assert found == [
        {
            "page_name": "Ulm",
            "post_message": "A title",
            "post_url": "https://www.tiktok.com/player/v1/gone",
            "impressions": 5,
        }
    ]
    rolled_up = built.rows(
        "SELECT impressions FROM named.tiktok_stores__rollup_report WHERE post_id = 'gone'"
    )
    assert rolled_up == [{"impressions": 30}]


def test_a_test_fails_where_a_model_says_zero_for_unknown(built: Package) -> None:
    built.run(
        "UPDATE dbt_stores.tiktok_stores__posts_daily SET impressions = 0 WHERE impressions IS NULL"
    )
    found = built.attempt("test")
    built.dbt("run")

    assert found.returncode == 1
    assert "Failure in test assert_no_gain_from_an_unknown_figure" in found.stdout


def test_freshness_says_when_a_night_is_missing(package: Package) -> None:
    package.dbt("source", "freshness")

    package.run(
        "CREATE TABLE kept AS SELECT * FROM video_daily_stats",
        "DELETE FROM video_daily_stats WHERE snapshot_date > current_date - 3",
    )
    stale = package.attempt("source", "freshness")
    package.run(
        "INSERT INTO video_daily_stats SELECT * FROM kept ON CONFLICT DO NOTHING", "DROP TABLE kept"
    )

    assert stale.returncode == 1
    assert re.search(r"ERROR STALE freshness of tiktok_stores\.video_gains_daily ", stale.stdout)
