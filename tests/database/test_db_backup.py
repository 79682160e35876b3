"""Backup and restore, as docs/operations.md says: dump, lose the server, restore, sync on."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from cryptography.fernet import Fernet
from psycopg import sql

from include.local.postgres import binary
from include.tiktok_sync.connect_role import check_rights
from include.tiktok_sync.doctor import examine
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.roles import prepare
from include.tiktok_sync.store_run import USER_JOB, VIDEO_JOB
from tests.database.bench import Bench
from tests.postgres_server import PostgresServer, running_postgres

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "sync-Pa55word"


@pytest.fixture
def new_server() -> Iterator[PostgresServer]:
    """Where the backup is restored: an empty server, as after a loss."""
    with (
        tempfile.TemporaryDirectory(prefix="tiktok-restore-", ignore_cleanup_errors=True) as name,
        running_postgres(Path(name), "fsync=off", "shared_buffers=32MB") as server,
    ):
        yield server


def run(script: str, *, first: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script of deploy/; programs in ``first`` stand before Postgres's own."""
    path = f"{first}:" if first else ""
    return subprocess.run(  # noqa: S603 - the product's own scripts
        ["/bin/sh", str(ROOT / "deploy" / script)],
        env={"PATH": f"{path}{binary('psql').parent}:/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_restored_database_syncs_on_and_keeps_every_row(
    bench: Bench, new_server: PostgresServer, tmp_path: Path
) -> None:
    bench.import_stores()
    code = bench.code_with_videos()
    for job in (USER_JOB, VIDEO_JOB):
        bench.sync(job, code)
    before = bench.dump()
    url = new_server.url("tiktok_sync").replace(
        f"postgres:{new_server.password}", f"tiktok_sync:{PASSWORD}"
    )

    saved = run("backup.sh", STORE_DB_DIRECT_URL=bench.db_url, BACKUP_FOLDER=str(tmp_path))

    assert saved.returncode == 0, saved.stderr
    (file,) = tmp_path.iterdir()
    assert re.fullmatch(r"tiktok_sync-\d{8}T\d{6}Z\.dump", file.name)
    assert file.stat().st_mode & 0o077 == 0, "a backup is for its owner's eyes"
    prepare(new_server.url(), url, analyst_password="analyst-Pa55word")
    restored = run("restore.sh", STORE_DB_DIRECT_URL=url, BACKUP_FILE=str(file))
    assert restored.returncode == 0, restored.stderr
    # Roles are the server's own; their grants on what was restored are given by preparing again.
    prepare(new_server.url(), url, analyst_password="analyst-Pa55word")

    with psycopg.connect(url, autocommit=True) as conn:
        after = Bench(url, conn, bench.sandbox, bench.settings)
        assert after.dump() == before
        keys = ",".join(bench.settings.token_keys)
        found = {
            f.check: f.status for f in examine({"STORE_DB_URL": url, "TIKTOK_TOKEN_KEYS": keys})
        }
        assert (found["schema"], found["stored tokens"], found["rights"]) == ("ok", "ok", "ok")
        # The next sync, also of a store whose token has ended meanwhile.
        for job, store in ((USER_JOB, code), (VIDEO_JOB, code), (USER_JOB, "S004")):
            after.sync(job, store, run_id="after the restore")
        # Without the key a backup is nothing.
        other = after.with_settings(token_keys=(Fernet.generate_key().decode(),))
        with pytest.raises(ConfigurationError, match="cannot be decrypted"):
            other.sync(USER_JOB, code, run_id="without the key")
    with psycopg.connect(
        url.replace(f"tiktok_sync:{PASSWORD}", "analyst:analyst-Pa55word")
    ) as conn:
        assert conn.execute("SELECT count(*) > 0 FROM account_growth_daily").fetchone() == (True,)


def test_a_restore_refuses_to_mix_with_what_is_there(bench: Bench, tmp_path: Path) -> None:
    bench.import_stores("S001")
    saved = run("backup.sh", STORE_DB_DIRECT_URL=bench.db_url, BACKUP_FOLDER=str(tmp_path))
    (file,) = tmp_path.iterdir()

    done = run("restore.sh", STORE_DB_DIRECT_URL=bench.db_url, BACKUP_FILE=str(file))

    assert saved.returncode == 0
    assert done.returncode == 1
    assert "holds 1 stores" in done.stderr
    assert bench.row("SELECT count(*) AS n FROM stores")["n"] == 1


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


def stand_in(folder: Path, program: str, script: str) -> Path:
    """A folder with a program that stands before the real one; ``REAL`` is the real one's path."""
    folder.mkdir(exist_ok=True)
    file = folder / program
    file.write_text(f"#!/bin/sh\nREAL={binary(program)}\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return folder


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


def test_a_large_object_of_a_reader_stops_no_backup(
    new_server: PostgresServer, tmp_path: Path
) -> None:
    """Made before the right was taken away, or on a server where it cannot be."""
    url, analyst = prepared(new_server)
    with psycopg.connect(new_server.url("tiktok_sync")) as conn:
        conn.execute("GRANT EXECUTE ON FUNCTION lo_from_bytea(oid, bytea) TO PUBLIC")
    with psycopg.connect(analyst) as conn:
        conn.execute("SET default_transaction_read_only = off")
        conn.commit()
        conn.execute("SELECT lo_from_bytea(0, 'mine')")
    with psycopg.connect(url) as conn:
        conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")

    done = run("backup.sh", STORE_DB_DIRECT_URL=url, BACKUP_FOLDER=str(tmp_path))

    assert done.returncode == 0, done.stderr


def prepared(server: PostgresServer) -> tuple[str, str]:
    """URLs of the sync's role and the analyst's on a prepared server."""
    urls = [
        server.url("tiktok_sync").replace(f"postgres:{server.password}", f"{role}:{PASSWORD}")
        for role in ("tiktok_sync", "analyst")
    ]
    prepare(server.url(), urls[0], analyst_password=PASSWORD)
    return urls[0], urls[1]


def fill(url: str, stores: int) -> dict[str, int]:
    """Stores with tokens and figures; gives their numbers."""
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO stores (store_code, store_name)"
            " SELECT 'S' || n, 'Store' FROM generate_series(1, %s) AS n",
            [stores],
        )
        conn.execute(
            "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
            " refresh_expires_at) SELECT store_code, store_code, '', sha512(store_code::bytea),"
            " sha512(store_code::bytea), now() + interval '300 days' FROM stores"
        )
        conn.execute(
            "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, observed_at)"
            " SELECT store_code, current_date - day, day, now() FROM stores,"
            " generate_series(1, 20) AS day"
        )
    return counted(url)


def counted(url: str) -> dict[str, int]:
    with psycopg.connect(url) as conn:
        return {
            name: (conn.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,))[0]  # noqa: S608 - names of our own tables
            for name in ("stores", "store_tokens", "user_daily_stats", "backups")
        }


