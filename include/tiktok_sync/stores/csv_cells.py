"""How is a table written so that Excel shows it whole and runs nothing of it?

UTF-8 with a byte order mark, lines as RFC 4180 has them; a text that a spreadsheet would take for a
formula gets an apostrophe in front (owasp.org, "CSV Injection"), which the import takes off again.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence

BYTE_ORDER_MARK = "\ufeff"

# Apostrophes count too, so that taking one off again is exact. Full-width signs are formulas in
# Excel's Japanese versions.
_FORMULA = re.compile(
    r"'*(?:[\t\r\n]|[\s\u00ad\u200b-\u200f\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20])"
)
_QUOTED = re.compile(r'[",;\t\r\n]|^\s|\s$')


def harmless(text: str) -> str:
    """The text as no spreadsheet takes it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def as_it_was(cell: str) -> str:
    """The text that :func:`harmless` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def csv_lines(
    header: Sequence[str], rows: Iterable[Iterable[object]], *, numbers: Container[str] = ()
) -> Iterator[str]:
    """A CSV, line by line, its byte order mark and its header first.

    Args:
        header: Names of the columns.
        rows: Their cells. A ``str`` is made :func:`harmless`; ``None`` is an empty cell, unlike
            the empty text, which is quoted; anything else is written as ``str()`` has it.
        numbers: Columns whose texts are numbers: their minus sign is no formula.
    """
    yield BYTE_ORDER_MARK + _line(map(_cell, header))
    makers = [_quoted if name in numbers else _cell for name in header]
    for row in rows:
        yield _line(make(value) for make, value in zip(makers, row, strict=True))


def _line(cells: Iterable[str]) -> str:
    return ",".join(cells) + "\r\n"


def _cell(value: object) -> str:
    return _quoted(harmless(value) if isinstance(value, str) else value)


def _quoted(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    if not text or _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
