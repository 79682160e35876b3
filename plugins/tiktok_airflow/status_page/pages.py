"""What each page shows, gathered from the database and from Airflow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, get_args

from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB, has_insights
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.status import days as status_days
from include.tiktok_sync.status import health as status_health
from include.tiktok_sync.status import insights as status_insights
from include.tiktok_sync.status import runs as status_runs
from include.tiktok_sync.status import store as status_store
from include.tiktok_sync.status import stores as status_stores
from include.tiktok_sync.status.bands import (
    CONNECTIONS,
    SUCCESS_RATE,
    TOTAL,
    USER_SYNC,
    VIDEO_SYNC,
    Band,
    Criterion,
)
from include.tiktok_sync.store_db.connections import Connections, server_connections
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.lifecycle import StoreState
from tiktok_airflow.status_page.rendering.charts import Chart, Mark, Series, chart
from tiktok_airflow.status_page.rendering.formats import JOB_NAMES, count, duration
from tiktok_airflow.status_page.runs import ActiveRun

_RATE_AXIS_BEGINS = 80.0


@dataclass(frozen=True)
class Running:
    """An active run and how far it is."""

    run: ActiveRun
    progress: status_runs.Progress
    total: int

    @property
    def percent(self) -> int:
        """Of its stores that have a result, whole and never above 100."""
        return min(100, 100 * self.progress.done // self.total) if self.total else 0


@dataclass(frozen=True)
class Judged:
    """A value with the bounds it is judged by; ``None`` = not known."""

    criterion: Criterion
    value: float | None

    @property
    def band(self) -> Band | None:
        """How good it is."""
        return None if self.value is None else self.criterion.band(self.value)


def live(
    conn: Connection, runs: Sequence[ActiveRun], settings: Settings, active: int
) -> dict[str, Any]:
    """The part that is read again every few seconds."""
    return {
        "running": [running(conn, run, active) for run in runs],
        "rate_limits": status_health.rate_limits(conn),
        "rate_limit": settings.rate_limit_per_minute,
        "connections": server_connections(conn),
        "connections_criterion": CONNECTIONS,
        "alerts": status_health.last_alerts(conn),
    }


def running(conn: Connection, run: ActiveRun, active: int) -> Running:
    """How far an active run is."""
    done = status_runs.progress(conn, run.job_name, run.run_id)
    return Running(run, done, len(set(run.stores)) or active)


def overview(
    conn: Connection, runs: Sequence[ActiveRun], settings: Settings, now: datetime
) -> dict[str, Any]:
    """The status page."""
    active = status_stores.active_stores(conn)
    full = status_runs.full_runs(status_runs.history(conn), active)
    night = status_runs.last_night(full)
    last = status_runs.last_runs(conn)
    today = SnapshotDay.of(now, settings.timezone).date
    days = status_days.days(conn, today, settings.timezone.key)
    shown = live(conn, runs, settings, active)
    return {
        **shown,
        "active": active,
        "night": night,
        "judged": _judge(night, shown["connections"]),
        "last_runs": last,
        "retriable": _retriable(last),
        "failing": status_stores.failing(conn),
        "unconnected": status_stores.unconnected(conn),
        "ending": status_stores.ending(conn, settings.consent_warning_days),
        "warning_days": settings.consent_warning_days,
        "unseen": status_stores.without_current_notice(conn),
        "days": [day for day in days if not day.is_complete],
        "days_expected": sum(day.stores > 0 for day in days),
        "duration_chart": _durations(full),
        "rate_chart": _rates(full),
        "bands": {USER_JOB: USER_SYNC, VIDEO_JOB: VIDEO_SYNC},
        "rate_criterion": SUCCESS_RATE,
        "insights": status_insights.coverage(conn) if has_insights() else None,
    }


def run_report(
    conn: Connection, job_name: str, run_id: str, runs: Sequence[ActiveRun], status: str
) -> dict[str, Any]:
    """One run: its stores, or those of one status, the slowest first."""
    active_run = next(
        (run for run in runs if (run.job_name, run.run_id) == (job_name, run_id)), None
    )
    return {
        "job_name": job_name,
        "run_id": run_id,
        "summary": status_runs.summary_of(conn, job_name, run_id),
        "counts": status_runs.progress(conn, job_name, run_id),
        "status": status,
        "stores": status_runs.slowest_stores(conn, job_name, run_id, status),
        "most": status_runs.STORES_SHOWN,
        "running": running(conn, active_run, status_stores.active_stores(conn))
        if active_run
        else None,
    }


def store_list(
    conn: Connection, search: str, page: int, state: StoreState | Literal[""] = ""
) -> dict[str, Any]:
    """The stores by code, or those in one state, a page at a time."""
    lines, more = status_stores.store_page(conn, search, page, state)
    return {
        "search": search,
        "page": page,
        "state": state,
        "states": get_args(StoreState),
        "lines": lines,
        "more": more,
    }


def store(
    conn: Connection, code: str, runs: Sequence[ActiveRun], today: date
) -> dict[str, Any] | None:
    """One store over time; ``None`` = there is none of this code."""
    found = status_store.store(conn, code)
    if found is None:
        return None
    figures = status_store.figures(conn, code, today)
    views = status_store.views(conn, code, today)
    in_time = [day for day in figures if not day.is_late]
    return {
        "store": found,
        "latest": in_time[-1] if in_time else None,
        "latest_views": views[-1] if views else None,
        "late_days": len(figures) - len(in_time),
        "followers_chart": chart(
            "Followers", [Series("Followers", [(day.day, day.followers) for day in in_time])], count
        ),
        "views_chart": chart(
            "Views of all videos",
            [Series("Views", [(day.day, day.views) for day in views])],
            count,
        ),
        "results": status_store.results(conn, code),
        "events": status_store.events(conn, code),
        "running": [run for run in runs if code in run.stores],
        "has_insights": has_insights(),
        "insights": second_grant(conn, code),
    }


def second_grant(conn: Connection, code: str) -> status_insights.StoreInsights | None:
    """The store's grant for the Accounts API; ``None`` = it has none, or that API is not used."""
    return status_insights.store_insights(conn, code) if has_insights() else None


