"""How is a report made? Read, drawn, written; it imports what draws, so import it where needed."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from include.tiktok_sync.reports.archive import Report
from include.tiktok_sync.reports.charts import draw
from include.tiktok_sync.reports.figures import read_figures
from include.tiktok_sync.reports.formats import Formats
from include.tiktok_sync.reports.page import headline, page
from include.tiktok_sync.reports.week import Week
from include.tiktok_sync.store_db.database import Connection


def make_report(
    conn: Connection,
    week: Week,
    region: str = "",
    *,
    locale: str,
    now: datetime,
    timezone: ZoneInfo,
) -> Report:
    """Make the report of a week; nothing is written to the database.

    Args:
        conn: Autocommit; reading is enough.
        week: A week that has ended, see :meth:`Week.asked_for`.
        region: Only stores of this region; empty = all.
        locale: As in ``REPORT_LOCALE``.
        now: When it is made.
        timezone: In which that is shown.

    Raises:
        ConfigurationError: No store is in this region.
    """
    formats = Formats(locale)
    figures = read_figures(conn, week, region)
    pictures = draw(figures, formats)
    html = page(figures, pictures, formats, made_at=now, zone=timezone.key)
    return Report(
        week=week,
        region=region,
        headline=headline(figures, formats),
        html=html,
        pictures={picture.name: picture.png for picture in pictures},
    )
