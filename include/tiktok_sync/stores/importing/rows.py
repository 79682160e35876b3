"""What does each line of an import say, and is it what it must be?

Nothing here asks the database. No message holds a cell that may be a token: columns may be swapped
or shifted, so what stands in any of them may be one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from include.tiktok_sync.business.models import BUSINESS_SCOPES, OTHER_BUSINESS_SCOPES
from include.tiktok_sync.errors import DataError
from include.tiktok_sync.stores.codes import is_excel_error, is_scientific, looks_like_token
from include.tiktok_sync.stores.importing import csv_text
from include.tiktok_sync.stores.timezones import checked_timezone
from include.tiktok_sync.tiktok.models import KNOWN_SCOPES, OTHER_SCOPES
from include.tiktok_sync.tokens.scopes import split_scope

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

GRANT_COLUMNS = COLUMNS[3:]
"""A store may come without a grant, to be connected later: then all of these are left out."""

TIMEZONE = "timezone"
"""The one column that the header may leave out: then each store keeps its time zone."""

BUSINESS = "business_"
BUSINESS_COLUMNS = tuple(f"{BUSINESS}{column}" for column in GRANT_COLUMNS)
"""A second grant, for the Accounts API: the header has all of these columns or none."""

_KNOWN = (*COLUMNS, TIMEZONE, *BUSINESS_COLUMNS)

_OPTIONAL = frozenset({"region", TIMEZONE, *BUSINESS_COLUMNS})
_TOKENS = {"access_token": "rft.", "refresh_token": "act."}
"""Column of a token -> how one of the other kind begins."""

_SHOWN_NAME = re.compile(r"[A-Za-z][A-Za-z _-]{0,29}")
_SHOWN_SCOPE = re.compile(r"[a-z_]{2,20}(?:\.[a-z_]{2,20}){1,3}")
_SHOWN_TIME = re.compile(r"[0-9][0-9./: ,+-]{0,24}(?: ?[AaPp][Mm])?")


@dataclass(frozen=True)
class RowProblem:
    """A line that was not loaded. ``line`` counts from 1, the header included."""

    line: int
    reason: str


@dataclass(frozen=True)
class RowGrant:
    """A grant as a line brings it, its tokens in the clear."""

    open_id: str
    scope: str
    access_token: str = field(repr=False)
    access_expires_at: datetime
    refresh_token: str = field(repr=False)
    refresh_expires_at: datetime


@dataclass(frozen=True)
class CsvStoreRow:
    """A good line. ``code`` is as it stands there, to be looked up; no ``grant`` = it has none.

    ``timezone`` is ``None`` where its cell is empty: the store then has that of the sync. Without
    the column, ``has_timezone`` is false. ``business`` is the grant for the Accounts API; what is
    wrong with it stands in ``business_problem``, and the rest of the line is good all the same.
    """

    line: int
    code: str
    name: str
    region: str | None
    grant: RowGrant | None
    timezone: str | None = None
    has_timezone: bool = False
    business: RowGrant | None = None
    business_problem: str | None = None


def read_rows(text: str) -> Iterator[CsvStoreRow | RowProblem]:
    """Every line of an import.

    Raises:
        DataError: The header lacks a column, or names one twice or an unknown one.
    """
    header, rows = csv_text.read(text, _KNOWN)
    _check_header(header)
    for row in rows:
        if isinstance(row, csv_text.Unreadable):
            yield RowProblem(row.line, f"not readable as CSV from here on: {row.reason}")
            continue
        try:
            yield _store_row(header, row)
        except DataError as error:
            yield RowProblem(row.line, error.message)


def _check_header(names: Sequence[str]) -> None:
    wanted = COLUMNS if set(names) & set(GRANT_COLUMNS) else COLUMNS[:3]
    if set(names) & set(BUSINESS_COLUMNS):
        wanted = (*wanted, *BUSINESS_COLUMNS)
    missing = [name for name in wanted if name not in names]
    if len(names) == 1 and all(name in names[0] for name in COLUMNS[:3]):
        message = f"The CSV's lines are in quotes as a whole: each is one cell. {csv_text.SAVE_AS}"
        raise DataError(message)
    if missing:
        message = (
            f"The CSV's first line lacks {', '.join(missing)}. It must be: {','.join(COLUMNS)}"
        )
        raise DataError(message)
    unknown = [
        name if _SHOWN_NAME.fullmatch(name) else f"the one in place {place}"
        for place, name in enumerate(names, 1)
        if name and name not in _KNOWN
    ]
    if unknown:
        message = f"The CSV has unknown columns: {', '.join(unknown)}. Remove them."
        raise DataError(message)
    twice = [name for name in (*wanted, TIMEZONE) if names.count(name) > 1]
    if twice:
        message = f"The CSV's first line names a column twice: {', '.join(twice)}"
        raise DataError(message)


def _store_row(header: Sequence[str], row: csv_text.Row) -> CsvStoreRow:
    cells = dict(zip(header, row.cells, strict=False))
    _check_shape(header, row.cells, cells)
    _check_texts(cells)
    business, business_problem = _business_grant(cells)
    return CsvStoreRow(
        line=row.line,
        code=row.raw[header.index("store_code")],
        name=cells["store_name"],
        region=cells.get("region") or None,
        grant=_grant(cells) if _has_grant(cells) else None,
        timezone=checked_timezone(cells.get(TIMEZONE)),
        has_timezone=TIMEZONE in header,
        business=business,
        business_problem=business_problem,
    )


def _check_shape(header: Sequence[str], values: Sequence[str], cells: Mapping[str, str]) -> None:
    count = len(header)
    if any(values[count:]):
        message = f"more than {count} values"
        raise DataError(message)
    for place, (name, cell) in enumerate(zip(header, values, strict=False), 1):
        if cell and not name:
            message = f"value {place} stands in a column without a name"
            raise DataError(message)
    with_grant = _has_grant(cells)
    for column in filter(None, header):
        value = cells.get(column)
        # Excel leaves empty cells at the end of a line out.
        if not value and column not in _OPTIONAL and (with_grant or column not in GRANT_COLUMNS):
            message = (
                f"{column} is missing (fewer than {count} values)"
                if value is None
                else f"{column} is empty"
            )
            raise DataError(message)
        if "\x00" in (value or ""):
            message = f"{column} holds a NUL character"
            raise DataError(message)


def _has_grant(cells: Mapping[str, str]) -> bool:
    return any(cells.get(column) for column in GRANT_COLUMNS)


def _check_texts(cells: Mapping[str, str]) -> None:
    """Refuse what can be no text of its column, whichever it is."""
    if re.sub(r"[\s_-]+", "_", cells["store_code"]).lower() == "store_code":
        message = "store_code is the name of the column: is this the header once more? Leave it out"
        raise DataError(message)
    for column in ("store_code", "store_name", "region", TIMEZONE, "open_id"):
        _check_text(column, cells.get(column, ""))


def _check_text(column: str, value: str) -> None:
    if looks_like_token(value):
        message = f"{column} holds what looks like a token: are columns swapped or shifted?"
        raise DataError(message)
    if is_excel_error(value):
        message = f"{column} is an error of Excel ({value}); put in what should be there"
        raise DataError(message)
    if column == "open_id" and is_scientific(value):
        message = (
            "open_id is a number in scientific notation: Excel has dropped its digits. Format the"
            " column as text in Excel, and take the open_id from its source again"
        )
        raise DataError(message)


def _business_grant(cells: Mapping[str, str]) -> tuple[RowGrant | None, str | None]:
    """The second grant, or what is wrong with it."""
    own = {column: cells.get(f"{BUSINESS}{column}") or "" for column in GRANT_COLUMNS}
    if not any(own.values()):
        return None, None
    try:
        for column, value in own.items():
            if not value:
                message = f"{column} is empty"
                raise DataError(message)  # noqa: TRY301 - one place names every problem of it
        _check_text("open_id", own["open_id"])
        return _grant(own, BUSINESS_SCOPES, OTHER_BUSINESS_SCOPES), None
    except DataError as error:
        return None, f"of its columns {BUSINESS}…, {error.message}"


def _grant(
    cells: Mapping[str, str],
    known: frozenset[str] = KNOWN_SCOPES,
    others: frozenset[str] = OTHER_SCOPES,
) -> RowGrant:
    strange = next((mark for mark in cells["open_id"] if not "!" <= mark <= "~"), None)
    if strange is not None:
        message = (
            f"open_id holds a character that no open_id has (U+{ord(strange):04X}); take it from"
            " its source again"
        )
        raise DataError(message)
    for column, other_kind in _TOKENS.items():
        token = cells[column]
        if not token.isascii() or not token.isprintable() or " " in token:
            message = f"{column} holds characters that no token has"
            raise DataError(message)
        if token.lower().startswith(other_kind):
            message = f"{column} holds a token of the other kind: are the two swapped?"
            raise DataError(message)
    access_expires_at, refresh_expires_at = (
        _time(column, cells[column]) for column in ("access_expires_at", "refresh_expires_at")
    )
    return RowGrant(
        open_id=cells["open_id"],
        scope=_scope(cells["scope"], known, others),
        access_token=cells["access_token"],
        access_expires_at=access_expires_at,
        refresh_token=cells["refresh_token"],
        refresh_expires_at=refresh_expires_at,
    )


def _scope(text: str, known: frozenset[str], others: frozenset[str]) -> str:
    scopes = split_scope(text)
    unknown = sorted(scopes - known - others)
    if unknown:
        shown = [
            name if _SHOWN_SCOPE.fullmatch(name) and not looks_like_token(name) else "no permission"
            for name in unknown
        ]
        message = (
            f"scope holds {', '.join(dict.fromkeys(shown))}; known are {', '.join(sorted(known))}"
        )
        raise DataError(message)
    return ",".join(sorted(scopes))


def _time(column: str, text: str) -> datetime:
    # Python 3.10 does not know the "Z" that ISO 8601 allows.
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        shown = f": {text}" if _SHOWN_TIME.fullmatch(text) else ""
        message = (
            f"{column} is not an ISO 8601 time{shown}. Write it as 2026-11-28T14:00:00Z; in Excel,"
            " format the column as text first"
        )
        raise DataError(message) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
