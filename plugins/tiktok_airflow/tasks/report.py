"""The tasks of the weekly report: make it and keep it, then send its headline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import structlog
from airflow.configuration import conf

from include.tiktok_sync.alerts.message import Message
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import RetriableError
from include.tiktok_sync.reports.archive import keep, kept_report, mark_sent
from include.tiktok_sync.reports.formats import ReportSettings
from include.tiktok_sync.reports.week import Week
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import database_errors
from include.tiktok_sync.store_db.schema import check_schema
from tiktok_airflow.channels import deliver
from tiktok_airflow.hooks.store_db_hook import StoreDbHook
from tiktok_airflow.tasks.context import snapshot_day

CONNECTION = "tiktok_reports"
"""Apprise URLs; ``REPORT_URL`` fills it."""

PAGE = "/tiktok-sync/report"
"""Where the status page shows a report."""

log = structlog.get_logger(__name__)


def make_report(context: Mapping[str, Any]) -> None:
    """Make the report of the run's week and keep it; doing it again replaces it."""
    # 140 MB that no other task needs.
    from include.tiktok_sync.reports import making  # noqa: PLC0415 - see above

    settings, locale = Settings.from_env(), ReportSettings.from_env().locale
    week, region = _asked_for(context, settings)
    now = utc_now()
    with StoreDbHook.for_task(context).session() as conn, database_errors():
        check_schema(conn)
        report = making.make_report(
            conn, week, region, locale=locale, now=now, timezone=settings.timezone
        )
        keep(conn, report, now=now)
    log.info("Report made", week=week.name, region=region, bytes=len(report.html))


def send_report(context: Mapping[str, Any]) -> None:
    """Send the headline to ``REPORT_URL``, once for each week and region.

    Raises:
        RetriableError: The report is no longer there, or no channel accepted the message.
    """
    week, region = _asked_for(context, Settings.from_env())
    with StoreDbHook.for_task(context).session() as conn, database_errors():
        check_schema(conn)
        report = kept_report(conn, week, region)
        if report is None:
            message = f"The report of {week.name} is not there. Clear make_report of this run."
            raise RetriableError(message)
        if report.sent_at:
            log.info("Not sent: it was sent before", week=week.name, sent_at=str(report.sent_at))
            return
        of_region = f", {region}" if region else ""
        body = f"{report.headline}\n\nThe report: {_link(week, region)}"
        delivery = deliver(Message(f"TikTok week {week.name}{of_region}", body), CONNECTION)
        if delivery.taken:
            mark_sent(conn, week, region, now=utc_now())
    if delivery.error and not delivery.taken:
        message = f"The report is made and kept, but not sent. {delivery.error}"
        raise RetriableError(message)
    if not delivery.taken:
        log.info("Not sent: REPORT_URL is not set (docs/reports.md)", week=week.name)
        return
    log.info("Report sent", week=week.name, channels=delivery.taken, error=delivery.error)


def _asked_for(context: Mapping[str, Any], settings: Settings) -> tuple[Week, str]:
    """The week and region of the run: the week that ended before its day, unless it names one."""
    params = context["params"]
    today = snapshot_day(context, settings).date
    return Week.asked_for(str(params["week"] or ""), today), str(params["region"] or "")


def _link(week: Week, region: str) -> str:
    values = {"week": week.name, **({"region": region} if region else {})}
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{base}{PAGE}?{urlencode(values)}"