def test_no_restore_empties_a_database_of_300_stores(
    new_server: PostgresServer, tmp_path: Path
) -> None:
    url, _ = prepared(new_server)
    before = fill(url, 300)
    folder = tmp_path / "dumps"
    folder.mkdir()
    assert run("backup.sh", STORE_DB_DIRECT_URL=url, BACKUP_FOLDER=str(folder)).returncode == 0
    before["backups"] += 1
    (dump,) = folder.iterdir()
    nonsense, half, cut = (tmp_path / f"{name}.dump" for name in ("nonsense", "half", "cut"))
    nonsense.write_text("not a dump", encoding="utf-8")
    half.write_bytes(dump.read_bytes()[: dump.stat().st_size // 3])  # ends in the contents
    cut.write_bytes(dump.read_bytes()[:-200])  # ends in the data
    mark = tmp_path / "refused once"
    refused = stand_in(  # the first connection; those after it succeed
        tmp_path / "refused",
        "psql",
        f"if [ ! -e '{mark}' ]; then touch '{mark}'; exit 2; fi; exec $REAL \"$@\"",
    )
    nowhere = new_server.url("nowhere")

    for said, first, env in (
        ("holds 300 stores already", None, {"BACKUP_FILE": str(dump)}),
        ("nothing was restored", refused, {"BACKUP_FILE": str(dump)}),
        ("there is no file", None, {"BACKUP_FILE": str(tmp_path / "none.dump")}),
        ("there is no file", None, {"BACKUP_FILE": str(folder)}),
        ("not a whole dump", None, {"BACKUP_FILE": str(nonsense)}),
        ("not a whole dump", None, {"BACKUP_FILE": str(half)}),
        ("is damaged", None, {"BACKUP_FILE": str(cut)}),
        ("nothing was restored", None, {"BACKUP_FILE": str(dump), "STORE_DB_DIRECT_URL": nowhere}),
        ("must be a URL", None, {"BACKUP_FILE": str(dump), "STORE_DB_DIRECT_URL": "host=a"}),
    ):
        done = run("restore.sh", first=first, **{"STORE_DB_DIRECT_URL": url, **env})
        assert done.returncode != 0, said
        assert said in done.stderr
        assert counted(url) == before, said


@pytest.mark.parametrize(
    "script",
    [
        # Ends early with an error, as when its disk or its network is gone.
        'case $* in *--file=-*) $REAL "$@" | head -c 60000; exit 1;; *) exec $REAL "$@";; esac',
        # Ends early and calls it a success.
        'case $* in *--file=-*) $REAL "$@" | head -c 60000;; *) exec $REAL "$@";; esac',
        # A statement of the dump fails.
        (
            "case $* in *--file=-*) $REAL \"$@\" | sed 's/^CREATE INDEX/SELECT 1 \\/ 0; &/';;"
            ' *) exec $REAL "$@";; esac'
        ),
    ],
)
def test_a_restore_that_breaks_half_way_leaves_the_database_as_it_was(
    new_server: PostgresServer, tmp_path: Path, script: str
) -> None:
    url, analyst = prepared(new_server)
    fill(url, 300)
    assert run("backup.sh", STORE_DB_DIRECT_URL=url, BACKUP_FOLDER=str(tmp_path)).returncode == 0
    (dump,) = tmp_path.iterdir()
    with psycopg.connect(url) as conn:
        conn.execute("DELETE FROM stores")
        conn.execute("INSERT INTO store_audit (store_code, action, actor) VALUES ('X', 'x', 'x')")

    done = run(
        "restore.sh",
        first=stand_in(tmp_path / "bin", "pg_restore", script),
        STORE_DB_DIRECT_URL=url,
        BACKUP_FILE=str(dump),
    )

    assert done.returncode == 1
    assert "the database is as it was before" in done.stderr
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT count(*) FROM store_audit").fetchone() == (1,)
    with psycopg.connect(analyst) as conn:
        conn.execute("SELECT * FROM sync_freshness")
    # And the same dump, whole, is restored afterwards.
    done = run("restore.sh", STORE_DB_DIRECT_URL=url, BACKUP_FILE=str(dump))
    assert done.returncode == 0, done.stderr
    assert counted(url)["stores"] == 300


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


def test_a_restore_leaves_no_function_open_for_longer_than_it_says(
    new_server: PostgresServer, tmp_path: Path
) -> None:
    url, _ = prepared(new_server)
    fill(url, 1)
    assert run("backup.sh", STORE_DB_DIRECT_URL=url, BACKUP_FOLDER=str(tmp_path)).returncode == 0
    (dump,) = tmp_path.iterdir()
    with psycopg.connect(url) as conn:
        conn.execute("DELETE FROM stores")
    done = run("restore.sh", STORE_DB_DIRECT_URL=url, BACKUP_FILE=str(dump))
    assert done.returncode == 0, done.stderr
    connect_url = url.replace("tiktok_sync:", "tiktok_connect:")

    def rights() -> str:
        found = examine({"STORE_DB_URL": url, "TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode()})
        return next(f.status for f in found if f.check == "rights")

    assert rights() == "fail"
    prepare(new_server.url(), url, connect_password=PASSWORD)
    assert rights() == "ok"
    with psycopg.connect(connect_url, autocommit=True) as conn:
        check_rights(conn)
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute("GRANT EXECUTE ON FUNCTION connect_verdict TO PUBLIC")
        with pytest.raises(ConfigurationError, match=r"connect_verdict.*db prepare"):
            check_rights(conn)
    prepare(new_server.url(), url, connect_password=PASSWORD)
    with psycopg.connect(connect_url, autocommit=True) as conn:
        check_rights(conn)
