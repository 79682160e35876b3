"""How are known texts (names, titles, ids) hidden where they stand inside other texts?

What is hidden becomes asterisks, as many as it had bytes in UTF-8: a line of a log keeps its place
in its file, and a text that fitted its column still does.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, Literal
from urllib.parse import quote, quote_plus

LEAST_BYTES = 4
"""Shorter texts stand by chance in too many places."""

LEAST_DIGITS = 10
"""A number with fewer digits may be a year, a count or a time."""

PART = 24
"""Characters by which a longer phrase is known from its beginning: messages cut long texts off."""

_NAME = 60
"""Characters of the longest text that may be a name."""

_NORMAL_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
_HEAD = LEAST_BYTES // 2
_ESCAPE = re.compile(r"\\[abfnrtv0]")
_WORD = re.compile(r"\w+")
_ASCII_WORD = re.compile(r"[A-Za-z0-9_]+")
_FIRST_WITHOUT_SPACES = 0x2E80
"""Chinese, Japanese and others from here on put no spaces between words."""


def searchable(text: str) -> bool:
    """Whether a text says enough to be looked for inside others."""
    text = text.strip()
    if text.isdecimal():
        return len(text) >= LEAST_DIGITS
    return len(text) >= _HEAD and len(text.encode()) >= LEAST_BYTES and any(map(str.isalnum, text))


class Redactor:
    """Hides whole words and phrases, also where JSON, Python or a URL writes them in its own way.

    Args:
        texts: What is hidden; those that are not :func:`searchable` are left out.
        spared: Texts that are kept although they are among them, such as store codes.
    """

    def __init__(self, texts: Iterable[str], *, spared: Collection[str] = ()) -> None:
        forms: set[str] = set()
        for text in {way for whole in texts for way in _ways(whole.strip())} - set(spared):
            if searchable(text):
                forms.update(_forms(text))
        self._by_head: defaultdict[str, list[str]] = defaultdict(list)
        for form in sorted(forms, key=len, reverse=True):
            self._by_head[form[:_HEAD]].append(form)
        anchors = {_least(form): _anchor(_least(form), form) for form in forms}
        self._anchors = frozenset(word for word in anchors.values() if word)
        loose = [part for part, word in anchors.items() if word is None]
        self._plain = [part for part in loose if part.isascii()]
        self._others = [part for part in loose if not part.isascii()]

    def __bool__(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._by_head)

    def hide(self, text: str) -> str:
        """The text with every one of them hidden; the same object where none stands in it."""
        words = _ESCAPE.sub("  ", text) if "\\" in text else text
        if not self._may_hold(text, words):
            return text
        parts: list[str] = []
        done = at = 0
        last = len(text) - _HEAD
        while at <= last:
            length = self._length_at(text, words, at)
            if length:
                hidden = text[at : at + length].encode("utf-8", "surrogateescape")
                parts += [text[done:at], "*" * len(hidden)]
                done = at = at + length
            else:
                at += 1
        return "".join([*parts, text[done:]]) if parts else text

    def hide_in_json(self, value: Any) -> Any:
        """A value of JSON with every text and key in it treated by :meth:`hide`."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list):
            return [self.hide_in_json(item) for item in value]
        if isinstance(value, dict):
            return {self.hide(key): self.hide_in_json(item) for key, item in value.items()}
        if isinstance(value, int) and not isinstance(value, bool):
            hidden = self.hide(str(value))
            return value if hidden == str(value) else hidden
        return value

    def _may_hold(self, text: str, words: str) -> bool:
        """Almost always ``False``, and cheaply so: logs are long."""
        if not self._anchors.isdisjoint(_ASCII_WORD.findall(words)):
            return True
        loose = self._plain if text.isascii() else (*self._plain, *self._others)
        return any(part in text for part in loose)

    def _length_at(self, text: str, words: str, at: int) -> int:
        """How many characters are hidden from here on: as many as any of them explains."""
        longest = 0
        for form in self._by_head.get(text[at : at + _HEAD], ()):
            if len(form) <= longest:
                break  # the rest is no longer
            length = _common(form, text, at)
            whole = length == len(form)
            if length <= longest or length < len(_least(form)):
                continue
            if _begins(words, at, form) and (not whole or _ends(words, at + length, form)):
                longest = length
        return longest


def _ways(text: str) -> set[str]:
    """How people write it: a name in either case, an accent as a letter's part or after it."""
    cases = {text, text.lower(), text.upper()} if len(text) <= _NAME else {text}
    return {unicodedata.normalize(form, case) for case in cases for form in _NORMAL_FORMS} | cases


def _forms(text: str) -> set[str]:
    """How the text may be written: as it is, in JSON, in Python, in a URL, line by line."""
    lines = {line.strip() for line in text.splitlines()}
    forms = {text, *filter(searchable, lines)}
    for form in list(forms):
        plain = {form, repr(form)[1:-1], ascii(form)[1:-1]}
        for writing in plain:
            forms.update(json.dumps(writing, ensure_ascii=way)[1:-1] for way in (True, False))
        forms |= plain | {quote(form, safe=""), quote_plus(form), quote(form)}
    return forms


def _least(form: str) -> str:
    """The part of a form by which it is known: of a phrase its beginning."""
    is_phrase = " " in form[:PART].strip() and "://" not in form
    return form[:PART] if is_phrase else form


def _anchor(part: str, form: str) -> str | None:
    """A word that stands in every text that holds the part, if it has one in plain letters."""
    found = list(_WORD.finditer(_ESCAPE.sub("  ", part)))
    if len(part) < len(form) and found and found[-1].end() == len(part):
        found.pop()  # cut in two
    plain = [word[0] for word in found if _ASCII_WORD.fullmatch(word[0])]
    return max(plain, key=len, default=None)


def _common(form: str, text: str, at: int) -> int:
    """How many characters of the form stand at a place of the text."""
    if text.startswith(form, at):
        return len(form)
    length = 0
    for mine, its in zip(form, text[at : at + len(form)], strict=False):
        if mine != its:
            break
        length += 1
    return length


def _begins(words: str, at: int, form: str) -> bool:
    return at == 0 or not (_joins(words[at - 1]) and _joins(form[0]))


def _ends(words: str, end: int, form: str) -> bool:
    return end >= len(words) or not (_joins(form[-1]) and _joins(words[end]))


def _joins(character: str) -> bool:
    """Whether a word goes on over this character."""
    return (character.isalnum() or character == "_") and ord(character) < _FIRST_WITHOUT_SPACES
