"""Is everything that a person reads free of phrases that are not idiomatic English?"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Phrase -> what to write instead. Each was a habit of this code base, not a rare slip.
PHRASES = {
    r"(?:is|are|was|were|be|been) told(?! apart)": "gets a message, is reported, is called",
    r"told of": "gets an alert about, is reported",
    r"(?:is|are) said(?! to)": "is reported, is flagged",
    r"(?:came|comes|come) of": "the result of",
    r"anew": "again",
    r"since ever": "in total",
    r"for ever": "forever",
    r"so many": "this number of, the given number of",
    r"who(?:m)?ever": "anyone who, the person who",
    r"(?:to|not) be had": "is unavailable",
    r"beside": "as well as, next to, apart from",
    r"hear of": "notice",
    r"whence|thereof": "from where, of it",
    r"Business API": "Accounts API",
}
_FOUND = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b", re.IGNORECASE)

_SUFFIXES = {".py", ".md", ".yaml", ".yml", ".sh", ".sql", ".j2", ".js", ".toml"}
_FOLDERS = (
    "include",
    "plugins",
    "dags",
    "benchmarks",
    "tools",
    "deploy",
    "docs",
    "tests",
    ".github",
    "dbt",
)
_WORDS = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))

EXEMPT = {
    "CHANGELOG.md",  # what was released stays as it was
    "tests/unit/test_docs_english.py",
}


def _files() -> list[Path]:
    inside = (file for folder in _FOLDERS for file in (ROOT / folder).rglob("*"))
    return [
        file
        for file in sorted([*ROOT.iterdir(), *inside])
        if file.suffix in _SUFFIXES or file.name in {"Makefile", "Dockerfile", ".env.example"}
        # Old migrations stay as they ran; a later one sets the comments.
        if file.parent.name != "versions" and file.relative_to(ROOT).as_posix() not in EXEMPT
    ]


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Lines that a person reads: of Python, comments, strings and names of tests."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if before == "def" and token.string.startswith("test_"):
            yield token.start[0], token.string.replace("_", " ")
        before = token.string
        if token.type in _WORDS:
            yield from enumerate(token.string.splitlines(), token.start[0])


def _odd(text: str) -> list[str]:
    # A code span is a name, such as that of a test.
    return [found.group() for found in _FOUND.finditer(re.sub(r"`[^`]+`", "", text))]


def test_every_text_is_plain_english() -> None:
    files = _files()
    assert len(files) > 300

    found = [
        f"{file.relative_to(ROOT)}:{number}: {phrase!r} in: {line.strip()[:100]}"
        for file in files
        for number, line in _lines(file)
        for phrase in _odd(line)
    ]

    # PHRASES says what to write instead.
    assert found == []


def test_the_phrases_are_found_and_their_plain_neighbours_are_not() -> None:
    for bad in (
        "A sync that takes longer is told of.",
        "What came of it, whoever asked",
        "kept for ever, beside the table",
        "Calls since ever; so many that it is not to be had",
        "signed anew",
        "a grant for the Business API",
    ):
        assert _odd(bad), bad
    for good in (
        "The two are told apart by their status.",
        "besides the tests, the result of the run",
        "`test_no_window_holds_more_than_the_limit_across_all_callers`",
        "TikTok is said to count them",
    ):
        assert _odd(good) == [], good
