"""What does a manager read about personal data before consenting? The privacy notice, by version.

Short on the page, the whole text one tap away, and the same words in the record: the version is a
hash of the text, so that no change can go unnoticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from include.connect.settings import ConnectSettings

_VERSION_DIGITS = 16

_DATA = {
    "user.info.basic": (
        "name and picture",
        "The account's display name, its picture, and its identifiers at TikTok",
    ),
    "user.info.profile": (
        "profile",
        "Its username, profile text and link, and whether it is verified",
    ),
    "user.info.stats": (
        "numbers of followers, likes and videos",
        "How many followers, likes and videos it has, and how many accounts it follows",
    ),
    "video.list": (
        "public videos with their figures",
        "Its public videos: title, description, cover, links, length, time and figures of each",
    ),
}
"""Scope -> the data that it gives, in short and in full; in the order in which they are listed."""

_BUSINESS_DATA = {
    "user.insights": (
        "statistics of each day and of its followers as a whole",
        (
            "Statistics of the account for each of the last 60 days and from then on: views, visits"
            " of the profile, likes, comments, shares, new followers, clicks"
        ),
        (
            "How its followers divide by age group, gender, country and city, and at which hours"
            " they are online: shares and counts, no single person"
        ),
    ),
    "video.insights": (
        "how its videos are watched",
        (
            "For each public post: how many people it reached, how long it was watched, where"
            " viewers came from and how they divide by country, city and gender"
        ),
    ),
    "user.account.type": ("", "Whether it is a personal or a business account"),
}
"""The same for what only the Accounts API gives; empty = left out of the short text."""


@dataclass(frozen=True)
class Section:
    """A part of the whole text."""

    title: str
    lines: tuple[str, ...]
    intro: str = ""


@dataclass(frozen=True)
class Notice:
    """One privacy notice.

    Attributes:
        title: Its heading.
        short: Question and answer, for the page itself.
        sections: The whole text.
        policy_url: The retailer's own policy; empty = none.
    """

    title: str
    short: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    policy_url: str

    @cached_property
    def text(self) -> str:
        """All of it without markup: what is recorded."""
        lines = [self.title, "", *(f"{term}: {answer}" for term, answer in self.short)]
        for section in self.sections:
            lines += ["", section.title, *filter(None, [section.intro])]
            lines += [f"- {line}" for line in section.lines]
        if self.policy_url:
            lines += ["", f"Our privacy policy: {self.policy_url}"]
        return "\n".join(lines) + "\n"

    @cached_property
    def version(self) -> str:
        """The first hex digits of the text's SHA-256, as the table ``privacy_notices`` checks."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:_VERSION_DIGITS]

    @classmethod
    def of(cls, settings: ConnectSettings) -> Notice:
        """The notice that the settings make."""
        words = _Words(settings)
        return cls(
            title=f"Privacy notice of {settings.retailer}",
            short=tuple(words.short()),
            sections=tuple(words.sections()),
            policy_url=settings.policy_url,
        )


