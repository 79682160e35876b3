"""What do a report's charts look like? Drawn without a browser: SVG for the page, PNG for slides.

Altair and vl-convert take a second to import and 140 MB: only what draws imports this module. The
SVG's colours are CSS variables, so that a page shows them light or dark. Texts are figures, dates
and weekdays; a chart names no store and no video, because nobody could take a name out again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from include.tiktok_sync.reports.figures import Figures
from include.tiktok_sync.reports.formats import UNKNOWN, Formats

WIDTH = 400
"""Pixels of a chart without its labels: as wide as a phone, so that texts stay readable there."""

_VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
_PNG_SCALE = 2.0
_ROOM = 6
"""Letters above one of nine bars."""

_STEPS = 5
"""Shades of the hours of posting."""

# Okabe and Ito's blue and orange, which people with any kind of colour blindness tell apart
# (https://jfly.uni-koeln.de/color/), and blues by lightness.
ON_PAPER: Mapping[str, str] = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "quiet": "#57606a",
    "grid": "#d8dee4",
    "past": "#9aa7b4",
    "now": "#0072b2",
    "mark": "#d55e00",
    "shade-1": "#d6e6f4",
    "shade-2": "#a6cbe8",
    "shade-3": "#64a5d6",
    "shade-4": "#2b78b5",
    "shade-5": "#0b4a83",
}
"""Colours of the light theme, and of every PNG."""

IN_THE_DARK: Mapping[str, str] = {
    "paper": "#14181d",
    "ink": "#e8ecf0",
    "quiet": "#a5b0bb",
    "grid": "#37414b",
    "past": "#66727e",
    "now": "#56b4e9",
    "mark": "#f0a030",
    "shade-1": "#173450",
    "shade-2": "#1d5480",
    "shade-3": "#2f7fb8",
    "shade-4": "#62aede",
    "shade-5": "#b3dbf6",
}

_AS_VARIABLES = {name: f"var(--{name})" for name in ON_PAPER}


@dataclass(frozen=True)
class Picture:
    """A drawn chart.

    Attributes:
        name: In the archive, and of its file.
        title: Above it.
        legend: What is what, below it.
        summary: The same in words, for those who cannot see it.
        svg: For a page that has the variables of :data:`ON_PAPER`.
        png: On white.
    """

    name: str
    title: str
    legend: str
    summary: str
    svg: str
    png: bytes


def draw(figures: Figures, formats: Formats) -> list[Picture]:
    """The report's charts; one of which nothing is known is left out."""
    drawn = (
        _weeks(figures, formats),
        _follower_days(figures, formats),
        _posting(figures, formats),
    )
    return [picture for picture in drawn if picture]


