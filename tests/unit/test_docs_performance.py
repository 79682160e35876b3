"""Is the page on performance made of the committed figures, and of those only?"""

from __future__ import annotations

from pathlib import Path

from benchmarks.report import results
from benchmarks.report.page import DOCS, pages
from benchmarks.report.tuning import PAGE, with_table

PREFIX = "performance"


def test_the_committed_page_is_the_figures_own() -> None:
    # When this fails: python -m benchmarks page, and commit the files.
    growth = results.read(results.GROWTH) if results.GROWTH.exists() else None
    limited = results.read(results.LIMITED) if results.LIMITED.exists() else None
    found = pages(results.read(results.COMPARE), growth, limited)
    committed = {file.name: file for file in Path(DOCS).glob(f"{PREFIX}*")}
    assert committed.keys() == found.keys()
    stale = [name for name, text in found.items() if committed[name].read_text("utf-8") != text]
    assert stale == []


def test_the_tuning_table_is_the_figures_own() -> None:
    page = PAGE.read_text("utf-8")
    assert with_table(page, results.read(results.COMPARE)) == page
