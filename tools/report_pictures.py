"""The pictures of docs/reports.md and docs/analysts.md: ``make report-pictures``.

Drawn from a made-up retailer's year in a database of their own; nothing else need run.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import altair as alt
import psycopg
import pytest
import vl_convert
from PIL import Image
from psycopg.rows import dict_row

import tests.conftest  # noqa: F401 - Airflow, with a home of its own
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.reports.charts import ON_PAPER, of_rows
from include.tiktok_sync.reports.making import make_report
from include.tiktok_sync.reports.week import Week
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.schema import upgrade
from tests.browser import open_page, running_browser
from tests.database.rows.retail_year import write_year
from tests.postgres_server import scratch_postgres

DOCS = Path(__file__).resolve().parents[1] / "docs"
QUESTION = re.compile(r"^### (.+?)\n\n```sql\n-- as \w+\n(.+?);\n```$", re.MULTILINE | re.DOTALL)
"""Of docs/analysts.md: its words and its query."""

STORES = 40
LINES = 10
_COLOURS = 64
_SIZE = {"width": 360, "height": 150}
_WINDOW = {"width": 900, "height": 1000}

Rows = Sequence[Mapping[str, Any]]


def _bars(label: str, value: str, *, also: str = "") -> Callable[[Rows], Any]:
    """The first rows by name; ``also`` is a second part of the name."""

    def chart(rows: Rows) -> Any:
        points = [
            {
                "name": f"{row[label]} ({row[also]})" if also else str(row[label]),
                "value": None if row[value] is None else float(row[value]),
            }
            for row in rows[:LINES]
        ]
        return (
            of_rows(points)
            .mark_bar(color=ON_PAPER["now"])
            .encode(
                x=alt.X("value:Q", title=value),
                y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
            )
        )

    return chart


def _lines(x: str, y: str, colour: str = "") -> Callable[[Rows], Any]:
    def chart(rows: Rows) -> Any:
        points: list[dict[str, Any]] = [
            {
                "x": str(row[x]),
                "y": None if row[y] is None else float(row[y]),
                "of": str(row[colour]) if colour else y,
            }
            for row in rows
        ]
        points.sort(key=lambda point: float(point["x"]) if point["x"].isdecimal() else 0)
        return (
            of_rows(points)
            .mark_line(point=True)
            .encode(
                x=alt.X("x:T" if "-" in points[0]["x"] else "x:Q", title=x),
                y=alt.Y("y:Q", title=y),
                color=alt.Color(
                    "of:N",
                    title=colour or None,
                    legend=alt.Legend() if colour else None,
                    scale=alt.Scale(range=["#0072b2", "#d55e00", "#009e73", "#cc79a7"]),
                ),
            )
        )

    return chart


def _hours(rows: Rows) -> Any:
    of_first = [row for row in rows if row["region"] == rows[0]["region"]]
    points = [
        {
            "hour": row["hour"],
            "weekday": row["weekday"],
            "median": None if row["median_of_the_stores"] is None else row["median_of_the_stores"],
        }
        for row in of_first
    ]
    return (
        of_rows(points)
        .mark_rect()
        .encode(
            x=alt.X("hour:O", title=f"hour, region {rows[0]['region']}"),
            y=alt.Y("weekday:O"),
            color=alt.Color("median:Q", title=["median", "views"], scale=alt.Scale(scheme="blues")),
        )
    )


ANSWERS: Sequence[tuple[str, Callable[[Rows], Any]]] = (
    ("better-than-usual", _bars("store_code", "view_gain_vs_median")),
    ("followers-by-region", _lines("month", "followers_gained", "region")),
    ("best-engagement", _bars("title", "engagement_rate_by_views", also="store_name")),
    ("after-posting", _lines("days_after_posting", "median_views")),
    ("when-to-post", _hours),
    ("hashtags", _bars("hashtag", "mean_views")),
    ("post-little", _bars("store_code", "videos_in_4_weeks")),
    ("taking-off", _bars("title", "views_gained_in_3_days", also="store_code")),
    ("whole-chain", _lines("snapshot_date", "follower_gain")),
    ("out-of-date", _bars("store_code", "video_days_missing_30d")),
)
"""File and chart of each question, in the page's order."""


def _keep(png: bytes, file: Path) -> None:
    Image.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS).save(file, optimize=True)
    sys.stderr.write(f"Wrote {file} ({file.stat().st_size // 1024} KB)\n")


def _answers(conn: Connection) -> None:
    folder = DOCS / "pictures" / "answers"
    folder.mkdir(parents=True, exist_ok=True)
    questions = QUESTION.findall((DOCS / "analysts.md").read_text(encoding="utf-8"))
    for (_, query), (name, chart) in zip(questions, ANSWERS, strict=True):
        with conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(query.encode()).fetchall()
        spec = chart(rows).properties(background="white", **_SIZE).to_dict()
        _keep(vl_convert.vegalite_to_png(spec, scale=1.5), folder / f"{name}.png")


def _report(conn: Connection) -> None:
    week = Week.before(utc_now().date())
    made = make_report(conn, week, locale="en", now=utc_now(), timezone=ZoneInfo("UTC"))
    with (
        running_browser() as browser,
        open_page(browser, _WINDOW, color_scheme="light") as page,  # type: ignore[arg-type] # a TypedDict
    ):
        page.set_content(made.html)
        _keep(page.screenshot(), DOCS / "pictures" / "weekly-report.png")


def main() -> None:
    """Draw them all.

    Raises:
        SystemExit: There is no Chromium.
    """
    with scratch_postgres() as server:
        server.run("CREATE DATABASE {}", "year")
        upgrade(server.url("year"))
        with psycopg.connect(server.url("year"), autocommit=True) as conn:
            write_year(conn, stores=STORES)
            _answers(conn)
            try:
                _report(conn)
            except pytest.skip.Exception as error:
                sys.exit(str(error))


if __name__ == "__main__":
    main()
