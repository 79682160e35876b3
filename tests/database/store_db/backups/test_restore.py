"""Restore as docs/operations.md says, and nothing lost by one that fails; deploy/restore.sh."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.doctor.examination import examine
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.store_db.connect_role import check_rights
from include.tiktok_sync.store_db.roles import prepare
from tests.database.bench import Bench
from tests.database.servers.dumps import PASSWORD, counted, dumped, fill, prepared, run, stand_in
from tests.postgres_server import PostgresServer


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


def test_no_restore_empties_a_database_of_300_stores(
    new_server: PostgresServer, tmp_path: Path
) -> None:
    url, _ = prepared(new_server)
    before = fill(url, 300)
    folder = tmp_path / "dumps"
    folder.mkdir()
    dump = dumped(url, folder)
    before["backups"] += 1
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
    dump = dumped(url, tmp_path)
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
        conn.execute("SELECT store_code, state FROM sync_freshness")
    # And the same dump, whole, is restored afterwards.
    done = run("restore.sh", STORE_DB_DIRECT_URL=url, BACKUP_FILE=str(dump))
    assert done.returncode == 0, done.stderr
    assert counted(url)["stores"] == 300


def test_a_restore_leaves_no_function_open_for_longer_than_it_says(
    new_server: PostgresServer, tmp_path: Path
) -> None:
    url, _ = prepared(new_server)
    fill(url, 1)
    dump = dumped(url, tmp_path)
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
