"""Backup and restore, as docs/operations.md says: dump, lose the server, restore, sync on."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.local.postgres import binary
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


def run(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the product's own scripts
        ["/bin/sh", str(ROOT / "deploy" / script)],
        env={"PATH": f"{binary('psql').parent}:/usr/bin:/bin", **env},
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
        assert (found["schema"], found["stored tokens"]) == ("ok", "ok")
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
    assert sorted(file.name for file in tmp_path.iterdir()) == names
