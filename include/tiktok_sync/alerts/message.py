"""One message for all alerts of a run, split to fit the channel's limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timezone

from include.tiktok_sync.alerts.log import Alert

MOST_PARTS = 5
"""A message that needs more parts is shortened: nobody reads fifteen of them."""

NAMED_IN_SHORT = 5
"""Stores that a shortened message names for each kind of alert."""

SEE = "the page TikTok in Airflow lists them all"

LEAST_ROOM = 60
"""Characters of a part at least, even if the channel's limit is lower."""

_NUMBER = len(" (00/00)")

# Kind -> title and heading, in the order in which they are shown. Numbers go first: a phone shows
# only the beginning.
_HEADLINES = {
    "run_failed": ("run failed", "Run failed"),
    "sla_missed": ("run is late", "Run is late"),
    "data_missing": ("figures missing", "Figures missing"),
    "refusals_doubted": ("TikTok refuses most grants", "Refused grants, not believed"),
    "needs_consent": ("{stores} need{s} consent", "{stores} need{s} consent"),
    "missing_scope": ("{stores} lack{s} a permission", "{stores} lack{s} a permission"),
    "grant_ends": ("consent of {stores} ends soon", "Consent of {stores} ends soon"),
}


@dataclass(frozen=True)
class Message:
    """A message for a channel, in plain text.

    Attributes:
        title: Starts with the number of stores.
        body: The full text.
        short: The same text naming only a few stores, with the total; empty = none.
    """

    title: str
    body: str
    short: str = ""

    def parts(self, room: int, *, lines: int = 0) -> list[Message]:
        """The message in numbered parts, each within the channel's limit.

        Nothing is lost, and no store code is cut in two: a part ends after a line, else after a
        code, else after a word.

        Args:
            room: Characters of a part's body, not counting the title.
            lines: Lines of a part; 0 = any number.
        """
        room = max(room - _NUMBER, LEAST_ROOM)
        texts = list(_chunks(self.body, room, lines))
        if len(texts) > MOST_PARTS and self.short:
            texts = list(_chunks(self.short, room, lines))
        if len(texts) == 1:
            return [replace(self, body=texts[0])]
        return [
            Message(f"{self.title} ({number}/{len(texts)})", text)
            for number, text in enumerate(texts, 1)
        ]


def message_of(alerts: Sequence[Alert]) -> Message:
    """One message for the alerts of one run (at least one); stores with one reason share a line."""
    first = alerts[0]
    titles = []
    parts: list[str] = []
    short: list[str] = []
    for kind, (title, heading) in _HEADLINES.items():
        of_kind = [alert for alert in alerts if _kind_of(alert) == kind]
        if of_kind:
            count = len(of_kind)
            words = {"stores": _stores(count), "s": "s" if count == 1 else ""}
            titles.append(title.format(**words))
            above = f"{heading.format(**words)}:"
            parts.append("\n".join([above, *_lines(of_kind)]))
            shortened = _lines(of_kind[:NAMED_IN_SHORT])
            if count > NAMED_IN_SHORT:
                shortened.append(f"- and {count - NAMED_IN_SHORT} more: {SEE}")
            short.append("\n".join([above, *shortened]))
    day = f" of {first.snapshot_date}" if first.snapshot_date else ""
    run = f"Dag {first.job_name}, run {first.run_id}{_delay(alerts)}"
    return Message(
        f"{', '.join(titles)}: TikTok {first.job_name}{day}",
        "\n\n".join([*parts, run]),
        "\n\n".join([*short, run]),
    )


def _kind_of(alert: Alert) -> str:
    lacks = alert.kind == "needs_consent" and alert.details.get("status") == "missing_scope"
    return "missing_scope" if lacks else alert.kind


def _stores(count: int) -> str:
    return "1 store" if count == 1 else f"{count} stores"


def _lines(alerts: Sequence[Alert]) -> list[str]:
    stores: dict[str, list[str]] = {}
    for alert in alerts:
        stores.setdefault(alert.message, []).extend([alert.store_code] if alert.store_code else [])
    return [_line(message, codes) for message, codes in stores.items()]


def _line(message: str, codes: Sequence[str]) -> str:
    named = ", ".join(codes)
    if len(codes) > NAMED_IN_SHORT:  # the reason goes before a long list
        return f"- {_stores(len(codes))}: {message}\n  {named}"
    return f"- {named}: {message}" if codes else f"- {message}"


def _chunks(text: str, room: int, lines: int) -> Iterator[str]:
    """A text split after its lines, or within a line that is too long; at least one piece."""
    held: list[str] = []
    for line in text.split("\n"):
        for piece in _pieces(line, room):
            size = sum(len(one) + 1 for one in held) + len(piece)
            if held and (size > room or (lines and len(held) >= lines)):
                yield "\n".join(held).strip("\n")
                held = []
            if held or piece:  # no part begins with an empty line
                held.append(piece)
    yield "\n".join(held).strip("\n")


def _pieces(line: str, room: int, separators: Sequence[str] = (", ", " ")) -> Iterator[str]:
    """A line split between codes, else between words, else anywhere."""
    if len(line) <= room:
        yield line
        return
    if not separators:
        yield from (line[start : start + room] for start in range(0, len(line), room))
        return
    separator, *others = separators
    held = ""
    for word in line.split(separator):
        longer = f"{held}{separator}{word}" if held else word
        if len(longer) <= room - 1:
            held = longer
            continue
        if held:
            yield (held + separator).rstrip()
        *whole, held = _pieces(word, room - 1, others)
        yield from whole
    yield held


def _delay(alerts: Sequence[Alert]) -> str:
    """When it was raised, if no channel accepted it at first."""
    delayed = [alert.raised_at for alert in alerts if alert.notify_error]
    if not delayed:
        return ""
    raised_at = min(delayed).astimezone(timezone.utc)
    return f"\nDelayed: raised at {raised_at:%Y-%m-%d %H:%M} UTC, when no channel accepted it."
