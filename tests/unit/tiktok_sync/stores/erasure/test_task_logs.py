"""Are log files overwritten in place, and only those that are ours?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from include.tiktok_sync.stores.erasure.redaction import Redactor
from include.tiktok_sync.stores.erasure.task_logs import hide_in_files

NAME = "Café Köln 🎉"
NOBODY = 65534


def hide(folder: Path, *, dry_run: bool = False) -> tuple[int, list[str]]:
    found = hide_in_files(folder, Redactor([NAME]), dags={"ours"}, dry_run=dry_run)
    return found.changed, [path.name for path in found.unread]


def fill(folder: Path) -> Path:
    for dag in ("ours", "theirs"):
        run = folder / f"dag_id={dag}" / "run_id=r"
        run.mkdir(parents=True)
        (run / "attempt=1.log").write_bytes(f"one {NAME}\n\xff".encode() + b"\xff\nlast")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "old.log.gz").touch()
    (folder / "link.log").symlink_to(folder / "dag_id=theirs/run_id=r/attempt=1.log")
    return folder


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return fill(tmp_path)


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


@pytest.fixture
def of_nobody() -> Iterator[Path]:
    """A folder of the user the test goes on as: root may read everything, so it is not root."""
    root = os.geteuid() == 0
    with TemporaryDirectory() as name:
        folder = fill(Path(name))
        if root:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)


def test_what_cannot_be_read_is_named(of_nobody: Path) -> None:
    run = of_nobody / "dag_id=ours/run_id=r"
    (run / "attempt=1.log").chmod(0)
    assert hide(of_nobody) == (0, ["attempt=1.log", "old.log.gz"])
    run.chmod(0)
    assert hide(of_nobody) == (0, ["run_id=r", "old.log.gz"])
    run.chmod(0o700)
