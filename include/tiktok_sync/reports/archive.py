"""Which reports are kept, and how is one read again? It imports nothing that draws."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from include.tiktok_sync.reports.week import Week
from include.tiktok_sync.store_db.database import Connection


@dataclass(frozen=True)
class Report:
    """A report that was made.

    Attributes:
        week: Which week it covers.
        region: Which region; empty = all stores.
        headline: Its main figures as text, without names.
        html: The page.
        pictures: Name -> PNG.
    """

    week: Week
    region: str
    headline: str
    html: str
    pictures: Mapping[str, bytes]


@dataclass(frozen=True)
class KeptReport:
    """A report in the list of those that are kept; of its pictures only the names."""

    week_start: date
    region: str
    created_at: datetime
    sent_at: datetime | None
    headline: str
    pictures: Sequence[str]

    @property
    def week(self) -> Week:
        """Which week it covers."""
        return Week(self.week_start)


def keep(conn: Connection, report: Report, *, now: datetime) -> None:
    """Keep a report instead of one of the same week and region; when that was sent stays known."""
    pictures = {name: base64.b64encode(png).decode() for name, png in report.pictures.items()}
    conn.execute(
        "INSERT INTO weekly_reports (week_start, region, created_at, headline, html, pictures)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (week_start, region) DO UPDATE SET"
        " created_at = excluded.created_at, headline = excluded.headline, html = excluded.html,"
        " pictures = excluded.pictures",
        [report.week.start, report.region, now, report.headline, report.html, Jsonb(pictures)],
    )


_KEPT = """
SELECT week_start, region, created_at, sent_at, headline,
    ARRAY(SELECT name FROM jsonb_object_keys(pictures) AS name ORDER BY name) AS pictures
FROM weekly_reports
"""


def kept_reports(conn: Connection) -> list[KeptReport]:
    """All of them, the newest week first."""
    with conn.cursor(row_factory=class_row(KeptReport)) as cursor:
        return cursor.execute(_KEPT + "ORDER BY week_start DESC, region").fetchall()


def kept_report(conn: Connection, week: Week, region: str) -> KeptReport | None:
    """One of them without its page; ``None`` = it was not made, or is no longer kept."""
    with conn.cursor(row_factory=class_row(KeptReport)) as cursor:
        return cursor.execute(
            _KEPT + "WHERE week_start = %s AND region = %s", [week.start, region]
        ).fetchone()


def kept_page(conn: Connection, week: Week, region: str) -> str | None:
    """The page of one of them; ``None`` as above."""
    row = conn.execute(
        "SELECT html FROM weekly_reports WHERE week_start = %s AND region = %s",
        [week.start, region],
    ).fetchone()
    return None if row is None else str(row[0])


def kept_picture(conn: Connection, week: Week, region: str, name: str) -> bytes | None:
    """One of its charts as PNG; ``None`` = there is none of this name."""
    row = conn.execute(
        "SELECT pictures ->> %s FROM weekly_reports WHERE week_start = %s AND region = %s",
        [name, week.start, region],
    ).fetchone()
    return base64.b64decode(row[0]) if row and row[0] else None


def mark_sent(conn: Connection, week: Week, region: str, *, now: datetime) -> None:
    """Note that its headline was sent."""
    conn.execute(
        "UPDATE weekly_reports SET sent_at = %s WHERE week_start = %s AND region = %s",
        [now, week.start, region],
    )
