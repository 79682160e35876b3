"""A backup that fails, lies or finds nothing costs no older one; deploy/backup.sh."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from tests.database.bench import Bench
from tests.database.servers.dumps import PASSWORD, fill, prepared, run, stand_in
from tests.postgres_server import PostgresServer


def test_old_backups_go_and_a_failed_one_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.import_stores("S001")
    for day in range(1, 5):
        (tmp_path / f"tiktok_sync-2026010{day}T000000Z.dump").write_text("old", encoding="utf-8")

    kept = run(
        "backup.sh",
        STORE_DB_DIRECT_URL=bench.db_url,
        BACKUP_FOLDER=str(tmp_path),
        BACKUP_KEEP="3",
    )
    names = sorted(file.name for file in tmp_path.iterdir())
    failed = run(
        "backup.sh",
        STORE_DB_DIRECT_URL="postgresql://nobody@127.0.0.1:1/none",
        BACKUP_FOLDER=str(tmp_path),
        BACKUP_KEEP="1",
    )

    assert kept.returncode == 0, kept.stderr
    assert names[:2] == ["tiktok_sync-20260103T000000Z.dump", "tiktok_sync-20260104T000000Z.dump"]
    assert len(names) == 3
    assert failed.returncode != 0
    assert "older dumps are kept" in failed.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    noted = bench.row("SELECT file_name, bytes, stores FROM backups")
    assert noted == {
        "file_name": names[-1],
        "bytes": (tmp_path / names[-1]).stat().st_size,
        "stores": 1,
    }


@pytest.fixture
def old_dumps(tmp_path: Path) -> list[str]:
    """Names of three dumps that are there already, and of a file that is none of ours."""
    names = [f"tiktok_sync-2026010{day}T000000Z.dump" for day in range(1, 4)]
    for name in (*names, "tiktok_sync-before-the-move.dump"):
        (tmp_path / name).write_text("old", encoding="utf-8")
    return names


@pytest.mark.parametrize(
    ("program", "script"),
    [
        # The disk is full half-way; the server is gone half-way.
        ("pg_dump", "for last; do :; done; echo half >${last#--file=}; exit 1"),
        # A dump that pg_dump called good and nobody can read back.
        ("pg_dump", '$REAL "$@" && for last; do :; done && truncate -s -20000 ${last#--file=}'),
    ],
)
def test_a_backup_that_fails_or_cannot_be_read_back_costs_no_older_one(
    bench: Bench, tmp_path: Path, old_dumps: list[str], program: str, script: str
) -> None:
    bench.import_stores()
    broken = stand_in(tmp_path / "bin", program, script)

    done = run(
        "backup.sh",
        first=broken,
        STORE_DB_DIRECT_URL=bench.db_url,
        BACKUP_FOLDER=str(tmp_path),
        BACKUP_KEEP="1",
    )

    assert done.returncode == 1
    assert "older dumps are kept" in done.stderr
    left = {file.name for file in tmp_path.iterdir()} - {"bin"}
    assert left == {*old_dumps, "tiktok_sync-before-the-move.dump"}
    assert bench.row("SELECT count(*) AS n FROM backups")["n"] == 0


def test_dumps_of_an_emptied_database_push_out_no_full_one(
    bench: Bench, tmp_path: Path, old_dumps: list[str]
) -> None:
    (tmp_path / "tiktok_sync-20260104T000000Z.dump.part").write_text("killed", encoding="utf-8")

    done = run(
        "backup.sh", STORE_DB_DIRECT_URL=bench.db_url, BACKUP_FOLDER=str(tmp_path), BACKUP_KEEP="1"
    )

    assert done.returncode == 1
    assert "holds no store" in done.stderr
    left = {file.name for file in tmp_path.iterdir()}
    assert {*old_dumps, "tiktok_sync-before-the-move.dump"} < left
    assert len(left) == len(old_dumps) + 2  # the new one, and what a killed backup left is gone


@pytest.mark.parametrize("keep", ["0", "00", "-1", "two"])
def test_a_number_that_would_keep_nothing_is_refused(
    bench: Bench, tmp_path: Path, old_dumps: list[str], keep: str
) -> None:
    bench.import_stores("S001")

    done = run(
        "backup.sh", STORE_DB_DIRECT_URL=bench.db_url, BACKUP_FOLDER=str(tmp_path), BACKUP_KEEP=keep
    )

    assert done.returncode == 2
    assert "BACKUP_KEEP" in done.stderr
    assert set(old_dumps) < {file.name for file in tmp_path.iterdir()}


def test_a_backup_that_is_older_by_its_name_is_not_removed_at_once(
    bench: Bench, tmp_path: Path
) -> None:
    bench.import_stores("S001")
    ahead = "tiktok_sync-29990101T000000Z.dump"
    (tmp_path / ahead).write_text("made while the clock was ahead", encoding="utf-8")

    done = run(
        "backup.sh", STORE_DB_DIRECT_URL=bench.db_url, BACKUP_FOLDER=str(tmp_path), BACKUP_KEEP="1"
    )

    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == 2
    assert (tmp_path / ahead).exists()


def test_what_another_role_made_stops_no_backup_and_is_not_in_it(
    new_server: PostgresServer, tmp_path: Path
) -> None:
    """A large object from before the right was taken away; a schema of models, such as dbt's."""
    url, analyst = prepared(new_server)
    with psycopg.connect(new_server.url("tiktok_sync")) as conn:
        conn.execute("GRANT EXECUTE ON FUNCTION lo_from_bytea(oid, bytea) TO PUBLIC")
        for schema in ("dbt_stores", 'odd "name" *'):
            name = sql.Identifier(schema)
            conn.execute(sql.SQL("CREATE SCHEMA {}").format(name))
            conn.execute(sql.SQL("CREATE TABLE {}.models (id integer)").format(name))
    with psycopg.connect(analyst) as conn:
        conn.execute("SET default_transaction_read_only = off")
        conn.commit()
        conn.execute("SELECT lo_from_bytea(0, 'mine')")
    with psycopg.connect(url) as conn:
        conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")

    done = run("backup.sh", STORE_DB_DIRECT_URL=url, BACKUP_FOLDER=str(tmp_path))

    assert done.returncode == 0, done.stderr
    (dump,) = tmp_path.glob("*.dump")
    assert b"models" not in dump.read_bytes()


