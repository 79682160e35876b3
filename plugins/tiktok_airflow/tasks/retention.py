"""The task of the retention Dag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from include.tiktok_sync.days import SnapshotDay, utc_now
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.connect_retention import forget_connecting
from include.tiktok_sync.store_db.database import database_errors
from include.tiktok_sync.store_db.kept_reports import drop_old, forget_gone
from include.tiktok_sync.store_db.personal_retention import clear_personal
from include.tiktok_sync.store_db.retention import RetentionSettings, apply_retention
from include.tiktok_sync.store_db.schema import check_schema
from tiktok_airflow.hooks.store_db_hook import StoreDbHook

log = structlog.get_logger(__name__)


def thin_and_drop(context: Mapping[str, Any]) -> None:
    """Apply the retention settings, or report what they would delete (``dry_run``)."""
    dry_run = bool(context["params"]["dry_run"])
    settings, zone = RetentionSettings.from_env(), Settings.from_env().timezone
    with StoreDbHook.for_task(context).session() as conn, database_errors():
        check_schema(conn)
        now = utc_now()
        today = SnapshotDay.of(now, zone).date
        months = apply_retention(conn, settings, today=today, dry_run=dry_run)
        tables = forget_connecting(conn, settings.connect_days, now=now, dry_run=dry_run)
    log.info(
        "Nothing was deleted" if dry_run else "Deleted",
        rows=sum(month.rows for month in months) + sum(table.rows for table in tables),
        months=len(months),
        daily_days=settings.daily_days,
        weekly_days=settings.weekly_days,
        connect_days=settings.connect_days,
    )


def clear_personal_data(context: Mapping[str, Any]) -> None:
    """Let the clocks of personal data run, or say what they would clear (``personal_dry_run``).

    Weekly reports follow: lines whose text was cleared are taken out, and old reports deleted.
    """
    dry_run = bool(context["params"]["personal_dry_run"])
    settings, zone = RetentionSettings.from_env(), Settings.from_env().timezone
    with StoreDbHook.for_task(context).session() as conn, database_errors():
        check_schema(conn)
        now = utc_now()
        today = SnapshotDay.of(now, zone).date
        cleared = clear_personal(conn, settings, now=now, today=today, dry_run=dry_run)
        reports_changed = forget_gone(conn, dry_run=dry_run)
        reports_dropped = drop_old(conn, today=today, dry_run=dry_run)
    counts = {"identity": 0, "removed_text": 0, "left": 0}
    for found in cleared:
        counts[found.clock] += found.rows
    log.info(
        "No personal data was cleared" if dry_run else "Personal data cleared",
        **counts,
        reports_changed=reports_changed,
        reports_dropped=reports_dropped,
        identity_days=settings.identity_days,
        removed_text_days=settings.removed_text_days,
        left_days=settings.left_days,
    )
