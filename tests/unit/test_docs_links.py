"""README and docs/: every relative link leads to a file, every #anchor to a heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "dbt" / "README.md",
]

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def without_code(text: str) -> str:
    """Code shows links that are none; what a link's own text quotes stays a link."""
    return CODE.sub("code", text)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings, of which a repeated one is numbered."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        repeats = [name, *(f"{name}-{number}" for number in range(1, 50))]
        found.add(next(one for one in repeats if one not in found))
    return found


def dead_links(page: Path) -> list[str]:
    dead = []
    for link in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (
            anchor and anchor not in anchors(target.read_text(encoding="utf-8"))
        ):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_no_link_is_dead(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_file_and_a_dead_anchor_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# On the way\n[a](#on-the-way) [b](#off) [c](gone.md) [d](https://x.y)\n")
    assert dead_links(page) == ["#off", "gone.md"]


def test_every_page_of_docs_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert sorted(pages - set(re.findall(r"\]\(([\w.-]+\.md)", index))) == []


def test_every_page_that_a_message_names_exists() -> None:
    files = [
        file
        for folder in ("dags", "plugins", "include", "deploy")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in {".py", ".j2", ".sh", ".sql"}
    ]
    named = {
        name
        for file in (*files, ROOT / ".env.example", ROOT / "docker-compose.yaml")
        for name in re.findall(r"\bdocs/[\w./-]+\.md\b", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 3
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