def test_no_password_is_an_argument_of_a_program(
    new_server: PostgresServer, tmp_path: Path
) -> None:
    """`ps` shows arguments to every user of the machine."""
    hard = "a%b@c:d/e?é'\" \\x"
    url, _ = prepared(new_server)
    with psycopg.connect(new_server.url()) as conn:
        conn.execute(sql.SQL("ALTER ROLE tiktok_sync PASSWORD {}").format(sql.Literal(hard)))
    url = url.replace(PASSWORD, quote(hard, safe=""))
    fill(url, 1)
    seen = tmp_path / "seen"
    bin_folder = tmp_path / "bin"
    for program in ("psql", "pg_dump", "pg_restore"):
        stand_in(bin_folder, program, f'echo "{program} $*" >>{seen}; exec $REAL "$@"')
    folder = tmp_path / "dumps"
    folder.mkdir()

    saved = run("backup.sh", first=bin_folder, STORE_DB_DIRECT_URL=url, BACKUP_FOLDER=str(folder))
    (dump,) = folder.iterdir()
    with psycopg.connect(url) as conn:
        conn.execute("DELETE FROM stores")
    done = run("restore.sh", first=bin_folder, STORE_DB_DIRECT_URL=url, BACKUP_FILE=str(dump))

    assert (saved.returncode, done.returncode) == (0, 0), saved.stderr + done.stderr
    arguments = seen.read_text(encoding="utf-8")
    assert {"psql", "pg_dump", "pg_restore"} == {line.split()[0] for line in arguments.splitlines()}
    assert quote(hard, safe="") not in arguments
    assert hard not in arguments
    assert "tiktok_sync@127.0.0.1" in arguments
