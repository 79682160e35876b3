"""The figures as pictures: SVG, the same bytes from the same figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import count
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.measure.meter import PARTS
from benchmarks.report.figures import by_workload, label_of, per_store_ms, points_of

_STYLE: Any = {
    # Text as shapes: it looks the same everywhere, and needs no font.
    "svg.fonttype": "path",
    "svg.hashsalt": "performance",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}
_COLOURS = {
    "package": "#0072b2",
    "first": "#d55e00",
    "batches": "#009e73",
    "loop": "#777777",
}
"""Okabe and Ito's, which people with any colour vision can tell apart."""

_PART_COLOURS = (
    *("#0072b2", "#004466", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#aaaaaa"),
    *("#f0e442", "#e69f00", "#555555", "#000000"),
)


def compare_chart(results: Mapping[str, Any]) -> str:
    """How many times the floor each variant took, one line each, by workload."""
    with mpl.rc_context(_STYLE):
        rows = [(name, one) for name, one in by_workload(results) if not one["problem"]]
        titles = len({name for name, _ in rows})
        figure = Figure(figsize=(8, 0.9 + 0.34 * (len(rows) + titles)), layout="constrained")
        axes = figure.subplots()
        labels, places, at = [], [], 0.0
        group = ""
        for name, one in rows:
            if name != group:
                group, at = name, at + 1.1
                axes.text(0.8, at - 0.75, name, fontweight="bold", va="center")
            ratio = one["wall_s"] / one["floor_s"]
            hollow = one["sample"] is not None
            colour = _COLOURS[one["way"]]
            axes.plot([1, ratio], [at, at], color=colour, linewidth=2, alpha=0.5)
            axes.plot(
                ratio,
                at,
                "o",
                color=colour,
                markersize=7,
                markerfacecolor="white" if hollow else colour,
            )
            axes.text(ratio * 1.06, at, f"{one['wall_s']:,.0f} s, {ratio:.2f}x", va="center")
            labels.append(label_of(one))
            places.append(at)
            at += 1
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xscale("log")
        axes.set_xlim(0.78, 70)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks([1, 2, 5, 10, 20, 50])
        axes.set_yticks(places, labels)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(at, 0)
        axes.set_xlabel("wall time as a multiple of the floor (black line); hollow: extrapolated")
        return _svg(figure)


def cpu_chart(results: Mapping[str, Any]) -> str:
    """Processor time of a store in one sync, by part: where TikTok is steady and all are done."""
    with mpl.rc_context(_STYLE):
        rows = [
            (f"{label_of(one)}: {name}", one)
            for name, one in by_workload(results)
            if not one["problem"] and not one["sample"] and one["latency"] == "constant"
        ]
        figure = Figure(figsize=(8, 1.2 + 0.32 * len(rows)), layout="constrained")
        axes = figure.subplots()
        names = [name for name, _ in rows]
        left = [0.0] * len(rows)
        for part, colour in zip(PARTS, _PART_COLOURS, strict=True):
            values = [per_store_ms(one, part) for _, one in rows]
            if max(values, default=0.0) < 1:
                continue
            axes.barh(names, values, left=left, color=colour, label=part, height=0.7)
            left = [so_far + value for so_far, value in zip(left, values, strict=True)]
        for row, total in enumerate(left):
            axes.text(total, row, f" {total:,.0f}", va="center")
        axes.margins(x=0.1)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_xlabel("processor milliseconds a store and sync")
        figure.legend(loc="outside lower center", ncols=5)
        return _svg(figure)


def growth_chart(results: Mapping[str, Any]) -> str:
    """Four pictures over the number of stores: time, processor, memory and databases, loops."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8, 6), layout="constrained")
        (time, cpu), (size, loop) = figure.subplots(2, 2)
        for job, colour in (("user", _COLOURS["package"]), ("video", _COLOURS["first"])):
            points = points_of(results, job)
            stores = [point["measured"]["stores"] for point in points]
            ones = [point["measured"] for point in points]
            line = {"marker": "o", "color": colour, "label": f"{job} sync"}
            time.plot(stores, [1000 * one["wall_s"] / one["stores"] for one in ones], **line)
            cpu.plot(stores, [per_store_ms(one) for one in ones], **line)
            loops = [point["loops"] or {} for point in points]
            loop.plot(stores, [found.get("mean_ms") for found in loops], **line)
            loop.plot(stores, [found.get("p95_ms") for found in loops], ":", color=colour)
        last = points_of(results, "video")
        stores = [point["measured"]["stores"] for point in last]
        grey, green = "#555555", _COLOURS["batches"]
        size.plot(
            stores, [p["measured"]["memory_mb"] for p in last], "o-", color=grey, label="memory"
        )
        size.plot(
            stores, [p["store_db_mb"] for p in last], "o-", color=green, label="store database"
        )
        size.plot(
            stores,
            [p["airflow_db_mb"] for p in last],
            "o:",
            color=green,
            label="Airflow's database",
        )
        titles = {
            time: "wall time, ms a store",
            cpu: "processor time, ms a store",
            size: "most memory; databases afterwards, MB",
            loop: "scheduler's loop, ms (dotted: 95 in 100 are shorter)",
        }
        for axes, title in titles.items():
            _over_stores(axes, title, stores)
        return _svg(figure)


def _over_stores(axes: Axes, title: str, stores: Sequence[int]) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xscale("log")
    axes.set_xticks(stores, [f"{number:,}" for number in stores])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
    axes.set_xlabel("stores")
    axes.set_ylim(bottom=0)
    axes.legend()


def _svg(figure: Figure) -> str:
    text = BytesIO()
    figure.savefig(text, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    lines = text.getvalue().decode().splitlines()
    return _with_plain_ids("\n".join(line.rstrip() for line in lines) + "\n")


def _with_plain_ids(svg: str) -> str:
    """Number what Matplotlib names by hashes of coordinates that processors round differently."""
    numbers = count(1)
    for name in dict.fromkeys(re.findall(r'(?<=id=")[a-z][0-9a-f]{10}(?=")', svg)):
        svg = svg.replace(name, f"shape_{next(numbers)}")
    return svg
