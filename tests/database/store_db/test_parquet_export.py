"""What is in the Parquet files, and what becomes of those that are there already?"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it has no types
import pytest

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db import parquet_export
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.parquet_export import Exported, export_parquet
from include.tiktok_sync.store_db.personal_data import personal_columns
from tests.database.commands import run_command

FIRST, SECOND = date(2026, 3, 30), date(2026, 3, 31)


@contextmanager
def no_bar(_total: int) -> Iterator[None]:
    yield None


@pytest.fixture
def filled(conn: Connection) -> Connection:
    conn.execute("SELECT ensure_video_daily_stats_partitions(%s, 1)", [FIRST])
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'Köln')")
    conn.execute(
        "INSERT INTO videos (video_id, store_code, title, duration, first_seen_at, last_seen_at)"
        " SELECT 'v' || n, 'S1', 'Title', NULL, now(), now() FROM generate_series(1, 5) AS n"
    )
    for day, late in ((FIRST, False), (SECOND, True)):
        conn.execute(
            "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count,"
            " observed_at, is_late) SELECT 'v' || n, %s, 'S1', nullif(n, 3),"
            " '2026-04-01 02:10+02', %s FROM generate_series(1, 5) AS n",
            [day, late],
        )
    conn.execute(
        "INSERT INTO user_daily_stats (store_code, snapshot_date, username, extra, observed_at)"
        """ VALUES ('S1', %s, 'koeln', '{"a": 1}', now())""",
        [FIRST],
    )
    return conn


def export(conn: Connection, folder: Path, **options: Any) -> dict[str, Exported]:
    done = export_parquet(conn, folder, progress=no_bar, **options)
    return {result.table: result for result in done}


def files(folder: Path) -> dict[str, int]:
    """Every file below a folder, hidden ones included, and when it was written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_row_of_every_day_is_there_with_its_types_and_nulls(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_export, "BATCH", 2)  # more than one row group

    done = export(filled, tmp_path / "out", only=["video_daily_stats"])

    assert done == {"video_daily_stats": Exported("video_daily_stats", 2, 10)}
    file = tmp_path / "out/video_daily_stats/snapshot_date=2026-03-31/video_daily_stats.parquet"
    found = pq.ParquetFile(file)
    assert found.num_row_groups == 3
    table = found.read()
    assert {field.name: str(field.type) for field in table.schema} == {
        "video_id": "string",
        "store_code": "string",
        "view_count": "int64",
        "like_count": "int64",
        "comment_count": "int64",
        "share_count": "int64",
        "observed_at": "timestamp[us, tz=UTC]",
        "is_late": "bool",
    }
    rows = table.to_pylist()
    assert [(row["video_id"], row["view_count"], row["is_late"]) for row in rows] == [
        ("v1", 1, True),
        ("v2", 2, True),
        ("v3", None, True),
        ("v4", 4, True),
        ("v5", 5, True),
    ]
    assert rows[0]["observed_at"] == datetime(2026, 4, 1, 0, 10, tzinfo=timezone.utc)
    # As readers find it: the day comes from the folder.
    whole = pq.read_table(tmp_path / "out/video_daily_stats")
    assert whole.num_rows == 10
    assert set(map(str, whole["snapshot_date"].to_pylist())) == {str(FIRST), str(SECOND)}


def test_personal_columns_and_secrets_stay_out_unless_names_are_asked_for(
    filled: Connection, tmp_path: Path
) -> None:
    closed = {(found.table, found.column) for found in personal_columns(filled)}
    closed.add(("stores", "store_name"))

    plain = export(filled, tmp_path / "plain")
    export(filled, tmp_path / "named", with_names=True)

    assert plain.keys() >= {"stores", "videos", "user_daily_stats", "video_daily_stats"}
    assert not plain.keys() & {"store_tokens", "business_tokens", "sync_logs", "store_audit"}
    for table in plain:
        schema = json.loads((tmp_path / "named" / table / "_schema.json").read_bytes())
        named = {column["name"]: column for column in schema["columns"]}
        assert {name for name, column in named.items() if column["personal"]} == {
            column for of, column in closed if of == table
        }
        schema = json.loads((tmp_path / "plain" / table / "_schema.json").read_bytes())
        assert {column["name"] for column in schema["columns"]} == {
            name for name, column in named.items() if not column["personal"]
        }
        for column in named.values():
            assert column["comment"], column
            assert column["postgres_type"] != "bytea"
    file = "user_daily_stats/snapshot_date=2026-03-30/user_daily_stats.parquet"
    (row,) = pq.ParquetFile(tmp_path / "named" / file).read().to_pylist()
    assert (row["username"], row["extra"], row["follower_count"]) == ("koeln", '{"a": 1}', None)
    assert "username" not in pq.ParquetFile(tmp_path / "plain" / file).schema_arrow.names


