"""Which alerts does a run raise?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from psycopg.rows import dict_row
from typing_extensions import LiteralString

from include.tiktok_sync.alerts.log import NewAlert
from include.tiktok_sync.jobs import INSIGHTS_JOB, USER_JOB, VIDEO_JOB, Api, RunKey
from include.tiktok_sync.settings import DEFAULT_CONSENT_WARNING_DAYS
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.consents import Consent, consents_ending
from include.tiktok_sync.sync.data_checks.check import EXAMPLES
from include.tiktok_sync.sync.summary import IMPLAUSIBLE_REFUSALS, RunSummary
from include.tiktok_sync.tokens.grant_table import grants_of
from include.tiktok_sync.tokens.scopes import why_in_state

MISSING_CHECKS = {
    USER_JOB: "user_rows_missing",
    VIDEO_JOB: "video_syncs_missing",
    INSIGHTS_JOB: "insight_days_missing",
}
"""Dag id -> the data check that finds stores without figures. These Dags also have a deadline."""

ENDING_CHECKS: Mapping[str, Api] = {
    "grants_end_soon": "display",
    "business_grants_end_soon": "business",
}
"""Data check -> the API whose grants it looks at."""

ENDING_DAYS = (14, 3)
"""Days before a grant ends at which the alert is repeated (the first is CONSENT_WARNING_DAYS)."""

_DEAD: LiteralString = """
SELECT store_code, status, status_reason, status_since, scope
FROM {grants}
WHERE store_code = ANY (%(stores)s::text[]) AND status IN ('needs_consent', 'missing_scope')
ORDER BY store_code
"""


@dataclass(frozen=True)
class EndedRun:
    """A run that has its summary.

    Attributes:
        key: The run, and its day.
        stores: Codes of its stores; none if they could not be listed.
        summary: Its result.
        duration: How long it took.
        sla: How long it may take; ``None`` = no limit (a backfill).
        is_backfill: Past days, requested by somebody who watches the result.
        consent_warning_days: Days before a grant's end at which the first alert is raised; 0 =
            none.
    """

    key: RunKey
    stores: Sequence[str]
    summary: RunSummary
    duration: timedelta
    sla: timedelta | None = None
    is_backfill: bool = False
    consent_warning_days: int = DEFAULT_CONSENT_WARNING_DAYS
    warnings: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def alerts_of(conn: Connection, run: EndedRun) -> list[NewAlert]:
    """Every alert of the run; the keys of the table keep known ones from being raised again."""
    return [
        *_failure(run),
        *_lateness(run),
        *_missing_figures(run),
        *_implausible_refusals(run),
        *_dead_grants(conn, run),
        *_ending_grants(conn, run),
    ]


def late_message(minutes: float, progress: str) -> str:
    """The message about a run that takes too long; ``progress`` = how far it has got."""
    return (
        f"It takes longer than {minutes:g} minutes (SLA_MINUTES): {progress}. Look at its longest"
        " and its failing tasks in Airflow; docs/tuning.md names the usual causes."
    )


def _failure(run: EndedRun) -> list[NewAlert]:
    if run.summary.status != "failed":
        return []
    counts: dict[str, Any] = {
        name: run.summary.details[name]
        for name in ("stores", "success", "failed", "skipped")
        if name in run.summary.details
    }
    return [NewAlert("run_failed", run.summary.message, details=counts)]


def _lateness(run: EndedRun) -> list[NewAlert]:
    if run.sla is None or run.duration <= run.sla:
        return []
    minutes = run.sla / timedelta(minutes=1)
    took = run.duration / timedelta(minutes=1)
    message = late_message(minutes, f"it ended after {took:.1f} minutes")
    return [NewAlert("sla_missed", message, details={"minutes": round(took, 1)})]


def _missing_figures(run: EndedRun) -> list[NewAlert]:
    name = MISSING_CHECKS.get(run.key.job_name)
    if name is None or run.is_backfill:
        return []
    # The videos' check leaves out stores that failed.
    missing = set(run.summary.failed_stores if name == "video_syncs_missing" else ())
    # Skipped stores have their own alert, once and not every night.
    found = (warning["stores"] for warning in run.warnings if warning["check"] == name)
    missing.update(set().union(*found).difference(run.summary.skipped_stores))
    if not missing:
        return []
    more = f" and {len(missing) - EXAMPLES} more" if len(missing) > EXAMPLES else ""
    named = ", ".join(sorted(missing)[:EXAMPLES]) + more
    count = "1 store has" if len(missing) == 1 else f"{len(missing)} stores have"
    until = (
        "TikTok keeps a day for 60 days: clear the failed tasks by then"
        if run.key.job_name == INSIGHTS_JOB
        else "TikTok keeps no history: clear the failed tasks before the day is over"
    )
    message = (
        f"{count} no complete figures for the day: {named}. {until}; each task's log says what is"
        " wrong."
    )
    return [NewAlert("data_missing", message, details={"stores": sorted(missing)})]


def _implausible_refusals(run: EndedRun) -> list[NewAlert]:
    counts = run.summary.details.get(IMPLAUSIBLE_REFUSALS)
    if not counts:
        return []
    grants = grants_of(run.key.job_name)
    message = (
        f"TikTok refused the grants of {counts['refused']} of {counts['tried']} stores whose tokens"
        " were refreshed. It is unlikely that all their managers withdrew at once, so no store was"
        f" marked. Check that {grants.connection} has the {grants.key} and secret of the app that"
        " they connected (doctor), and TikTok's status page; then clear the failed tasks. For"
        " stores marked earlier: tokens recheck."
    )
    return [NewAlert("refusals_doubted", message, details=counts)]


def _dead_grants(conn: Connection, run: EndedRun) -> list[NewAlert]:
    grants = grants_of(run.key.job_name)
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(grants.sql(_DEAD), {"stores": list(run.stores)}).fetchall()
    return [
        NewAlert(
            "needs_consent",
            why_in_state(row["status"], row["status_reason"], row["scope"], grants.api)
            or "Its manager must connect the account again.",
            row["store_code"],
            subject=f"{row['status']} since {since}",
            details={"status": row["status"], "since": since},
        )
        for row, since in ((row, _utc(row["status_since"])) for row in rows)
    ]


def _utc(moment: datetime) -> str:
    # The session's time zone or its summer time must not change the subject of the same moment.
    return moment.astimezone(timezone.utc).isoformat()


def _ending_grants(conn: Connection, run: EndedRun) -> list[NewAlert]:
    first = run.consent_warning_days
    # A check that could not run does not suppress the alert.
    apis = [
        api for name, api in ENDING_CHECKS.items() if any(w["check"] == name for w in run.warnings)
    ]
    if not apis or not first:
        return []
    stages = [*(number for number in sorted(ENDING_DAYS) if number < first), first]
    return [
        _ending_grant(consent, next(days for days in stages if consent.days_left < days))
        for api in apis
        for consent in consents_ending(conn, first, stores=run.stores, api=api)
    ]


def _ending_grant(consent: Consent, days: int) -> NewAlert:
    ends_on = consent.ends_at.astimezone(timezone.utc).date()
    is_second = consent.api == "business"
    which = "The consent to the Accounts API" if is_second else "The consent"
    return NewAlert(
        "grant_ends",
        f"{which} ends on {ends_on}. Ask the store's manager to connect the account again"
        " before then; a refresh does not extend it.",
        consent.store_code,
        # A refresh moves the end by its own seconds, so the month stands for the grant; a new one
        # lasts at least 180 days.
        subject=f"{'business, ' if is_second else ''}{ends_on:%Y-%m}: {days} days before",
        details={"ends_on": str(ends_on), "days": days},
    )
