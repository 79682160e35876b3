"""One message for everything that a run raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timezone

from include.tiktok_sync.alerts import Alert, AlertKind

_HEADLINES: Mapping[AlertKind, tuple[str, str]] = {
    "run_failed": ("run failed", "Run failed"),
    "sla_missed": ("run is late", "Run is late"),
    "data_missing": ("figures missing", "Figures missing"),
    "refusals_doubted": ("TikTok refuses most grants", "Refused grants, not believed"),
    "needs_consent": ("{stores} to be connected again", "To be connected again"),
    "grant_ends": ("consent of {stores} ends soon", "Consent ends soon"),
}
"""In the title, and above the text; in the order in which they are told."""


@dataclass(frozen=True)
class Message:
    """What a channel is given; plain text."""

    title: str
    body: str


def message_of(alerts: Sequence[Alert]) -> Message:
    """One message for the alerts of one run, at least one; stores of one reason share a line."""
    first = alerts[0]
    titles, parts = [], []
    for kind, (title, heading) in _HEADLINES.items():
        of_kind = [alert for alert in alerts if alert.kind == kind]
        if of_kind:
            count = len(of_kind)
            titles.append(title.format(stores="1 store" if count == 1 else f"{count} stores"))
            parts.append("\n".join([f"{heading}:", *_lines(of_kind)]))
    day = f" of {first.snapshot_date}" if first.snapshot_date else ""
    parts.append(f"Dag {first.job_name}, run {first.run_id}{_delay(alerts)}")
    return Message(f"TikTok sync {first.job_name}{day}: {', '.join(titles)}", "\n\n".join(parts))


def _lines(alerts: Sequence[Alert]) -> list[str]:
    stores: dict[str, list[str]] = {}
    for alert in alerts:
        stores.setdefault(alert.message, []).extend([alert.store_code] if alert.store_code else [])
    return [
        f"- {', '.join(codes)}: {message}" if codes else f"- {message}"
        for message, codes in stores.items()
    ]


def _delay(alerts: Sequence[Alert]) -> str:
    """How old it is, where no channel took it at first."""
    delayed = [alert.raised_at for alert in alerts if alert.notify_error]
    if not delayed:
        return ""
    raised_at = min(delayed).astimezone(timezone.utc)
    return f"\nDelayed: raised at {raised_at:%Y-%m-%d %H:%M} UTC, and no channel took it then."
