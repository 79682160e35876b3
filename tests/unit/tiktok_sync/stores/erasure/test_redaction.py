"""Is a name hidden wherever it may stand, and nothing else?"""

from __future__ import annotations

import json
import time
import unicodedata
from typing import Literal

import pytest

from include.tiktok_sync.stores.erasure.redaction import PART, Redactor, searchable

NAME = 'Köln "Süd" 🎉 Café'
OPEN_ID = "-000abcDEF0123456789abcdefABCDEF0123456789"
CAPTION = "Sommer im Laden:\nAlles neu\\frei für Anna & Ben, heute und morgen und übermorgen"


@pytest.mark.parametrize(
    "text",
    [
        NAME,
        json.dumps({"title": NAME}),
        json.dumps({"title": NAME}, ensure_ascii=False),
        repr({"title": NAME}),
        ascii({"title": NAME}),
        json.dumps({"event": repr({"title": NAME})}),
        json.dumps({"event": f"first line\n{NAME}"}),
        "https://x/search?q=K%C3%B6ln+%22S%C3%BCd%22+%F0%9F%8E%89+Caf%C3%A9",
    ],
)
def test_a_name_is_hidden_however_it_is_written(text: str) -> None:
    hidden = Redactor([NAME]).hide(text)

    assert hidden != text
    assert "Caf" not in hidden
    assert len(hidden.encode()) == len(text.encode())


@pytest.mark.parametrize(
    "written",
    ["café müller", "CAFÉ MÜLLER", "Café Müller", unicodedata.normalize("NFD", "Café Müller")],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_hidden_in_either_case_and_however_its_accents_are_made(
    written: str, form: Literal["NFC", "NFD"]
) -> None:
    redactor = Redactor([unicodedata.normalize(form, "Café Müller")], spared=["cafe"])

    assert redactor.hide(f"of {written}, cafe") == f"of {'*' * len(written.encode())}, cafe"


@pytest.mark.parametrize("text", [f"user {OPEN_ID}.", f'{{"open_id":"{OPEN_ID}"}}', OPEN_ID])
def test_an_id_is_hidden(text: str) -> None:
    assert OPEN_ID[5:20] not in Redactor([OPEN_ID]).hide(text)


def test_only_whole_words_are_hidden_and_codes_are_spared() -> None:
    redactor = Redactor(["anna", "S001", "2024", "ok", "7261234567890123456"], spared=["S001"])

    assert redactor.hide("@anna, joanna, anna_b and S001 in 2024: ok") == (
        "@****, joanna, anna_b and S001 in 2024: ok"
    )
    assert redactor.hide("video 7261234567890123456 and 72612345678901234567") == (
        f"video {'*' * 19} and 72612345678901234567"
    )
    assert [searchable(text) for text in ("abc", "2024", "!!!!", "李明", "abcd")] == [
        False,
        False,
        False,
        True,
        True,
    ]


def test_a_name_in_a_script_without_spaces_is_hidden_within_a_sentence() -> None:
    assert Redactor(["李明"]).hide("我是李明你好") == f"我是{'*' * 6}你好"


def test_a_text_that_was_cut_off_is_hidden_and_a_mere_link_beginning_is_not() -> None:
    redactor = Redactor([CAPTION, "https://www.tiktok.com/@anna.store/video/7261234567890123456"])

    assert "Alles" not in redactor.hide(f"title is {CAPTION!r:.40}")
    assert len(CAPTION) > PART
    other = "https://www.tiktok.com/@other.store/video/7261234567890123457"
    assert redactor.hide(other) is other


def test_of_two_texts_that_begin_alike_the_whole_one_is_hidden() -> None:
    title = "New in store today and until Sunday: a jacket"
    longer = "New in store today and until Monday evening, for everybody: shoes, hats and more"
    assert Redactor([title, longer]).hide(f"is {title}.") == f"is {'*' * len(title)}."


def test_json_stays_json() -> None:
    value = {"a": [f"by {NAME}", 7261234567890123456, 5, True, None, 1.5], NAME: "x"}
    found = Redactor([NAME, "7261234567890123456"]).hide_in_json(value)

    stars = "*" * len(NAME.encode())
    assert found == {"a": [f"by {stars}", "*" * 19, 5, True, None, 1.5], stars: "x"}


def test_nothing_to_hide_changes_nothing() -> None:
    redactor = Redactor(["", "a", "2024"])
    assert not redactor
    assert redactor.hide(text := "2024 a") is text


def test_a_long_log_is_read_in_seconds() -> None:
    redactor = Redactor(f"Title {number} of a video with words" for number in range(2_000))
    line = json.dumps({"timestamp": "2026-11-28", "event": "Store synced", "store_code": "S001"})
    begun = time.process_time()
    for _ in range(20_000):
        redactor.hide(line)
    assert time.process_time() - begun < 5
