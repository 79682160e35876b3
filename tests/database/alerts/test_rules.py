"""Is everything that an operator must know raised, once, and nothing every night?"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from include.tiktok_sync.alerts.log import AlertLog
from include.tiktok_sync.alerts.message import message_of
from include.tiktok_sync.alerts.rules import alerts_of
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.jobs import REFRESH_JOB, USER_JOB, VIDEO_JOB, RunKey
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.data_checks.check import CheckedRun, DataCheck, warnings_of
from include.tiktok_sync.sync.summary import FAILURES_NAMED, RunSummary, summarize
from include.tiktok_sync.sync.sync_log import StoreStatus, SyncLog
from tests.database.bench import DAY, row
from tests.database.rows.alert_runs import RUN, ended, kill_grant, kinds, raised, record

BAD = RunSummary("failed", "1 of 2 stores synced, 1 failed.", {"stores": 2, "failed": 1})


def test_an_alert_is_raised_once_a_run_kind_and_store(conn: Connection, stores: list[str]) -> None:
    log = AlertLog(conn)
    first = log.raise_once("run_failed", "It failed.", **RUN, snapshot_date=DAY.date)

    assert first is not None
    assert (first.kind, first.snapshot_date, first.details) == ("run_failed", DAY.date, {})
    assert log.raise_once("run_failed", "It failed again.", **RUN) is None
    for other in (
        log.raise_once("sla_missed", "Late.", **RUN),
        log.raise_once("run_failed", "x", job_name=USER_JOB, run_id="night-2"),
        log.raise_once("needs_consent", "x", **RUN, store_code=stores[0]),
        log.raise_once("needs_consent", "x", **RUN, store_code=stores[1]),
    ):
        assert other is not None
    assert log.raise_once("needs_consent", "x", **RUN, store_code=stores[1]) is None


def test_a_good_night_raises_nothing(conn: Connection, stores: list[str]) -> None:
    assert raised(conn, ended(stores)) == []


def test_a_failed_run_and_a_late_one_are_raised(conn: Connection, stores: list[str]) -> None:
    alerts = raised(conn, ended(stores, BAD, duration=timedelta(minutes=18)))

    assert kinds(alerts) == [("run_failed", None), ("sla_missed", None)]
    assert alerts[0].message == BAD.message
    assert "longer than 15 minutes (SLA_MINUTES): it ended after 18.0 minutes" in alerts[1].message
    backfill = ended(stores, duration=timedelta(hours=9), sla=None, run_id="x", is_backfill=True)
    assert raised(conn, backfill) == []


def test_a_dead_grant_is_raised_once_by_both_dags_and_again_when_it_dies_again(
    conn: Connection, stores: list[str]
) -> None:
    kill_grant(conn, "S1", "S2")
    assert kinds(raised(conn, ended(stores))) == [
        ("needs_consent", "S1"),
        ("needs_consent", "S2"),
    ]
    assert raised(conn, ended(stores, job=VIDEO_JOB)) == []
    assert raised(conn, ended(stores, run_id="night-2")) == []
    conn.execute("SET TIME ZONE 'America/New_York'")  # the same moment, written in another way
    assert raised(conn, ended(stores, run_id="night-2")) == []

    conn.execute("UPDATE store_tokens SET status = 'active', status_since = clock_timestamp()")
    kill_grant(conn, "S2")
    assert kinds(raised(conn, ended(stores, run_id="night-3"))) == [("needs_consent", "S2")]


def test_a_missing_permission_is_raised_as_well(conn: Connection, stores: list[str]) -> None:
    conn.execute("UPDATE store_tokens SET status = 'missing_scope' WHERE store_code = 'S3'")
    (alert,) = raised(conn, ended(stores))
    assert (alert.kind, alert.store_code) == ("needs_consent", "S3")
    assert "connect the account again" in alert.message


def test_consents_that_end_are_raised_once_at_30_14_and_3_days(
    conn: Connection, stores: list[str]
) -> None:
    # None = the check could not run, which does not keep the alert back.
    warnings = [{"check": "grants_end_soon", "found": None}]

    def night(run_id: str, *, first: int = 30, **days_left: float) -> dict[str, int]:
        for code, days in days_left.items():
            conn.execute(
                "UPDATE store_tokens SET refresh_expires_at = now() + %s WHERE store_code = %s",
                [timedelta(days=days), code],
            )
        run = ended(
            stores,
            job=REFRESH_JOB,
            warnings=warnings,
            run_id=run_id,
            consent_warning_days=first,
        )
        found = raised(conn, run)
        assert {alert.kind for alert in found} <= {"grant_ends"}
        return {str(alert.store_code): alert.details["days"] for alert in found}

    assert night("1", S1=31, S2=29.9, S3=200) == {"S2": 30}
    assert night("2") == {}
    assert night("3", S1=2.9, S2=13.9) == {"S1": 3, "S2": 14}
    # A refresh moves the end by its own seconds.
    assert night("4", S1=2.89999, S2=13.89999, S3=10, first=7) == {}
    assert night("5", S3=6, first=7) == {"S3": 7}
    assert night("6", S3=2, first=0) == {}
    alert = row(conn, "SELECT message, details FROM alerts WHERE store_code = 'S1'")
    assert f"ends on {alert['details']['ends_on']}" in alert["message"]


def test_consents_are_not_looked_at_where_nothing_was_found(
    conn: Connection, stores: list[str]
) -> None:
    conn.execute("UPDATE store_tokens SET refresh_expires_at = now() + interval '9 days'")
    assert raised(conn, ended(stores)) == []


def test_missing_figures_are_raised_without_the_stores_that_are_skipped(
    conn: Connection, stores: list[str]
) -> None:
    warnings = [{"check": "user_rows_missing", "found": 3, "stores": stores}]
    skipped = RunSummary("partial", "m", {}, ["S2"], ["S1", "S3"])

    (alert,) = raised(conn, ended(stores, skipped, warnings=warnings))

    assert (alert.kind, alert.details) == ("data_missing", {"stores": ["S2"]})
    assert "1 store has no complete figures for the day: S2." in alert.message
    all_skipped = replace(skipped, skipped_stores=stores)
    assert alerts_of(conn, ended(stores, all_skipped, warnings=warnings)) == []
    assert alerts_of(conn, ended(stores, skipped, warnings=warnings, is_backfill=True)) == []


def test_what_a_check_found_is_what_the_alert_counts_however_many(conn: Connection) -> None:
    """No second look at the database, which may have changed, and no cut on the way."""
    codes = [f"S{number:04}" for number in range(3_000)]
    run = CheckedRun(RunKey(VIDEO_JOB, "night-1", DAY.date), codes, utc_now())
    outcome = DataCheck.read("video_syncs_missing").run(conn, run)
    warnings = warnings_of(["video_syncs_missing"], [json.loads(json.dumps(outcome.as_dict()))])
    summary = summarize(SyncLog(conn), run.key, codes[:1], min_success_rate=0.9, warnings=warnings)
    assert summary.details["warnings"][0]["stores"] == codes

    (alert,) = [
        alert
        for alert in alerts_of(conn, ended(codes, job=VIDEO_JOB, warnings=warnings))
        if alert.kind == "data_missing"
    ]

    assert alert.details == {"stores": codes}
    assert " S0019 and 2980 more. " in alert.message


def test_a_store_whose_videos_failed_has_missing_figures(
    conn: Connection, stores: list[str]
) -> None:
    partial = RunSummary("partial", "m", {}, ["S3"])
    warnings = [{"check": "video_syncs_missing", "found": 1, "stores": ["S1"]}]
    record(conn, VIDEO_JOB, S2="success", S3="failed")

    (alert,) = raised(conn, ended(stores, partial, job=VIDEO_JOB, warnings=warnings))

    assert alert.details == {"stores": ["S1", "S3"]}


def test_every_store_without_figures_is_counted_and_kept_however_many_are_named(
    conn: Connection,
) -> None:
    codes = [f"S{number:03}" for number in range(3 * FAILURES_NAMED)]
    with conn.cursor() as cursor:
        cursor.executemany("INSERT INTO stores VALUES (%s, 'x')", [[code] for code in codes])
    failed: dict[str, StoreStatus] = dict.fromkeys(codes[: 2 * FAILURES_NAMED], "failed")
    record(conn, VIDEO_JOB, **failed)
    run = ended(codes, job=VIDEO_JOB)
    summary = summarize(SyncLog(conn), run.key, codes, min_success_rate=0.9)
    assert len(summary.details["failures"]) == FAILURES_NAMED

    alerts = {alert.kind: alert for alert in raised(conn, replace(run, summary=summary))}

    assert alerts["data_missing"].details == {"stores": codes}
    assert alerts["data_missing"].message.startswith("300 stores have no complete figures")
    assert " S019 and 280 more. " in alerts["data_missing"].message


def test_one_message_names_everything(conn: Connection, stores: list[str]) -> None:
    kill_grant(conn, "S1", "S3")
    message = message_of(raised(conn, ended(stores, BAD)))

    assert message.title == (
        f"run failed, 2 stores need consent: TikTok sync_user_daily of {DAY.date}"
    )
    assert message.body.splitlines() == [
        "Run failed:",
        "- 1 of 2 stores synced, 1 failed.",
        "",
        "2 stores need consent:",
        "- S1, S3: The grant has ended.",
        "",
        "Dag sync_user_daily, run night-1",
    ]
