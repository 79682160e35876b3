"""Bring stores in from a CSV: good rows are loaded, bad ones named by line and reason."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Protocol, TextIO

from include.tiktok_sync import audit
from include.tiktok_sync.database import Connection
from include.tiktok_sync.errors import DataError
from include.tiktok_sync.models import KNOWN_SCOPES, OTHER_SCOPES
from include.tiktok_sync.token_store import split_scope, status_for_scope
from include.tiktok_sync.vault import TokenVault

COLUMNS = (
    "store_code",
    "store_name",
    "region",
    "open_id",
    "access_token",
    "access_expires_at",
    "refresh_token",
    "refresh_expires_at",
    "scope",
)

_OPTIONAL = frozenset({"region"})

GRANT_COLUMNS = COLUMNS[3:]
"""A store may come without a grant, to be connected later: then all of these are left out."""

NO_TOKENS_HERE = (
    "it brings tokens, which are not taken here: load it with stores import, or without its tokens"
)

_SAVE_STORE = """
INSERT INTO stores (store_code, store_name, region)
VALUES (%(store_code)s, %(store_name)s, %(region)s)
ON CONFLICT (store_code) DO UPDATE SET
    store_name = excluded.store_name, region = excluded.region, updated_at = now()
"""

_SAVE_TOKENS = """
INSERT INTO store_tokens AS old (
    store_code, open_id, scope, access_token, access_expires_at, refresh_token,
    refresh_expires_at, status, connected_at, app_fingerprint)
VALUES (
    %(store_code)s, %(open_id)s, %(scope)s, %(access_token)s, %(access_expires_at)s,
    %(refresh_token)s, %(refresh_expires_at)s, %(status)s, now(), %(app_fingerprint)s)
ON CONFLICT (store_code) DO UPDATE SET
    open_id = excluded.open_id, scope = excluded.scope, access_token = excluded.access_token,
    access_expires_at = excluded.access_expires_at, refresh_token = excluded.refresh_token,
    refresh_expires_at = excluded.refresh_expires_at, status = excluded.status,
    status_reason = NULL, connected_at = excluded.connected_at,
    app_fingerprint = excluded.app_fingerprint,
    status_since = CASE WHEN old.status = excluded.status THEN old.status_since ELSE now() END,
    updated_at = now(), refresh_started_at = NULL
"""


class _Reader(Protocol):
    """A ``csv.reader``, whose type the standard library does not name."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


@dataclass(frozen=True)
class RowProblem:
    """A line that was not loaded. ``line`` counts from 1, the header included."""

    line: int
    reason: str


@dataclass
class ImportReport:
    """What came of a file."""

    loaded: list[str] = field(default_factory=list)
    without_grant: list[str] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)


def import_stores(
    source: TextIO,
    conn: Connection,
    vault: TokenVault | None,
    *,
    actor: str | None = None,
    app_fingerprint: str | None = None,
) -> ImportReport:
    """Load every good row of a CSV, all in one transaction.

    A store that is there already gets the row's name, region and tokens: that is also how a
    store with a dead grant is connected again. A row without a grant leaves the store's own as it
    is. Whether it is active is left as it is too.

    Args:
        source: Opened with ``newline=""``; header :data:`COLUMNS` in any order, with or without
            :data:`GRANT_COLUMNS`.
        conn: Autocommit connection.
        vault: Encrypts the tokens; ``None`` = a row that brings tokens is refused.
        actor: Who imports, for the audit; ``None`` = the user of this process.
        app_fingerprint: Names the app that gave the tokens; ``None`` = not known.

    Raises:
        DataError: The header lacks a column, or names one twice or an unknown one; nothing was
            loaded.
    """
    reader = csv.reader(source, strict=True)
    header = _header(reader)
    report = ImportReport()
    rows: list[dict[str, object]] = []
    line_of: dict[str, int] = {}
    removed = _removed(conn)
    for line, values in _lines(reader, report):
        cells = dict(zip(header, values, strict=False))
        code = cells.get("store_code", "").strip()
        problem = _problem_of_shape(values, cells, header) or _problem_of_values(cells)
        if problem is None and vault is None and _has_grant(cells):
            problem = NO_TOKENS_HERE
        if problem is None and code in line_of:
            problem = f"store_code {code} is on line {line_of[code]} already"
        if problem is None and code in removed:
            problem = f"store {code} has left; take it back in first: stores resume {code}"
        if problem is not None:
            report.problems.append(RowProblem(line, problem))
            continue
        line_of[code] = line
        rows.append(_row(cells, vault))
    report.loaded = list(line_of)
    report.without_grant = [str(row["store_code"]) for row in rows if "open_id" not in row]
    rows = [{**row, "app_fingerprint": app_fingerprint} for row in rows]
    _save(conn, rows, report, actor or audit.operating_system_user())
    return report