def file_name(job_name: str, run_id: str) -> str:
    """Of a run's download: nothing in it that a header or a file system takes amiss."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", f"{job_name}-{run_id}") + ".csv"


def _judge(night: status_runs.Night | None, connections: Connections) -> list[Judged]:
    user, video = (night.user, night.video) if night else (None, None)
    return [
        Judged(USER_SYNC, user.minutes if user else None),
        Judged(VIDEO_SYNC, video.minutes if video else None),
        Judged(TOTAL, night.total_minutes if night else None),
        Judged(SUCCESS_RATE, night.success_percent if night else None),
        Judged(CONNECTIONS, connections.percent),
    ]


def _retriable(last: Iterable[status_runs.Summary]) -> set[tuple[str, str]]:
    """The newest run of each Dag, where stores of it failed: its button is offered."""
    newest: dict[str, status_runs.Summary] = {}
    for run in last:
        newest.setdefault(run.job_name, run)
    return {
        (run.job_name, run.run_id)
        for run in newest.values()
        if run.failed or run.status == "failed"
    }


def _durations(full: Sequence[status_runs.Summary]) -> Chart | None:
    return chart(
        "Duration of a night",
        [_of_job(full, job, "minutes") for job in (USER_JOB, VIDEO_JOB)],
        lambda minutes: duration(minutes * 60_000),
        marks=[
            Mark(f"{JOB_NAMES[job]}: target", criterion.target)
            for job, criterion in ((USER_JOB, USER_SYNC), (VIDEO_JOB, VIDEO_SYNC))
        ],
        least=0,
    )


def _rates(full: Sequence[status_runs.Summary]) -> Chart | None:
    series = [_of_job(full, job, "success_percent") for job in (USER_JOB, VIDEO_JOB)]
    known = [value for one in series for _, value in one.points if value is not None]
    return chart(
        "Success rate",
        series,
        lambda percent: f"{percent:g} %" if percent == round(percent) else f"{percent:.1f} %",
        marks=[Mark("Target", SUCCESS_RATE.target)],
        least=_RATE_AXIS_BEGINS if known and min(known) >= _RATE_AXIS_BEGINS else 0,
        most=100,
    )


def _of_job(full: Sequence[status_runs.Summary], job: str, value: str) -> Series:
    points = sorted((run.snapshot_date, getattr(run, value)) for run in full if run.job_name == job)
    return Series(JOB_NAMES[job], points)
