"""Line charts as plain SVG: their geometry; ``templates/chart.html.j2`` draws it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, floor, log10

WIDTH, HEIGHT = 560, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 28, 14, 30
_LETTER = 7.5  # width of one in a label of the axis
_TICKS = 4
_MOST_DATES = 6


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        name: In the legend.
        points: By day; ``None`` = unknown, where the line is broken.
    """

    name: str
    points: Sequence[tuple[date, float | None]]


@dataclass(frozen=True)
class Mark:
    """A level to compare with, such as a target."""

    name: str
    value: float


@dataclass(frozen=True)
class Dot:
    """A day's value: where it is, and what a tooltip says."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """A drawn series: the unbroken pieces, as SVG ``points``, and each day."""

    name: str
    pieces: Sequence[str]
    dots: Sequence[Dot]


@dataclass(frozen=True)
class Label:
    """Text of an axis, or of a level."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Everything the template draws; lengths in the units of the view box."""

    title: str
    lines: Sequence[Line]
    levels: Sequence[Label]
    dates: Sequence[Label]
    marks: Sequence[Label]
    summary: str
    left: int
    width: int = WIDTH
    height: int = HEIGHT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM
    top: int = _TOP


def chart(
    title: str,
    series: Sequence[Series],
    text: Callable[[float], str],
    *,
    marks: Sequence[Mark] = (),
    least: float | None = None,
    most: float | None = None,
) -> Chart | None:
    """Lay out lines over a common range of days.

    Args:
        title: What is shown.
        series: One or two lines.
        text: A value for people, with its unit.
        marks: Levels to compare with.
        least: The axis begins here; ``None`` = where the values do.
        most: The axis ends here or below; ``None`` = as the values do.

    Returns:
        ``None`` when no value is known.
    """
    known = [value for line in series for _, value in line.points if value is not None]
    if not known:
        return None
    days = [day for line in series for day, value in line.points if value is not None]
    first, last = min(days), max(days)
    low, high, step = _axis([*known, *(mark.value for mark in marks)], least, most)
    levels = [low + step * number for number in range(round((high - low) / step) + 1)]
    left = max(_LEFT, ceil(max(len(text(level)) for level in levels) * _LETTER) + 10)

    def x(day: date) -> float:
        share = (day - first) / (last - first) if last > first else 0.5
        return round(left + share * (WIDTH - left - _RIGHT), 1)

    def y(value: float) -> float:
        share = (value - low) / (high - low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    return Chart(
        title=title,
        lines=[_line(one, x, y, text) for one in series],
        levels=[Label(y(level), text(level)) for level in levels],
        dates=[Label(x(day), f"{day:%d %b}") for day in _dates(first, last)],
        marks=[Label(y(mark.value), mark.name) for mark in marks],
        summary="; ".join(_in_words(one, text) for one in series),
        left=left,
    )


def _line(
    series: Series,
    x: Callable[[date], float],
    y: Callable[[float], float],
    text: Callable[[float], str],
) -> Line:
    pieces: list[list[str]] = [[]]
    dots = []
    previous: date | None = None
    for day, value in series.points:
        if value is None or (previous and day - previous > timedelta(days=1)):
            pieces.append([])
        if value is None:
            continue
        pieces[-1].append(f"{x(day)},{y(value)}")
        dots.append(Dot(x(day), y(value), f"{day:%d %b %Y}: {text(value)} ({series.name})"))
        previous = day
    return Line(series.name, [" ".join(piece) for piece in pieces if piece], dots)


def _axis(
    values: Sequence[float], least: float | None, most: float | None
) -> tuple[float, float, float]:
    """Begin, end and step of an axis with round numbers."""
    low = min(values) if least is None else least
    high = max(values)
    rough = (high - low or abs(high) or 1.0) / _TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)
    begin = floor(low / step) * step if least is None else least
    end = begin + step * max(1, ceil((high - begin) / step - 1e-9))
    return begin, end if most is None else min(end, most), step


def _dates(first: date, last: date) -> list[date]:
    span = (last - first).days
    every = max(1, ceil(span / (_MOST_DATES - 1)))
    return [last - timedelta(days=number) for number in range(0, span + 1, every)]


def _in_words(series: Series, text: Callable[[float], str]) -> str:
    known = [value for _, value in series.points if value is not None]
    if not known:
        return f"{series.name}: no value"
    return (
        f"{series.name}: {len(known)} days, last {text(known[-1])}, lowest {text(min(known))},"
        f" highest {text(max(known))}"
    )
