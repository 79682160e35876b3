"""Does a message fit what a channel takes, in few parts, with nothing lost and no code cut?"""

from __future__ import annotations

from datetime import date, datetime, timezone

import pytest

from include.tiktok_sync.alerts.log import Alert, AlertKind
from include.tiktok_sync.alerts.message import MOST_PARTS, Message, message_of

ENDED = "The grant has ended. Its manager must connect the account again."


def alert(
    number: int,
    kind: AlertKind = "needs_consent",
    message: str = ENDED,
    *,
    code: str | None = None,
    **details: str,
) -> Alert:
    now = datetime(2026, 11, 28, 2, 5, tzinfo=timezone.utc)
    code = code or f"STORE-{number:03}"
    day = date(2026, 11, 28)
    return Alert(number, kind, "sync_user_daily", "night-1", code, day, message, details, now, None)


def dead(count: int) -> list[Alert]:
    return [alert(number) for number in range(count)]


@pytest.mark.parametrize("room", [400, 1024, 1900, 4000, 32_000])
def test_every_code_arrives_whole_in_parts_that_fit_and_are_numbered(room: int) -> None:
    message = message_of(dead(300))

    parts = message.parts(room)

    assert all(len(part.body) <= room for part in parts)
    assert len(parts) <= MOST_PARTS
    assert parts[0].body.startswith("300 stores need consent:\n- ")
    count = len(parts)
    for number, part in enumerate(parts, 1):
        assert part.title.startswith(
            "300 stores need consent: TikTok sync_user_daily of 2026-11-28"
        )
        assert part.title.endswith(f" ({number}/{count})") is (count > 1)
    told = " ".join(part.body for part in parts)
    whole = {word.strip(",:") for word in told.split() if "STORE" in word}
    if room < 1024:  # it would take more parts than anybody reads
        assert whole == {f"STORE-{number:03}" for number in range(5)}
        assert "- and 295 more: the page TikTok in Airflow lists them all" in told
    else:
        assert whole == {f"STORE-{number:03}" for number in range(300)}
    assert ENDED in " ".join(told.split())


def test_a_text_message_says_the_number_first_and_takes_few_parts() -> None:
    parts = message_of(dead(300)).parts(90)

    assert parts[0].body.startswith("300 stores need consent:")
    assert len(parts) <= MOST_PARTS + 1
    assert all(len(part.body) <= 90 for part in parts)


def test_three_hundred_reasons_are_shortened_where_they_would_be_a_flood() -> None:
    ending = [
        alert(
            number, "grant_ends", f"The consent ends on 2026-12-{1 + number % 28:02}, run {number}."
        )
        for number in range(300)
    ]
    message = message_of(ending)

    assert len(message.parts(32_000)) == 1
    (short,) = message.parts(1900)
    assert short.body.startswith("Consent of 300 stores ends soon:\n- STORE-000: The consent")
    assert "- and 295 more" in short.body


def test_a_code_with_blanks_is_not_cut() -> None:
    codes = [f"Shop No. {number:03}" for number in range(200)]
    message = message_of([alert(1, code=code) for code in codes])

    told = [part.body for part in message.parts(1000)]

    assert len(told) > 1
    for code in codes:
        assert sum(code in text for text in told) == 1


def test_a_part_has_no_more_lines_than_the_channel_takes() -> None:
    for part in message_of(dead(3)).parts(1000, lines=2):
        assert len(part.body.splitlines()) <= 2


def test_a_word_longer_than_a_part_is_cut_rather_than_lost() -> None:
    parts = Message("title", "x" * 1000).parts(208)
    assert "".join(part.body for part in parts) == "x" * 1000


def test_stores_that_lack_a_permission_are_counted_apart() -> None:
    message = message_of([alert(1), alert(2, message="No videos.", status="missing_scope")])

    assert message.title.startswith("1 store needs consent, 1 store lacks a permission: ")
    assert "1 store lacks a permission:\n- STORE-002: No videos." in message.body
