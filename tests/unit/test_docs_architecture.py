"""docs/architecture.md: the drawing of the packages is that of the contracts."""

from __future__ import annotations

from pathlib import Path

from tools.pages.rooms_page import rooms_block

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


def test_the_committed_drawing_is_that_of_the_contracts() -> None:
    # When this fails: make rooms-doc, and commit the file.
    text = PAGE.read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- rooms: written by `make rooms-doc` -->\n")
    block, _, _ = rest.partition("<!-- end of rooms -->")
    assert block == rooms_block()