def test_a_repeated_export_replaces_its_days_and_no_others(
    filled: Connection, tmp_path: Path
) -> None:
    export(filled, tmp_path)
    before = files(tmp_path)
    filled.execute("UPDATE video_daily_stats SET view_count = 77 WHERE video_id = 'v1'")

    export(filled, tmp_path, since=SECOND, only=["video_daily_stats"])

    after = files(tmp_path)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {
        "video_daily_stats/_schema.json",
        "video_daily_stats/snapshot_date=2026-03-31/video_daily_stats.parquet",
    }
    whole = pq.read_table(tmp_path / "video_daily_stats").to_pylist()
    assert sorted(row["view_count"] for row in whole if row["video_id"] == "v1") == [1, 77]


def test_a_day_that_was_deleted_loses_its_file(filled: Connection, tmp_path: Path) -> None:
    export(filled, tmp_path)
    (tmp_path / "video_daily_stats/snapshot_date=other").mkdir()
    filled.execute("DELETE FROM video_daily_stats")

    kept = export(filled, tmp_path, until=FIRST)["video_daily_stats"]
    assert (kept.rows, kept.removed_days) == (0, 1)

    done = export(filled, tmp_path)["video_daily_stats"]
    assert (done.rows, done.removed_days) == (0, 1)
    assert [name for name in files(tmp_path) if name.startswith("video_daily")] == [
        "video_daily_stats/_schema.json"
    ]


def test_an_export_that_breaks_leaves_the_file_that_was_there(
    filled: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(filled, tmp_path)
    before = files(tmp_path)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="cannot be written: No space left on device"):
        export(filled, tmp_path)

    assert files(tmp_path) == before


def test_names_and_no_names_are_not_mixed_in_a_folder(filled: Connection, tmp_path: Path) -> None:
    export(filled, tmp_path, with_names=True)
    before = files(tmp_path)

    with pytest.raises(ConfigurationError, match="was exported with names"):
        export(filled, tmp_path, since=SECOND)

    assert files(tmp_path) == before


def test_two_exports_do_not_write_into_one_folder(filled: Connection, tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="Another export into"):
            export(filled, tmp_path)
    finally:
        os.close(other)


def test_the_command_says_what_it_wrote_and_what_is_wrong(
    filled: Connection, db_url: str, tmp_path: Path
) -> None:
    del filled
    env = {"STORE_DB_URL": db_url}
    (tmp_path / "file").write_text("", encoding="utf-8")
    # As where pyarrow is not installed.
    (tmp_path / "pyarrow.py").write_text("raise ImportError", encoding="utf-8")

    def run(*args: str, **more: str) -> tuple[int, str]:
        done = run_command({**env, **more}, "export", "parquet", *args)
        return done.returncode, done.stdout + done.stderr

    status, said = run("--out", str(tmp_path / "out"), "--table", "user_daily_stats")
    assert (status, said) == (
        0,
        f"user_daily_stats: 1 rows on 1 days\nWritten to {tmp_path / 'out'}.\n",
    )
    for problem, args in {
        "--until 2026-03-30 is before --since 2026-03-31.": [
            *("--out", "x", "--since", "2026-03-31", "--until", "2026-03-30")
        ],
        "store_tokens: not exported. There are ": [
            "--out",
            str(tmp_path),
            "--table",
            "store_tokens",
        ],
        f"{tmp_path / 'file'} cannot be written: ": ["--out", str(tmp_path / "file")],
    }.items():
        status, said = run(*args)
        assert (status, said.startswith(f"error: {problem}")) == (2, True), said
    status, said = run("--out", str(tmp_path / "out"), PYTHONPATH=str(tmp_path))
    assert (status, "pip install -r requirements-parquet.txt" in said) == (2, True), said
