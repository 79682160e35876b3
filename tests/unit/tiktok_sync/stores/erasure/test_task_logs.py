"""Are log files overwritten in place, and only those that are ours?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from include.tiktok_sync.stores.erasure.redaction import Redactor
from include.tiktok_sync.stores.erasure.task_logs import hide_in_files

NAME = "Café Köln 🎉"


def hide(folder: Path, *, dry_run: bool = False) -> tuple[int, list[str]]:
    found = hide_in_files(folder, Redactor([NAME]), dags={"ours"}, dry_run=dry_run)
    return found.changed, [path.name for path in found.unread]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for dag in ("ours", "theirs"):
        folder = tmp_path / f"dag_id={dag}" / "run_id=r"
        folder.mkdir(parents=True)
        (folder / "attempt=1.log").write_bytes(f"one {NAME}\n\xff".encode() + b"\xff\nlast")
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "old.log.gz").touch()
    (tmp_path / "link.log").symlink_to(tmp_path / "dag_id=theirs/run_id=r/attempt=1.log")
    return tmp_path


def test_a_file_keeps_its_size_and_a_writer_loses_nothing(logs: Path) -> None:
    file = logs / "dag_id=ours/run_id=r/attempt=1.log"
    before, inode = file.read_bytes(), file.stat().st_ino
    with file.open("ab") as writer:
        assert hide(logs) == (1, ["old.log.gz"])
        writer.write(b"\nmore")
    stars = b"*" * len(NAME.encode())
    assert file.read_bytes() == before.replace(NAME.encode(), stars) + b"\nmore"
    assert file.stat().st_ino == inode
    assert NAME in (logs / "dag_id=theirs/run_id=r/attempt=1.log").read_text(errors="replace")
    assert hide(logs) == (0, ["old.log.gz"])


def test_a_dry_run_counts_and_changes_nothing(logs: Path) -> None:
    file = logs / "dag_id=ours/run_id=r/attempt=1.log"
    before = file.read_bytes()
    assert hide(logs, dry_run=True) == (1, ["old.log.gz"])
    assert file.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_named(logs: Path) -> None:
    file = logs / "dag_id=ours/run_id=r/attempt=1.log"
    file.chmod(0)
    assert hide(logs) == (0, ["attempt=1.log", "old.log.gz"])
