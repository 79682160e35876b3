"""Which store does a code mean, and is it a code at all?

A code is cleaned of blanks and invisible characters around it, its accents are composed (NFC), its
blanks plain. Anything more would be a guess: a new code that only looks like another is refused
instead. A code that is there exactly as it is written is that store, whatever it looks like.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from include.tiktok_sync.store_db.database import Connection

_BLANK_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Letters and marks that show nothing, whatever their category says.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(number) for number in range(0xFE00, 0xFE10)
}

_APOSTROPHES = "'`\u00b4\u2018\u2019"
_WHOLE_NUMBER = re.compile(r"([0-9]+)[.,]0+")
_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")

# TikTok's own prefixes (reference: access, refresh and client tokens).
_TOKEN = re.compile(r"(?<![a-z0-9])(?:act|rft|clt)\.\S", re.IGNORECASE)
_OPAQUE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[!-~]{60,}")

_SCIENTIFIC = re.compile(r"-?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_TEXT_FORMULA = re.compile(r'="[^"]*"')
_EXCEL_ERROR = re.compile(r"#[A-ZÄÖÜ0-9/]+[!?]|#N/A|#NV|#{3,}")
# As Excel abbreviates them in English, German, French, Spanish, Italian and Dutch.
_MONTHS = (
    "jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sep|sept|oct|okt|nov|dec|dez|janv|févr|fév|mars|"
    "avr|juin|juil|août|déc|ene|abr|ago|dic|gen|mag|giu|lug|set|ott|mrt|mei"
)
_DATE = re.compile(
    r"(?:[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2,4}|[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T].*)?"
    r"|[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}(?: .*)?|[0-9]{1,2}/[0-9]{1,2}(?:/[0-9]{2,4}(?: .*)?)?"
    rf"|[0-9]{{1,2}}[-. ]{{1,2}}(?:{_MONTHS})\.?(?:[- ][0-9]{{2,4}})?"
    rf"|(?:{_MONTHS})\.?[- ][0-9]{{1,4}}",
    re.IGNORECASE,
)

_AS_TEXT = "format the column as text in Excel before you fill it in, and enter it again"
_IF_MEANT = "if it really is so, load it with --new (on the status page: the tick box)"


def is_blank(character: str) -> bool:
    """Whether it shows nothing. A NUL is not blank: no text holds one by good intent."""
    if character == "\x00":
        return False
    return unicodedata.category(character) in _BLANK_CATEGORIES or character in _INVISIBLE


def clean(text: str) -> str:
    """The text without blanks and invisible characters around it."""
    begin, end = 0, len(text)
    while begin < end and is_blank(text[begin]):
        begin += 1
    while end > begin and is_blank(text[end - 1]):
        end -= 1
    return text[begin:end]


def clean_code(text: str) -> str:
    """A code as it is stored: :func:`clean`, accents composed, each blank in it a plain one."""
    composed = unicodedata.normalize("NFC", clean(text))
    return "".join(" " if unicodedata.category(mark) == "Zs" else mark for mark in composed)


def looks_like_token(text: str) -> bool:
    """Whether it may be a secret of TikTok, so that nothing may print it."""
    return bool(_TOKEN.search(text) or _OPAQUE.fullmatch(text))


def is_excel_error(text: str) -> bool:
    """``#NAME?`` and the like, or the ``####`` of a column that is too narrow."""
    return bool(_EXCEL_ERROR.fullmatch(text))


def is_scientific(text: str) -> bool:
    """``4.6E+17``: the digits of a long number are gone."""
    return bool(_SCIENTIFIC.fullmatch(text))


class StoreCodes:
    """The codes that are there, and those that join them.

    Args:
        known: Codes of all stores, also of paused ones and of those that have left.
        new_too: Take new codes in although they look like others, or like no code.
    """

    def __init__(self, known: Iterable[str], *, new_too: bool = False) -> None:
        self._known = frozenset(known)
        self._new_too = new_too
        self._near: dict[str, str] = {}
        for code in sorted(self._known):
            self._near.setdefault(_near_key(code), code)

    @classmethod
    def read(cls, conn: Connection, *, new_too: bool = False) -> StoreCodes:
        """Those of the database."""
        rows = conn.execute("SELECT store_code FROM stores").fetchall()
        return cls((row[0] for row in rows), new_too=new_too)

    def __contains__(self, code: str) -> bool:
        return code in self._known

    def meant(self, text: str) -> str:
        """The code that a text means: one that is there exactly so, else the cleaned one."""
        exact = text.strip()
        return exact if exact in self._known else clean_code(text)

    def add(self, code: str) -> None:
        """Count a new code among those that others must not look like."""
        self._near.setdefault(_near_key(code), code)

    def problem_of(self, code: str) -> str | None:
        """Why a code cannot be loaded: it is none, or a new one that looks like another.

        Never says what looks like a token.
        """
        if looks_like_token(code):
            return "store_code holds what looks like a token: are columns swapped or shifted?"
        if code in self._known:
            return None
        near = self._near.get(_near_key(code))
        if near is not None and not self._new_too:
            return (
                f"store_code differs from store {near} only in case, leading zeros, blanks,"
                " invisible characters, the kind of a digit, hyphen or i, an apostrophe in front"
                f" or .0 at the end. Write {near} if it is that store; {_IF_MEANT}"
            )
        hidden = next((mark for mark in code if is_blank(mark) and mark != " "), None)
        if hidden is not None:
            return f"store_code holds an invisible character (U+{ord(hidden):04X}); type it again"
        kind = None if self._new_too else _mangled(code)
        return kind and (
            f"store_code looks like {kind}, which Excel makes of some codes: {_AS_TEXT};"
            f" {_IF_MEANT}"
        )


def _mangled(code: str) -> str | None:
    if is_scientific(code):
        return "a number in scientific notation"
    if _TEXT_FORMULA.fullmatch(code):
        return "a formula"
    return "a date" if _DATE.fullmatch(code) else None


def _near_key(code: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", code).casefold())
    # Turkish has four letters i, which no folding makes one.
    one_i = folded.replace("i\u0307", "i").replace("\u0131", "i")
    visible = "".join(_plain(mark) for mark in one_i if not is_blank(mark))
    bare = visible.lstrip(_APOSTROPHES) or visible
    number = _WHOLE_NUMBER.fullmatch(bare)
    return _LEADING_ZEROS.sub("", number.group(1) if number else bare)


def _plain(mark: str) -> str:
    """The ASCII digit or hyphen for those of other scripts and kinds."""
    if unicodedata.category(mark) == "Pd" or mark == "\u2212":
        return "-"
    value = unicodedata.decimal(mark, None)
    return mark if value is None else str(value)
