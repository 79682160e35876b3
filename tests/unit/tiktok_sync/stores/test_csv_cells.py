"""Is what Excel is given harmless, and read again as what it was?"""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.tiktok_sync.stores.codes import clean
from include.tiktok_sync.stores.csv_cells import as_it_was, csv_lines, harmless
from include.tiktok_sync.stores.importing.rows import CsvStoreRow, read_rows

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\N{FULLWIDTH EQUALS SIGN}")

# Texts of the kind that matters here, much oftener than chance has them.
_TEXTS = st.text(
    st.sampled_from("=+-@'\" \t\r\n;,|\u00a0\u200b\ufeffaÄ0")
    | st.characters(exclude_categories=["Cs", "Cc"]),
    max_size=12,
)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "-000abc", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\u00a0@a", "'=1", "''-1"],
)
def test_no_cell_is_a_formula(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert as_it_was(harmless(text)) == text


@pytest.mark.parametrize("text", ["S001", "a=b", "'s-Hertogenbosch", "", "'"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert harmless(text) == as_it_was(text) == text


def test_a_table_has_its_mark_its_header_and_its_numbers() -> None:
    rows = [("S1", -5, None, "-5"), ("=x", "", 'a "b", c', "-0.5")]
    assert list(csv_lines(["-code", "a", "b", "figure"], rows, numbers={"figure"})) == [
        "\ufeff'-code,a,b,figure\r\n",
        "S1,-5,,-5\r\n",
        '\'=x,"","a ""b"", c",-0.5\r\n',
    ]


@given(_TEXTS)
def test_harmless_is_undone_and_begins_like_no_formula(text: str) -> None:
    cell = harmless(text)
    assert as_it_was(cell) == text
    assert not clean(cell).startswith(FORMULAS)
    assert not cell.startswith(FORMULAS)


@given(st.lists(st.tuples(_TEXTS, _TEXTS), max_size=5))
def test_a_table_is_read_again_as_it_was(rows: list[tuple[str, str]]) -> None:
    text = "".join(csv_lines(["a", "b"], rows)).removeprefix("\ufeff")
    found = list(csv.reader(io.StringIO(text, newline=""), strict=True))[1:]
    assert [tuple(map(as_it_was, row)) for row in found] == rows


@given(st.lists(st.tuples(_TEXTS, _TEXTS, _TEXTS), min_size=1, max_size=4))
def test_an_export_is_imported_without_loss(stores: list[tuple[str, str, str]]) -> None:
    """What the import stores is cleaned of blanks around it; that much comes back whole."""
    rows = [
        (clean(code) or "S", clean(name) or "-n", clean(region)) for code, name, region in stores
    ]
    text = "".join(csv_lines(["store_code", "store_name", "region"], rows))
    assert list(read_rows(text)) == [
        CsvStoreRow(line, code, name, region or None, None)
        for line, (code, name, region) in zip(_lines_of(rows), rows, strict=True)
    ]


def _lines_of(rows: list[tuple[str, str, str]]) -> list[int]:
    """On which line each row begins, the header being the first."""
    lines, line = [], 2
    for row in rows:
        lines.append(line)
        line += sum(len(cell.splitlines()) - 1 for cell in (f"{text}|" for text in row)) + 1
    return lines
