"""One message for everything that a run raised, in as many parts as a channel needs for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timezone

from include.tiktok_sync.alerts.log import Alert

MOST_PARTS = 5
"""A message that would take more parts is shortened: nobody reads on through fifteen of them."""

NAMED_IN_SHORT = 5
"""Stores that a shortened message names, of each kind of alert."""

SEE = "the page TikTok in Airflow lists them all"

LEAST_ROOM = 60
"""Characters of a part, however little a channel takes."""

_NUMBER = len(" (00/00)")

# Kind -> in the title, and above the text; in the order in which they are told. Numbers go first:
# a telephone shows no more than the beginning.
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
    """What a channel is given; plain text.

    Attributes:
        title: Says how many first.
        body: Everything.
        short: The same with a few stores named and all counted; empty = there is no shorter one.
    """

    title: str
    body: str
    short: str = ""

    def parts(self, room: int, *, lines: int = 0) -> list[Message]:
        """The message in numbered parts, none of them longer than a channel takes.

        Nothing is lost, and no store code is cut in two: a part ends behind a line, else behind a
        code, else behind a word.

        Args:
            room: Characters of a part's body; where the channel has no title, beside the title.
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
    """One message for the alerts of one run, at least one; stores of one reason share a line."""
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
    if len(codes) > NAMED_IN_SHORT:  # the reason before a long list, not behind it
        return f"- {_stores(len(codes))}: {message}\n  {named}"
    return f"- {named}: {message}" if codes else f"- {message}"


def _chunks(text: str, room: int, lines: int) -> Iterator[str]:
    """A text cut behind its lines, or within one that is too long; at least one piece."""
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
    """A line cut where it may be: between codes, else between words, else anywhere."""
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
    """How old it is, where no channel took it at first."""
    delayed = [alert.raised_at for alert in alerts if alert.notify_error]
    if not delayed:
        return ""
    raised_at = min(delayed).astimezone(timezone.utc)
    return f"\nDelayed: raised at {raised_at:%Y-%m-%d %H:%M} UTC, and no channel took it then."
