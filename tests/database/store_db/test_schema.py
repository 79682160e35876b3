"""Is the schema made, kept, named and refused as it should be?"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql

from include.tiktok_sync.errors import ConfigurationError, DatabaseUnavailableError
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.schema import MIGRATIONS, SCHEMA_REVISION, check_schema, upgrade
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.tiktok.models import Video
from tests.database.bench import DAY, NOON, UTC, insert_grants, row, rows, run_of, together

# design.md, word for word: a query of the earlier system that must run as it stands.
_SEED_QUERY = """
SELECT job_name, status, message, duration_ms / 1000 as duration_sec, run_time
FROM sync_logs WHERE store_code IS NULL ORDER BY run_time DESC LIMIT 10;
"""


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    return config


def _months(first: date, count: int = 4) -> list[date]:
    """The first days of `count` months from the one of `first` on."""
    numbers = range(first.year * 12 + first.month - 1, first.year * 12 + first.month - 1 + count)
    return [date(number // 12, number % 12 + 1, 1) for number in numbers]


def _shape(conn: Connection) -> list[dict[str, Any]]:
    """Every column, index, constraint, function, view and comment of the schema."""
    return rows(
        conn,
        """
        SELECT 'column' AS kind, c.relname || '.' || a.attname AS name,
            format_type(a.atttypid, a.atttypmod) || a.attnotnull
                || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
                || coalesce(col_description(c.oid, a.attnum), '') AS what
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
            AND NOT a.attisdropped
        UNION ALL SELECT 'view', viewname, definition FROM pg_views WHERE schemaname = 'public'
        UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname,
            pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT 'function', proname, prosrc FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
        ORDER BY 1, 2, 3
        """,
    )


def _partitions(conn: Connection) -> list[str]:
    found = rows(
        conn,
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'video_daily_stats'::regclass ORDER BY 1",
    )
    return [item["name"] for item in found]


def test_the_revision_in_the_code_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(_config("")).get_current_head() == SCHEMA_REVISION


def test_upgrading_again_changes_nothing_and_keeps_rows(db_url: str, conn: Connection) -> None:
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")
    before = _shape(conn)
    assert len(before) > 100
    assert upgrade(db_url) == SCHEMA_REVISION
    assert _shape(conn) == before
    assert row(conn, "SELECT store_name FROM stores")["store_name"] == "One"


@pytest.mark.parametrize(
    "lock", ["SELECT pg_advisory_xact_lock(7436991207)", "LOCK TABLE stores IN ACCESS SHARE MODE"]
)
def test_an_upgrade_waits_for_others_only_so_long_and_names_them(
    db_url: str, conn: Connection, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    monkeypatch.setattr("include.tiktok_sync.store_db.schema.LOCK_SECONDS", 1)
    command.downgrade(_config(db_url), "0001")  # 0006 changes stores
    with psycopg.connect(db_url) as other:
        other.execute(lock.encode())
        pid = other.info.backend_pid
        with pytest.raises(
            DatabaseUnavailableError, match=f"process {pid} of role postgres"
        ) as told:
            upgrade(db_url)
        assert "Nothing was changed" in str(told.value)
        assert row(conn, "SELECT version_num FROM alembic_version") == {"version_num": "0001"}
    assert upgrade(db_url) == SCHEMA_REVISION


def test_the_newest_migration_works_on_a_database_with_rows(db_url: str, conn: Connection) -> None:
    command.downgrade(_config(db_url), "0007")
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")

    assert upgrade(db_url) == SCHEMA_REVISION
    assert row(conn, "SELECT count(*) AS n FROM backups")["n"] == 0
    assert row(conn, "SELECT store_name FROM stores")["store_name"] == "One"


def test_processes_that_upgrade_at_once_take_turns(empty_db_url: str, conn: Connection) -> None:
    # Processes, as Alembic keeps what it works on in a global of the process.
    upgrades = [
        subprocess.Popen(
            [sys.executable, "-m", "include.tiktok_sync", "db", "upgrade"],
            cwd=MIGRATIONS.parents[1],
            env={**os.environ, "STORE_DB_URL": empty_db_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=600)[0] for process in upgrades]
    assert [process.returncode for process in upgrades] == [0] * 3, said
    assert said == [f"The store database has schema {SCHEMA_REVISION}.\n"] * 3
    with psycopg.connect(empty_db_url, autocommit=True) as other:
        check_schema(other)
        assert _shape(other) == _shape(conn)


def test_a_newer_database_is_refused_and_left_alone(db_url: str, conn: Connection) -> None:
    conn.execute("UPDATE alembic_version SET version_num = '9999'")
    before = _shape(conn)
    for attempt in (lambda: check_schema(conn), lambda: upgrade(db_url)):
        with pytest.raises(ConfigurationError, match=r"\(9999\) is newer than this code") as caught:
            attempt()
        assert f"({SCHEMA_REVISION})" in caught.value.message
    assert _shape(conn) == before
    assert row(conn, "SELECT version_num FROM alembic_version") == {"version_num": "9999"}


def test_an_older_or_empty_database_is_named_with_the_next_step(
    empty_db_url: str, conn: Connection
) -> None:
    conn.execute("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(ConfigurationError, match=r"schema is 0000, .*tiktok_sync db upgrade$"):
        check_schema(conn)
    conn.execute("DELETE FROM alembic_version")
    with pytest.raises(ConfigurationError, match=r"schema is empty, .*tiktok_sync db upgrade$"):
        check_schema(conn)
    with (
        psycopg.connect(empty_db_url, autocommit=True) as other,
        pytest.raises(ConfigurationError, match=r"schema is empty, .*tiktok_sync db upgrade$"),
    ):
        check_schema(other)


def test_down_and_up_again_gives_the_same_schema(db_url: str, conn: Connection) -> None:
    before = _shape(conn)
    command.downgrade(_config(db_url), "base")
    left = rows(conn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert [item["tablename"] for item in left] == ["alembic_version"]
    assert upgrade(db_url) == SCHEMA_REVISION
    assert _shape(conn) == before


def test_stores_connected_before_0008_keep_their_grants_and_are_of_no_known_app(
    empty_db_url: str,
) -> None:
    command.upgrade(_config(empty_db_url), "0007")
    with psycopg.connect(empty_db_url, autocommit=True) as conn:
        conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")
        insert_grants(conn, "S1")
        conn.execute(
            "INSERT INTO alerts (kind, job_name, run_id, message)"
            " VALUES ('run_failed', 'sync_user_daily', 'r', 'm')"
        )
        before = row(conn, "SELECT * FROM store_tokens")
        upgrade(empty_db_url)
        after = row(conn, "SELECT * FROM store_tokens")
        assert {name: after[name] for name in before} == before
        assert {after[name] for name in after.keys() - before.keys()} == {None}
        conn.execute("UPDATE alerts SET kind = 'refusals_doubted'")
        command.downgrade(_config(empty_db_url), "0007")
        assert row(conn, "SELECT * FROM store_tokens") == before


def test_any_libpq_url_that_connects_also_upgrades(empty_db_url: str) -> None:
    # libpq takes several hosts in one URL; SQLAlchemy's parser does not.
    host = empty_db_url.partition("@")[2].partition("/")[0]
    assert upgrade(empty_db_url.replace(host, f"{host},{host}")) == SCHEMA_REVISION


def test_every_table_and_column_says_what_it_is(conn: Connection) -> None:
    tables = rows(
        conn,
        "SELECT oid::regclass::text AS name, obj_description(oid, 'pg_class') AS comment"
        " FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')",
    )
    assert {"stores", "sync_logs", "video_daily_stats"} <= {item["name"] for item in tables}
    assert any(item["name"].startswith("video_daily_stats_20") for item in tables)
    columns = rows(
        conn,
        "SELECT c.relname || '.' || a.attname AS name, col_description(c.oid, a.attnum) AS comment"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')"
        " AND NOT c.relispartition AND NOT a.attisdropped",
    )
    assert len(columns) > 50
    assert [item["name"] for item in [*tables, *columns] if not item["comment"]] == []


def test_the_columns_of_the_contract_are_there(conn: Connection) -> None:
    wanted = {
        "user_daily_stats": "follower_count following_count likes_count video_count",
        "video_daily_stats": "view_count like_count comment_count share_count",
        "sync_logs": "duration_ms",
    }
    for table, names in wanted.items():
        for name in names.split():
            found = row(
                conn,
                "SELECT data_type, column_default FROM information_schema.columns"
                " WHERE table_schema = 'public' AND table_name = %s AND column_name = %s",
                table,
                name,
            )
            # A default would turn "TikTok left it out" into a number.
            assert found == {"data_type": "bigint", "column_default": None}, (table, name)
    naive = rows(
        conn,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema ="
        " 'public' AND (data_type = 'timestamp without time zone' OR"
        " (character_maximum_length IS NOT NULL AND table_name <> 'alembic_version'))",
    )
    assert naive == []


def test_the_query_of_the_earlier_system_runs_as_it_stands(conn: Connection) -> None:
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")
    for number in range(12):
        for code, ms in ((None, 1000 * number), ("S1", 7)):
            conn.execute(
                "INSERT INTO sync_logs (job_name, run_id, store_code, status, message,"
                " duration_ms, run_time, snapshot_date)"
                " VALUES ('sync_user_daily', %s, %s, 'success', 'ok', %s, %s, %s)",
                [f"r{number}", code, ms, datetime(2026, 3, 1 + number, tzinfo=UTC), DAY.date],
            )
    with conn.cursor() as cursor:
        cursor.execute(sql.SQL(_SEED_QUERY))
        assert [column.name for column in cursor.description or ()] == [
            *("job_name", "status", "message", "duration_sec", "run_time")
        ]
        assert [line[3] for line in cursor.fetchall()] == list(range(11, 1, -1))


def test_the_next_months_have_their_partitions(conn: Connection) -> None:
    today = date.today()  # noqa: DTZ011 - as the upgrade does
    ahead = {f"video_daily_stats_{month:%Y_%m}" for month in _months(today)}
    assert ahead <= set(_partitions(conn))


@pytest.mark.parametrize("first", [date(2019, 12, 31), date(2031, 11, 30)])
def test_partitions_of_other_months_are_made_on_demand(conn: Connection, first: date) -> None:
    before = _partitions(conn)
    repository = StoreRepository(conn)
    repository.ensure_partitions(first)
    made = sorted(set(_partitions(conn)) - set(before))
    assert made == [f"video_daily_stats_{month:%Y_%m}" for month in _months(first)]
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")
    conn.execute(
        "INSERT INTO videos (video_id, store_code, first_seen_at, last_seen_at)"
        " VALUES ('1', 'S1', now(), now())"
    )
    last = _months(first, 5)[-1] - timedelta(days=1)
    for day in (first.replace(day=1), first, last):
        found = conn.execute(
            "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, observed_at)"
            " VALUES ('1', %s, 'S1', now()) ON CONFLICT DO NOTHING"
            " RETURNING tableoid::regclass::text",
            [day],
        ).fetchall()
        assert [item[0] for item in found] == [f"video_daily_stats_{day:%Y_%m}"]
    repository.ensure_partitions(first)
    assert sorted(set(_partitions(conn)) - set(before)) == made


def test_processes_that_make_the_same_partitions_at_once_agree(db_url: str) -> None:
    def make(_: int) -> int:
        with psycopg.connect(db_url, autocommit=True) as own:
            found = own.execute(
                "SELECT ensure_video_daily_stats_partitions('2040-01-15', 11)"
            ).fetchone()
        assert found is not None
        return int(found[0])

    assert sum(together(6, make)) == 12


def test_making_partitions_does_not_break_a_sync_that_writes(db_url: str, conn: Connection) -> None:
    # The page takes locks on videos, then on video_daily_stats; so must the new partition.
    for number in range(2):
        conn.execute("INSERT INTO stores (store_code, store_name) VALUES (%s, 'x')", [str(number)])
    StoreRepository(conn).ensure_partitions(DAY.date)
    done = threading.Event()

    def work(number: int) -> int:
        with psycopg.connect(db_url, autocommit=True) as own:
            if number == 2:
                try:
                    for year in range(2050, 2060):
                        own.execute(
                            "SELECT ensure_video_daily_stats_partitions(%s, 11)",
                            [date(year, 1, 1)],
                        )
                finally:
                    done.set()
                return 0
            pages = 0
            while not done.is_set():
                videos = [Video(video_id=f"{number}-{pages}-{item}") for item in range(20)]
                pages += 1
                StoreRepository(own).save_videos(run_of(str(number), DAY), videos, NOON)
            return pages

    pages = sum(together(3, work))
    assert pages > 0
    assert row(conn, "SELECT count(*) FROM video_daily_stats")["count"] == 20 * pages
