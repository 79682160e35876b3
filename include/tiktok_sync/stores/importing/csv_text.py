"""Which rows are in a file that a person saved, perhaps with Excel?

A file is read if it is clear: separator and encoding are recognised from the file itself. What is
not clear is refused, and the message says how to save it; it never contains anything of a cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.stores.codes import clean, is_blank
from include.tiktok_sync.stores.csv_cells import BYTE_ORDER_MARK, as_it_was

SAVE_AS = (
    'Save it in Excel as "CSV UTF-8 (Comma delimited)" (File, Save As), or elsewhere as UTF-8 text,'
    " and try again."
)

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?[ ,;\t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)


class _Reader(Protocol):
    """A ``csv.reader``, whose type the standard library does not name."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


@dataclass(frozen=True)
class Unreadable:
    """From this line on the file cannot be split into rows."""

    line: int
    reason: str


@dataclass(frozen=True)
class Row:
    """One row, its cells cleaned, and as they were but for plain blanks around them.

    ``line`` is the one that it begins on, the first line being 1.
    """

    line: int
    cells: Sequence[str]
    raw: Sequence[str]


def decode(raw: bytes) -> str:
    """The text of a file: UTF-8, or what Excel calls "Unicode text" (UTF-16 with its mark).

    Raises:
        DataError: It is neither; which line shows it, and how to save it right.
    """
    if raw.startswith(_WORKBOOKS):
        message = f"This is an Excel workbook and no CSV. {SAVE_AS}"
        raise DataError(message)
    try:
        if raw.startswith(_UTF_16):
            return raw.decode("utf-16")
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The bytes before the bad one are good; UTF-16 has no lines to count before it is decoded.
        line = 1 if raw.startswith(_UTF_16) else _lines_before(raw[: error.start]) + 1
        message = f"Line {line} is not UTF-8 text. {SAVE_AS}"
        raise DataError(message) from None
    if "\x00" in text.partition("\n")[0]:
        message = f"The first line is not UTF-8 text but looks like UTF-16. {SAVE_AS}"
        raise DataError(message)
    return text


def read(text: str, known: Iterable[str]) -> tuple[list[str], Iterator[Row | Unreadable]]:
    """The header and the rows below it; rows that hold nothing are none.

    Args:
        text: The file.
        known: Names of columns: they tell the separator, and in which case and with which blanks a
            name may be written.

    Returns:
        The header's names, cleaned, as ``known`` writes them; and the rows.

    Raises:
        DataError: The first line is not readable.
    """
    names = frozenset(known)
    text = text.lstrip(BYTE_ORDER_MARK)
    told = _SEPARATOR_LINE.match(text)
    body = text[told.end() :] if told else text
    before = 1 if told else 0
    separator = _separator(body, names, told.group(1) if told else None)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=separator, strict=True)
    rows = _rows(reader, before)
    first = next(rows, Row(1, [], []))
    if isinstance(first, Unreadable):
        message = f"The first line is not readable as CSV: {first.reason}."
        raise DataError(message)
    header = [_name(cell, names) for cell in first.cells]
    while header and not header[-1]:
        header.pop()
    return header, rows


def _lines_before(raw: bytes) -> int:
    return len((raw + b"|").splitlines()) - 1


def _separator(text: str, known: frozenset[str], told: str | None) -> str:
    """The one that makes the most known names of the first line."""
    lines = (line for line in text.splitlines() if clean(line.strip(",;|")))
    first = next(lines, "")
    candidates = [*([told] if told else []), *_SEPARATORS]

    def names(separator: str) -> int:
        try:
            cells = next(csv.reader([first], delimiter=separator), [])
        except csv.Error:
            return 0
        return sum(_name(cell, known) in known for cell in cells)

    return max(candidates, key=names)  # the first of the best


def _name(cell: str, known: frozenset[str]) -> str:
    name = clean(cell)
    plain = re.sub(r"[\s_-]+", "_", "".join(c for c in name if c == " " or not is_blank(c))).lower()
    return plain if plain in known else name


def _rows(reader: _Reader, before: int) -> Iterator[Row | Unreadable]:
    while True:
        line = before + reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # What follows a broken quote cannot be split into rows.
            yield Unreadable(line, str(error))
            return
        cells = [clean(as_it_was(clean(value))) for value in values]
        if any(cells):
            yield Row(line, cells, [as_it_was(value.strip()).strip() for value in values])