class _Words:
    def __init__(self, settings: ConnectSettings) -> None:
        self._settings = settings
        retailer = settings.retailer
        self._who = settings.controller or retailer
        self._contact = (
            settings.privacy_contact or settings.contact or "the person who sent you the link"
        )
        self._purpose = settings.purpose or (
            f"To follow from day to day how the TikTok accounts of {retailer}'s own stores do, and"
            " to compare them with each other."
        )
        self._recipients = settings.recipients or (
            f"The people at {retailer} who work with these figures, and those who run its database."
        )

    def short(self) -> Iterator[tuple[str, str]]:
        data = [short for short, _ in self._data()]
        yield "Who asks", _sentence(self._who)
        yield "Which data", _sentence(f"Of the account: {'; '.join(data)}")
        if more := [short for short, *_ in self._business_data() if short]:
            yield "If you allow that too", _sentence("; ".join(more).capitalize())
        yield "What for", _sentence(self._purpose)
        yield "How long", self._short_time()
        yield "Who sees it", _sentence(self._recipients)
        yield (
            "How to withdraw",
            "At any time, in TikTok's settings, among the apps that have access.",
        )
        yield "Questions", _sentence(f"Ask {self._contact}")

    def sections(self) -> Iterator[Section]:
        settings = self._settings
        yield Section("Who is responsible", (_sentence(self._who),))
        yield Section(
            "Which data",
            (
                *(long for _, long in self._data()),
                "The keys that TikTok issues for reading this, encrypted; they only let us read",
                "When you consented, and which version of this notice you were shown",
            ),
            intro="From TikTok, every night once you have allowed it, and about your consent:",
        )
        if more := [line for _, *long in self._business_data() for line in long]:
            yield Section(
                "Which data besides, if you allow that too",
                tuple(more),
                intro="TikTok asks for these separately, and you can allow either without the"
                " other:",
            )
        why = [_sentence(self._purpose)]
        if settings.legal_basis:
            why.append(f"Legal basis: {_sentence(settings.legal_basis)}")
        yield Section("What for", tuple(why))
        yield Section("How long", tuple(self._times()))
        yield Section("Who sees it", (_sentence(self._recipients),))
        yield Section(
            "How to withdraw",
            (
                "You are free to refuse, and can withdraw at any time without giving a reason.",
                "Remove this app in TikTok's settings, among the apps that have access.",
                *self._two_entries(),
                _sentence(f"Or ask {self._contact}"),
                "We then read nothing more. What was done before remains lawful.",
            ),
        )
        yield Section(
            "Your rights",
            (
                "You can ask for a copy of the data, for correction or deletion.",
                "You can object to their use.",
                "Under European or UK law you can complain to a data protection authority.",
                _sentence(f"Ask {self._contact}"),
            ),
        )

    def _data(self) -> list[tuple[str, str]]:
        return [texts for scope, texts in _DATA.items() if scope in self._settings.scopes]

    def _business_data(self) -> list[tuple[str, ...]]:
        settings = self._settings
        if "business" not in settings.apis:
            return []
        return [
            texts for scope, texts in _BUSINESS_DATA.items() if scope in settings.business_scopes
        ]

    def _two_entries(self) -> Iterator[str]:
        if "business" in self._settings.apis:
            yield "If you have allowed both, these are two entries there; remove either or both."

    def _short_time(self) -> str:
        settings = self._settings
        said = []
        if settings.identity_days:
            said.append(f"Names of past days: {_days(settings.identity_days)}.")
        ends = f"{_days(settings.left_days)} after the access ends"
        said.append(
            "All names, texts and links: until"
            f" {ends if settings.left_days else 'you ask for their deletion'}."
        )
        return " ".join([*said, "Figures: longer."])

    def _times(self) -> Iterator[str]:
        settings = self._settings
        if settings.identity_days:
            yield (
                "The account's name, profile text and picture: the present ones while it is"
                f" connected, those of each past day for {_days(settings.identity_days)}."
            )
        else:
            yield "The account's name, profile text and picture: without a time limit."
        if settings.removed_text_days:
            yield (
                "Title, description and cover of a video: until"
                f" {_days(settings.removed_text_days)} after we see that it is gone from TikTok."
            )
        else:
            yield "Title, description and cover of a video: also when it is gone from TikTok."
        if settings.left_days:
            yield (
                f"{_days(settings.left_days).capitalize()} after the access ends, names, texts,"
                " pictures and links are deleted, unless the account is connected again; at once if"
                " TikTok tells us that the account itself is gone."
            )
        else:
            yield "When the access ends, names, texts, pictures and links are deleted on request."
        yield self._figures()
        if settings.apply and settings.connect_days:
            yield (
                f"The record of a visit to these pages: {_days(settings.connect_days)}. That of the"
                " latest visit that connected the account, and the record of your consent, longer:"
                " they are the proof of it."
            )
        else:
            yield "The record of visits to these pages and of your consent: without a time limit."
        yield "Deleted data can remain in backups until these are replaced."

    def _figures(self) -> str:
        settings = self._settings
        if settings.apply and settings.weekly_days:
            return (
                f"A video's figures: {_days(settings.weekly_days)}. The account's figures: without"
                " a time limit."
            )
        return "Figures, which have no names in them: without a time limit."


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _sentence(text: str) -> str:
    """With a full stop, unless it ends a sentence by itself."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
