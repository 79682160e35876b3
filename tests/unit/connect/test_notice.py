"""Does the privacy notice say what the settings say, and is every other text another version?"""

from __future__ import annotations

import pytest

from include.connect.notice import Notice
from include.connect.settings import ConnectSettings
from include.tiktok_sync.errors import ConfigurationError
from tests.unit.connect.test_settings import ENV

TEXTS = {
    "PRIVACY_CONTROLLER": "Nordlicht Handels-GmbH, Kiel",
    "PRIVACY_PURPOSE": "To plan our videos",
    "PRIVACY_LEGAL_BASIS": "Your consent",
    "PRIVACY_RECIPIENTS": "Our press office",
    "PRIVACY_CONTACT": "privacy@nordlicht.example",
    "PRIVACY_POLICY_URL": "https://nordlicht.example/privacy",
}


def notice(**env: str) -> Notice:
    return Notice.of(ConnectSettings.from_env({**ENV, **env}))


def test_without_settings_every_question_has_an_answer() -> None:
    found = notice()
    assert [term for term, answer in found.short if answer] == [
        "Who asks",
        "Which data",
        "What for",
        "How long",
        "Who sees it",
        "How to withdraw",
        "Questions",
    ]
    answers = dict(found.short)
    assert answers["Who asks"] == "Nordlicht."
    assert answers["Questions"] == "Ask the person who sent you the link."
    assert "Nordlicht's own stores" in answers["What for"]
    assert answers["How long"] == (
        "Names of past days: 90 days. All names, texts and links: until 30 days after the access"
        " ends. Figures: longer."
    )
    assert "Legal basis" not in found.text
    assert "policy" not in found.text


@pytest.mark.parametrize("name", TEXTS)
def test_each_text_is_in_it_and_makes_another_version(name: str) -> None:
    changed = notice(**{name: TEXTS[name]})
    assert TEXTS[name] in changed.text
    assert changed.version != notice().version
    assert changed.version == notice(**{name: f" {TEXTS[name]} "}).version


def test_the_contact_of_the_app_answers_where_there_is_no_other() -> None:
    contact = {"CONNECT_CONTACT": "social@nordlicht.example"}
    assert dict(notice(**contact).short)["Questions"] == "Ask social@nordlicht.example."
    assert "social@" not in notice(**contact, **TEXTS).text


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"RETENTION_IDENTITY_DAYS": "45"}, "those of each past day for 45 days"),
        ({"RETENTION_IDENTITY_DAYS": "0"}, "profile text and picture: without a time limit"),
        ({"RETENTION_REMOVED_TEXT_DAYS": "7"}, "until 7 days after we see that it is gone"),
        ({"RETENTION_REMOVED_TEXT_DAYS": "0"}, "also when it is gone"),
        ({"RETENTION_LEFT_DAYS": "1"}, "until 1 day after the access ends"),
        ({"RETENTION_LEFT_DAYS": "0"}, "until you ask for their deletion"),
        ({"RETENTION_APPLY": "yes"}, "The record of a visit to these pages: 180 days"),
        ({"RETENTION_APPLY": "yes", "RETENTION_WEEKLY_DAYS": "800"}, "A video's figures: 800 days"),
        ({"RETENTION_WEEKLY_DAYS": "800"}, "no names in them: without a time limit"),
    ],
)
def test_it_promises_what_retention_does(env: dict[str, str], says: str) -> None:
    assert says in notice(**env).text
    if env != {"RETENTION_WEEKLY_DAYS": "800"}:  # of no effect alone: nothing is deleted
        assert notice(**env).version != notice().version


def test_only_data_that_is_asked_for_is_named() -> None:
    some = notice(CONNECT_SCOPES="user.info.basic,video.list").text
    assert "display name" in some
    assert "public videos" in some
    assert "followers" not in some
    assert "username" not in some


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PRIVACY_PURPOSE", "x" * 501),
        ("PRIVACY_CONTROLLER", "Nordlicht\nKiel"),
        ("PRIVACY_POLICY_URL", "http://nordlicht.example/privacy"),
        ("PRIVACY_POLICY_URL", "javascript:alert(1)"),
        ("PRIVACY_POLICY_URL", "https://"),
        ("PRIVACY_POLICY_URL", "https://nordlicht.example/our policy"),
        ("RETENTION_LEFT_DAYS", "a month"),
    ],
)
def test_one_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        notice(**{name: value})


BUSINESS = {"TIKTOK_BUSINESS_APP_ID": "73", "TIKTOK_BUSINESS_SECRET": "s"}


def test_the_second_api_is_named_once_it_is_set_up_and_not_before() -> None:
    on, off = notice(**BUSINESS), notice()
    assert on.version != off.version
    assert dict(on.short)["If you allow that too"] == (
        "Statistics of each day and of its followers as a whole; how its videos are watched."
    )
    assert "no single person" in on.text
    assert "these are two entries there" in on.text
    fewer = notice(**BUSINESS, CONNECT_BUSINESS_SCOPES="user.info.basic user.insights video.list")
    assert "how it was watched" not in fewer.text
    # Word for word what managers were shown before there was a second API.
    assert set(on.text.splitlines()) > set(off.text.splitlines())
