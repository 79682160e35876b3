"""Is the page on performance made of the committed figures, and of those only?"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import results
from tests.benchmarks.page import DOCS, pages

PREFIX = "performance"


@pytest.mark.skipif(not results.COMPARE.exists(), reason="nothing was measured yet: make bench")
def test_the_committed_page_is_the_figures_own() -> None:
    # When this fails: python -m tests.benchmarks page, and commit the files.
    growth = results.read(results.GROWTH) if results.GROWTH.exists() else None
    found = pages(results.read(results.COMPARE), growth)
    committed = {file.name: file for file in Path(DOCS).glob(f"{PREFIX}*")}
    assert committed.keys() == found.keys()
    stale = [name for name, text in found.items() if committed[name].read_text("utf-8") != text]
    assert stale == []
