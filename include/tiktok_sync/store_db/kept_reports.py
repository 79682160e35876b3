"""What may still stand in the weekly reports that are kept, and how long are they kept?

A report is text, so no clock on a column reaches what it says about a store or a video. Therefore
each of its lines about one is an element of its own that names it (:data:`LINE`), and is taken out
when the store was erased or the video's text was cleared. The rest of a report is figures.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from html import unescape

from include.tiktok_sync.store_db.database import Connection

KEPT_DAYS = 365
"""After the end of the week that a report covers."""

LINE = re.compile(
    r'[ \t]*<(?P<tag>tr|li) data-store="(?P<store>[^"]*)"(?: data-video="(?P<video>[^"]*)")?>'
    r".*?</(?P=tag)>\n?",
    re.DOTALL,
)
"""A line of a report about a store, or about a video of it. Texts in it are escaped."""

_NEITHER_TITLE_NOR_LINK = """
SELECT shown.id FROM unnest(%s::text[]) AS shown (id)
WHERE NOT EXISTS (SELECT FROM videos AS v WHERE v.video_id = shown.id
    AND (v.title IS NOT NULL OR v.share_url IS NOT NULL))
"""
_NO_STORE = """
SELECT shown.code FROM unnest(%s::text[]) AS shown (code)
WHERE NOT EXISTS (SELECT FROM stores AS s WHERE s.store_code = shown.code)
"""


def forget_gone(conn: Connection, *, dry_run: bool = False) -> int:
    """Take out the lines about stores that are erased and videos whose text is cleared.

    Args:
        conn: As the owner of the tables.
        dry_run: Change nothing, count.

    Returns:
        Reports that had such lines.
    """
    changed = 0
    for week_start, region, html in _reports(conn):
        lines = list(LINE.finditer(html))
        stores = _gone(conn, _NO_STORE, {unescape(line["store"]) for line in lines})
        videos = _gone(
            conn,
            _NEITHER_TITLE_NOR_LINK,
            {unescape(line["video"]) for line in lines if line["video"]},
        )
        if not stores | videos:
            continue
        changed += 1
        if not dry_run:
            conn.execute(
                # Not one that was made again meanwhile.
                "UPDATE weekly_reports SET html = %s"
                " WHERE week_start = %s AND region = %s AND html = %s",
                [_without(html, stores, videos), week_start, region, html],
            )
    return changed


def drop_old(conn: Connection, *, today: date, dry_run: bool = False) -> int:
    """Delete the reports whose week ended more than :data:`KEPT_DAYS` ago; how many."""
    begin = "SELECT" if dry_run else "DELETE"
    return conn.execute(
        f"{begin} FROM weekly_reports WHERE week_start + 6 < %s".encode(),
        [today - timedelta(days=KEPT_DAYS)],
    ).rowcount


def _reports(conn: Connection) -> Iterator[tuple[date, str, str]]:
    """One at a time: they are some hundred kilobytes each."""
    keys = conn.execute("SELECT week_start, region FROM weekly_reports ORDER BY 1, 2").fetchall()
    for key in keys:
        yield from conn.execute(
            "SELECT week_start, region, html FROM weekly_reports"
            " WHERE week_start = %s AND region = %s",
            key,
        ).fetchall()


def _gone(conn: Connection, query: str, shown: Collection[str]) -> set[str]:
    return {row[0] for row in conn.execute(query.encode(), [sorted(shown)])}


def _without(html: str, stores: Collection[str], videos: Collection[str]) -> str:
    def kept(line: re.Match[str]) -> str:
        is_gone = unescape(line["store"]) in stores or unescape(line["video"] or "") in videos
        return "" if is_gone else line[0]

    return LINE.sub(kept, html)
