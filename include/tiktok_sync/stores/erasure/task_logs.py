"""Do Airflow's log files on this machine name a store's account? They are overwritten in place."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from include.tiktok_sync.stores.erasure.redaction import Redactor

_OF_DAG = "dag_id="
"""Airflow's folders of task logs are named so (``log_filename_template``)."""

_PACKED = frozenset({".gz", ".bz2", ".xz", ".zst", ".zip"})


@dataclass(frozen=True)
class LogFiles:
    """What was found in the files below a folder.

    Attributes:
        changed: Files with something to hide; hidden by now unless it was a dry run.
        unread: Files that could not be read or written, or are compressed; folders that could not
            be listed.
    """

    changed: int
    unread: tuple[Path, ...]


def hide_in_files(
    folder: Path, redactor: Redactor, *, dags: Collection[str], dry_run: bool
) -> LogFiles:
    """Hide it in every file below the folder but those of other Dags' tasks.

    A line keeps its length, so that a process that is still writing to a file loses nothing.
    """
    changed = 0
    unread: list[Path] = []
    for path in _files(folder, dags, unread):
        if path.suffix in _PACKED:
            unread.append(path)
            continue
        try:
            changed += _hide_in(path, redactor, dry_run=dry_run)
        except OSError:
            unread.append(path)
    return LogFiles(changed, tuple(unread))


def _files(folder: Path, dags: Collection[str], unread: list[Path]) -> Iterator[Path]:
    def not_listed(error: OSError) -> None:
        unread.append(Path(error.filename))

    for parent, names, files in os.walk(folder, onerror=not_listed):
        names[:] = sorted(name for name in names if not _of_others(name, dags))
        for name in sorted(files):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _of_others(name: str, dags: Collection[str]) -> bool:
    return name.startswith(_OF_DAG) and name.removeprefix(_OF_DAG) not in dags


def _hide_in(path: Path, redactor: Redactor, *, dry_run: bool) -> bool:
    found = []
    at = 0
    with path.open("rb") as file:
        for line in file:
            text = line.decode("utf-8", "surrogateescape")
            hidden = redactor.hide(text)
            if hidden is not text:
                found.append((at, hidden.encode("utf-8", "surrogateescape")))
            at += len(line)
    if found and not dry_run:
        with path.open("r+b") as file:
            for place, written in found:
                file.seek(place)
                file.write(written)
    return bool(found)
