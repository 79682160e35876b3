"""How is a report written? One HTML file that loads nothing, and its headline as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from include.tiktok_sync.reports.charts import IN_THE_DARK, ON_PAPER, Picture
from include.tiktok_sync.reports.figures import GAPS_SHOWN, Figures, Total
from include.tiktok_sync.reports.formats import Formats

TEMPLATES = Path(__file__).parent / "templates"

NAMES: Mapping[str, str] = {
    "view_gain": "Views gained",
    "follower_gain": "Followers gained",
    "likes_gain": "Likes gained",
    "videos_new": "Videos posted",
    "videos_removed": "Videos removed",
}
"""Figures of ``store_week`` -> what they are called."""

_GAINS = frozenset({"view_gain", "follower_gain", "likes_gain"})
_STATES = {
    "needs_consent": "consent ended or withdrawn",
    "missing_scope": "a permission is missing",
    "not_connected": "never connected",
}
_SECURE = re.compile(r"https://", re.IGNORECASE)

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def page(
    figures: Figures, pictures: Sequence[Picture], formats: Formats, *, made_at: datetime, zone: str
) -> str:
    """The report as HTML.

    Args:
        figures: What it says.
        pictures: Its charts.
        formats: How numbers and dates are written.
        made_at: When.
        zone: The sync's time zone, in which ``made_at`` is shown.
    """
    return _ENVIRONMENT.get_template("report.html.j2").render(
        figures=figures,
        formats=formats,
        pictures={picture.name: picture for picture in pictures},
        made_at=formats.moment(made_at, zone),
        period=formats.span(figures.week.start, figures.week.end),
        totals=[
            (NAMES[name], _value(name, total, formats), total, _uneven(total, formats))
            for name, total in figures.totals.items()
        ],
        states=_STATES,
        gaps_shown=GAPS_SHOWN,
        safe_link=_safe_link,
        svg=Markup,
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own
        light=_variables(ON_PAPER),
        dark=_variables(IN_THE_DARK),
    )


def headline(figures: Figures, formats: Formats) -> str:
    """Its main figures in a few lines of text, without the name of a store or a video."""
    stores = figures.region or "all stores"
    lines = [f"{formats.span(figures.week.start, figures.week.end)}, {stores}", ""]
    for name, total in figures.totals.items():
        compared = _compared(total, formats)
        lines.append(f"{NAMES[name]}: {_value(name, total, formats)}{compared}")
    lines += [
        "",
        f"Stores with missing days: {formats.count(len(figures.gaps))}",
        f"Stores that need consent now: {formats.count(len(figures.consent))}",
    ]
    return "\n".join(lines)


def _value(name: str, total: Total, formats: Formats) -> str:
    if total.value is None:
        return "unknown"
    return formats.gain(total.value) if name in _GAINS else formats.count(total.value)


def _compared(total: Total, formats: Formats) -> str:
    changes = (
        (formats.change(total.value, total.before), "the week before"),
        (formats.change(total.value, total.usual), "the usual week"),
    )
    known = [f"{change} on {what}" for change, what in changes if change is not None]
    if known and total.uneven:
        known.append(_uneven(total, formats))
    return f" ({', '.join(known)})" if known else ""


def _uneven(total: Total, formats: Formats) -> str:
    """That some stores' gains cover more or fewer days in one of the two weeks; or nothing."""
    if not total.uneven:
        return ""
    if total.uneven == 1:
        return "1 store does not have 7 days in both weeks"
    return f"{formats.count(total.uneven)} stores do not have 7 days in both weeks"


def _safe_link(link: str | None) -> str | None:
    """A link that leads to a web page; anything else, such as a script, is left out."""
    return link if link and _SECURE.match(link) else None


def _variables(colours: Mapping[str, str]) -> Markup:
    lines = " ".join(f"--{name}: {colour};" for name, colour in colours.items())
    return Markup(lines)  # noqa: S704 - constants of charts.py
