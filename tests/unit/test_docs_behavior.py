"""Do the pages on TikTok's behaviour name every meaning and fault, and only tests that exist?"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from include.sandbox.faults.rules import FAULT_TEXTS
from include.tiktok_sync.business.meanings import CODES, TOKEN_CODES
from include.tiktok_sync.tiktok.meanings import (
    API_CODES,
    EXCEPTIONS,
    OAUTH_ERRORS,
    meaning_of_api_answer,
    meaning_of_oauth_answer,
)
from tools.pages.meanings_page import NOT_TIKTOKS, OTHER_STATUSES, meanings_page

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "behavior.md").read_text(encoding="utf-8")
TABLE_FILE = ROOT / "docs" / "meanings.md"
ANY = re.compile(r"\bany\b")


def _tests() -> set[str]:
    """`folder/file.py::name` of every test function."""
    return {
        f"{file.parent.name}/{file.name}::{node.name}"
        for file in ROOT.glob("tests/**/test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def _rows() -> list[list[str]]:
    """The cells of every quirk."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0] not in {"TikTok does", "---"}]


def test_every_named_test_exists() -> None:
    named = set(re.findall(r"`(\w+/test_\w+\.py::\w+)`", PAGE))
    assert len(named) > 50
    assert sorted(named - _tests()) == []


def test_every_quirk_says_why_what_and_which_test() -> None:
    rows = _rows()
    assert len(rows) > 40
    for row in rows:
        assert len(row) == 4, row
        assert all(row), row
        assert ".py::test_" in row[3] or ANY.search(row[3]), row


@pytest.mark.parametrize("fault", sorted(FAULT_TEXTS))
def test_every_fault_of_the_sandbox_belongs_to_a_quirk(fault: str) -> None:
    assert [row for row in _rows() if f"`{fault}`" in row[0]]


def test_the_committed_table_of_meanings_is_the_codes_own() -> None:
    # When this fails: make meanings, and commit the file.
    assert TABLE_FILE.read_text(encoding="utf-8") == meanings_page()


def test_every_code_error_and_exception_is_in_the_table() -> None:
    _, api, oauth, business, tokens, exceptions = meanings_page().split("\n## ")
    assert [name for name in API_CODES if f"`{name}`" not in api] == []
    assert [name for name in OAUTH_ERRORS if f"`{name}`" not in oauth] == []
    assert [code for code in CODES if f"`{code}`" not in business] == []
    assert [code for code in {40107, 40110} & TOKEN_CODES.keys() if f"`{code}`" not in tokens] == []
    assert [kind for kind in EXCEPTIONS if f"`{kind.__name__}`" not in exceptions] == []


@pytest.mark.parametrize("statuses", OTHER_STATUSES.values(), ids=list(OTHER_STATUSES))
def test_statuses_of_one_row_mean_the_same(statuses: tuple[int, ...]) -> None:
    assert len({meaning_of_api_answer(status, "new") for status in statuses}) == 1
    assert len({meaning_of_oauth_answer(status, "new") for status in statuses}) == 1


@pytest.mark.parametrize("statuses", NOT_TIKTOKS.values(), ids=list(NOT_TIKTOKS))
def test_statuses_of_one_row_mean_the_same_without_tiktoks_json(statuses: tuple[int, ...]) -> None:
    assert len({meaning_of_api_answer(status, None) for status in statuses}) == 1
    assert len({meaning_of_oauth_answer(status, None) for status in statuses}) == 1


@pytest.mark.parametrize("table", [OTHER_STATUSES, NOT_TIKTOKS])
def test_the_rows_are_of_every_status(table: dict[str, tuple[int, ...]]) -> None:
    assert sorted(status for some in table.values() for status in some) == [*range(100, 600)]