def _removed(conn: Connection) -> set[str]:
    query = "SELECT store_code FROM stores WHERE removed_at IS NOT NULL"
    return {row[0] for row in conn.execute(query).fetchall()}


def _save(
    conn: Connection, rows: Sequence[Mapping[str, object]], report: ImportReport, actor: str
) -> None:
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(_SAVE_STORE, rows)
        cursor.executemany(_SAVE_TOKENS, [row for row in rows if "open_id" in row])
        connected = [code for code in report.loaded if code not in set(report.without_grant)]
        for codes, with_grant in ((connected, True), (report.without_grant, False)):
            details = {"with_grant": with_grant}
            audit.record(conn, "import", codes, actor=actor, details=details)


def _header(reader: _Reader) -> list[str]:
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        message = f"The first line is not readable as CSV: {error}."
        raise DataError(message) from error
    wanted = COLUMNS if set(names) & set(GRANT_COLUMNS) else COLUMNS[:3]
    missing = [name for name in wanted if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    if missing:
        message = (
            f"The CSV's first line lacks {', '.join(missing)}. It must be: {','.join(COLUMNS)}"
        )
        raise DataError(message)
    if unknown:
        message = f"The CSV has unknown columns: {', '.join(unknown)}. Remove them."
        raise DataError(message)
    if len(names) > len(wanted):
        message = f"The CSV's first line names a column twice: {','.join(names)}"
        raise DataError(message)
    return names


def _lines(reader: _Reader, report: ImportReport) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line that it begins on (a quoted value may run over several)."""
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # What follows a broken quote cannot be told apart into rows.
            reason = f"not readable as CSV from here on: {error}"
            report.problems.append(RowProblem(line, reason))
            return
        if values:  # an empty line is no row
            yield line, values


def _problem_of_shape(
    values: list[str], cells: Mapping[str, str], header: Sequence[str]
) -> str | None:
    if len(values) > len(header):
        return f"more than {len(header)} values"
    for column in header:
        value = cells.get(column)
        if value is None:
            return f"{column} is missing (fewer than {len(header)} values)"
        if not value.strip() and column not in _OPTIONAL:
            if column in GRANT_COLUMNS and not _has_grant(cells):
                continue
            return f"{column} is empty"
        if "\x00" in value:
            return f"{column} holds a NUL character"
    return None


def _has_grant(cells: Mapping[str, str]) -> bool:
    return any(cells.get(column, "").strip() for column in GRANT_COLUMNS)


def _problem_of_values(cells: Mapping[str, str]) -> str | None:
    if not _has_grant(cells):
        return None
    for column in ("access_token", "refresh_token"):
        token = cells[column].strip()
        if not token.isascii() or not token.isprintable() or " " in token:
            return f"{column} holds characters that no token has"
    for column in ("access_expires_at", "refresh_expires_at"):
        if _time(cells[column]) is None:
            return f"{column} is not an ISO 8601 time: {cells[column]}"
    unknown = sorted(split_scope(cells["scope"]) - KNOWN_SCOPES - OTHER_SCOPES)
    if unknown:
        return f"scope holds {', '.join(unknown)}; known are {', '.join(sorted(KNOWN_SCOPES))}"
    return None


def _row(cells: Mapping[str, str], vault: TokenVault | None) -> dict[str, object]:
    """Values for the statements; without ``open_id`` the row brings no grant."""
    text = {name: value.strip() for name, value in cells.items()}
    code = text["store_code"]
    store: dict[str, object] = {
        "store_code": code,
        "store_name": text["store_name"],
        "region": text["region"] or None,
    }
    if vault is None or not _has_grant(cells):
        return store
    scope = ",".join(sorted(split_scope(text["scope"])))
    return {
        **store,
        "open_id": text["open_id"],
        "scope": scope,
        "status": status_for_scope(scope),
        "access_token": vault.encrypt(text["access_token"], store_code=code, kind="access"),
        "refresh_token": vault.encrypt(text["refresh_token"], store_code=code, kind="refresh"),
        "access_expires_at": _time(text["access_expires_at"]),
        "refresh_expires_at": _time(text["refresh_expires_at"]),
    }


def _time(text: str) -> datetime | None:
    # Python 3.10 does not know the "Z" that ISO 8601 allows.
    iso = text.strip()
    try:
        moment = datetime.fromisoformat(iso[:-1] + "+00:00" if iso.endswith("Z") else iso)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