def of_rows(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """A chart without a form yet, of rows that stand in it."""
    return alt.Chart(alt.Data(values=list(rows)))  # type: ignore[no-untyped-call]  # it has no types


def _weeks(figures: Figures, formats: Formats) -> Picture | None:
    weeks = figures.view_weeks
    if all(gain is None for _, gain in weeks):
        return None
    rows = [
        {
            "week": formats.short_date(start),
            "gain": gain or 0,
            "text": formats.short(gain),
            "now": start == figures.week.start,
        }
        for start, gain in weeks
    ]
    usual = figures.totals["view_gain"].usual
    size = 12 if max(len(str(row["text"])) for row in rows) <= _ROOM else 10

    def chart(colours: Mapping[str, str]) -> Any:
        x = alt.X("week:N", sort=None, title=None)
        base = of_rows(rows)
        colour = alt.condition("datum.now", alt.value(colours["now"]), alt.value(colours["past"]))
        layers: list[Any] = [
            base.mark_bar(cornerRadius=2).encode(x=x, y=alt.Y("gain:Q", axis=None), color=colour),
        ]
        if usual is not None:
            line = of_rows([{"usual": usual}])
            layers.append(
                line.mark_rule(color=colours["mark"], strokeWidth=2, strokeDash=[5, 4]).encode(
                    y="usual:Q"
                )
            )
        return alt.layer(*layers, *_texts(base, x, colours, size=size)).properties(height=170)

    legend = "Blue: this week. The dates are Mondays."
    if usual is not None:
        legend += f" Dashed: the median of the 8 weeks before, {formats.short(usual)}."
    words = "; ".join(f"{row['week']}: {row['text']}" for row in rows)
    return _picture("views", "Views gained, week by week", legend, words, chart)


def _follower_days(figures: Figures, formats: Formats) -> Picture | None:
    days = figures.follower_days
    here = [figures.week.start.fromordinal(figures.week.start.toordinal() + n) for n in range(7)]
    if all(days.get(day) is None for day in here):
        return None
    names = formats.weekdays()
    rows = [
        {
            "day": names[n],
            "gain": days.get(day) or 0,
            "text": formats.short(days.get(day)),
            "before": days.get(day.fromordinal(day.toordinal() - 7)),
        }
        for n, day in enumerate(here)
    ]

    def chart(colours: Mapping[str, str]) -> Any:
        base = of_rows(rows)
        x = alt.X("day:N", sort=None, title=None)
        return alt.layer(
            base.mark_bar(cornerRadius=2, color=colours["now"]).encode(
                x=x, y=alt.Y("gain:Q", axis=None)
            ),
            base.transform_filter("datum.before !== null")
            .mark_tick(color=colours["mark"], thickness=3, width=34, opacity=1)
            .encode(x=x, y="before:Q"),
            *_texts(base, x, colours),
        ).properties(height=150)

    legend = (
        "Bar: this week. Line: the same day of the week before. A day's gain is what came in the 24"
        " hours before that day's sync (02:00 by default), mostly on the day before."
    )
    if any(days.get(day) is None for day in here):
        legend += f" {UNKNOWN}: unknown."
    words = "; ".join(f"{row['day']}: {row['text']}" for row in rows)
    return _picture("followers", "Followers gained, day by day", legend, words, chart)


def _posting(figures: Figures, formats: Formats) -> Picture | None:
    most = max(figures.hours.values(), default=0)
    if not most:
        return None
    names = formats.weekdays()
    rows = [
        {
            "day": names[day - 1],
            "hour": f"{hour:02}",
            "shade": -(-_STEPS * figures.hours.get((day, hour), 0) // most),
        }
        for day in range(1, 8)
        for hour in range(24)
    ]

    def chart(colours: Mapping[str, str]) -> Any:
        shades = [colours["paper"], *(colours[f"shade-{n}"] for n in range(1, _STEPS + 1))]
        return (
            of_rows(rows)
            .mark_rect(stroke=colours["grid"], strokeWidth=1)
            .encode(
                x=alt.X(
                    "hour:O",
                    title=None,
                    axis=alt.Axis(values=[f"{hour:02}" for hour in range(0, 24, 3)]),
                ),
                y=alt.Y("day:N", sort=None, title=None),
                color=alt.Color(
                    "shade:O",
                    scale=alt.Scale(domain=list(range(_STEPS + 1)), range=shades),
                    legend=None,
                ),
            )
            .properties(height=150)
        )

    (day, hour), _ = max(figures.hours.items(), key=lambda found: (found[1], found[0]))
    legend = (
        "By weekday and hour in each store's own time zone. The stronger the colour, the more; at"
        f" most {formats.count(most)} in one hour."
    )
    words = f"{sum(figures.hours.values())} videos; most on {names[day - 1]} from {hour:02}:00"
    return _picture("posting", "When videos were posted", legend, words, chart)


def _texts(
    base: alt.Chart, x: alt.X, colours: Mapping[str, str], *, size: int = 12
) -> list[alt.Chart]:
    """The figures above the bars, each on a patch of paper that keeps lines from crossing it."""
    patch: dict[str, Any] = {"stroke": colours["paper"], "strokeWidth": 4, "strokeJoin": "round"}
    return [
        base.mark_text(
            baseline="bottom", dy=-4, fontSize=size, color=colours["ink"], **style
        ).encode(x=x, y="gain:Q", text="text:N")
        for style in (patch, {})
    ]


def _picture(name: str, title: str, legend: str, words: str, chart: Any) -> Picture:
    svg = vl_convert.vegalite_to_svg(_spec(chart(_AS_VARIABLES), _AS_VARIABLES), _VEGA_LITE)
    png = vl_convert.vegalite_to_png(
        _spec(chart(ON_PAPER), ON_PAPER, background=ON_PAPER["paper"]),
        _VEGA_LITE,
        scale=_PNG_SCALE,
    )
    return Picture(name, title, legend, f"{title}. {words}", _to_inline(svg), png)


def _spec(
    chart: Any, colours: Mapping[str, str], background: str = "transparent"
) -> dict[str, Any]:
    text: dict[str, Any] = {
        "labelColor": colours["quiet"],
        "titleColor": colours["quiet"],
        "labelFontSize": 12,
    }
    styled = chart.properties(width=WIDTH, background=background, padding=4).configure(
        font="sans-serif",
        view=alt.ViewConfig(stroke=None),
        text=alt.MarkConfig(fontSize=12),
        axis=alt.AxisConfig(
            **text, domain=False, ticks=False, grid=False, labelAngle=0, labelPadding=6
        ),
    )
    found: dict[str, Any] = styled.to_dict()
    return found


def _to_inline(svg: str) -> str:
    """As wide as its place, and silent: the figure around it says what it shows."""
    return re.sub(
        r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>',
        r'<svg xmlns="http://www.w3.org/2000/svg" \1 aria-hidden="true">',
        svg,
    )
