"""Does the run's summary count every store, judge the run, and say what to look at?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from include.tiktok_sync.alerts.rules import EndedRun, alerts_of
from include.tiktok_sync.errors import SyncError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB, RunKey
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.summary import FAILURES_NAMED, RunSummary, summarize
from include.tiktok_sync.sync.sync_log import StoreStatus, SyncLog
from tests.database.bench import DAY, Bench, row, rows, today
from tests.database.faults import Edit, Refuse
from tests.database.rows.token_pairs import EXPIRED

RUN = RunKey("sync_user_daily", "run-1", DAY.date)
_STATUS: dict[str, StoreStatus] = {"s": "success", "f": "failed", "k": "skipped"}


def _record(conn: Connection, letters: str, *, run: RunKey = RUN, reason: str = "") -> list[str]:
    """A store for each letter: s(uccess), f(ailed), k (skipped), - (no row); gives their codes."""
    log = SyncLog(conn)
    codes = [f"S{number:03d}" for number in range(1, len(letters) + 1)]
    for number, (code, letter) in enumerate(zip(codes, letters, strict=True)):
        conn.execute("INSERT INTO stores VALUES (%s, 'x') ON CONFLICT DO NOTHING", [code])
        if letter in _STATUS:
            details: dict[str, Any] = {"calls": 2, "waited_s": 0.25, "repeats": 1}
            if letter == "s":
                details["figures_missing"] = 3  # only rows that miss some have it
            if letter != "s":
                details["kind"] = "fatal"
            message = reason or f"{letter} of {code}"
            log.record(
                run, code, _STATUS[letter], message, duration_ms=100 + number, details=details
            )
    return codes


def _sum(conn: Connection, letters: str, *, rate: float = 0.9, reason: str = "") -> RunSummary:
    codes = _record(conn, letters, reason=reason)
    return summarize(SyncLog(conn), RUN, codes, min_success_rate=rate)


@pytest.mark.parametrize(
    ("letters", "status", "success_rate", "message"),
    [
        ("sss", "success", 1.0, "3 of 3 stores synced"),
        ("ssk", "success", 1.0, "2 of 3 stores synced, 1 skipped"),
        ("kk", "success", None, "0 of 2 stores synced, 2 skipped"),
        ("sssssssssf", "partial", 0.9, "9 of 10 stores synced, 1 failed. First: S010: f of S010"),
        (
            "ssssssssfk",
            "failed",
            8 / 9,
            "8 of 10 stores synced, 1 failed, 1 skipped. First: S009: f of S009",
        ),
        ("f", "failed", 0.0, "0 of 1 stores synced, 1 failed. First: S001: f of S001"),
        ("fk", "failed", 0.0, "0 of 2 stores synced, 1 failed, 1 skipped. First: S001: f of S001"),
    ],
)
def test_status_and_message(
    conn: Connection, letters: str, status: str, success_rate: float | None, message: str
) -> None:
    summary = _sum(conn, letters)
    assert (summary.status, summary.message) == (status, message)
    assert summary.details["success_rate"] == success_rate
    assert summary.details["stores"] == len(letters)


def test_the_rate_that_is_good_enough_is_a_setting(conn: Connection) -> None:
    codes = _record(conn, "sf")
    log = SyncLog(conn)
    assert summarize(log, RUN, codes, min_success_rate=0.5).status == "partial"
    assert summarize(log, RUN, codes, min_success_rate=0.51).status == "failed"


def test_a_silent_store_counts_as_failed(conn: Connection) -> None:
    summary = _sum(conn, "ss-")
    assert (summary.status, summary.details["failed"]) == ("failed", 1)
    assert summary.message.startswith("2 of 3 stores synced, 1 failed. First: S003: No result was")
    assert [failure["store_code"] for failure in summary.details["failures"]] == ["S003"]


def test_no_store_at_all_is_a_skipped_run_with_its_reason(conn: Connection) -> None:
    summary = summarize(SyncLog(conn), RUN, [], min_success_rate=0.9)
    assert (summary.status, summary.details) == ("skipped", {"stores": 0})
    assert "make stores-import" in summary.message


def test_one_reason_for_all_is_named_once(conn: Connection) -> None:
    summary = _sum(conn, "ffs", reason="TikTok is down.")
    assert summary.message == "1 of 3 stores synced, 2 failed. All for one reason: TikTok is down."


def test_the_reason_is_not_called_the_only_one_when_another_is_beyond_those_named(
    conn: Connection,
) -> None:
    _record(conn, "f" * FAILURES_NAMED, reason="same")
    summary = _sum(conn, "-" * (FAILURES_NAMED + 1))
    assert summary.details["failed"] == FAILURES_NAMED + 1
    assert len(summary.details["failures"]) == FAILURES_NAMED
    assert "one reason" not in summary.message


def test_costs_are_added_up_and_the_stores_to_look_at_are_named(conn: Connection) -> None:
    details = _sum(conn, "sfk").details
    assert (details["calls"], details["waited_s"]) == (6, 0.75)
    assert (details["repeats"], details["figures_missing"]) == (3, 3)
    assert "videos" not in details
    assert (details["slowest_store"], details["slowest_store_ms"]) == ("S003", 102)
    assert details["failures"] == [{"store_code": "S002", "kind": "fatal", "message": "f of S002"}]
    assert details["skips"] == [{"store_code": "S003", "kind": "fatal", "message": "k of S003"}]


@pytest.mark.parametrize(
    ("letters", "checks", "message"),
    [
        ("ss", 1, "2 of 2 stores synced; 1 warning"),
        ("ss", 2, "2 of 2 stores synced; 2 warnings"),
        ("sf", 2, "1 of 2 stores synced, 1 failed; 2 warnings. First: S002: f of S002"),
    ],
)
def test_warnings_are_reported_and_do_not_judge_the_run(
    conn: Connection, letters: str, checks: int, message: str
) -> None:
    codes = _record(conn, letters)
    warnings = [
        {"check": f"c{number}", "found": 1, "examples": ["S001"], "message": "Look."}
        for number in range(checks)
    ]
    warned = summarize(SyncLog(conn), RUN, codes, min_success_rate=0.5, warnings=warnings)
    plain = summarize(SyncLog(conn), RUN, codes, min_success_rate=0.5)
    assert (warned.message, warned.details["warnings"]) == (message, warnings)
    assert warned.status == plain.status
    assert plain.details["warnings"] == []
    assert "warning" not in plain.message


def test_other_runs_and_other_stores_do_not_count(conn: Connection) -> None:
    _record(conn, "fff", run=RunKey("sync_user_daily", "other", DAY.date))
    _record(conn, "fff", run=RunKey("sync_video_daily", "run-1", DAY.date))
    codes = _record(conn, "ssf")
    summary = summarize(SyncLog(conn), RUN, codes[:2], min_success_rate=0.9)
    assert (summary.status, summary.message) == ("success", "2 of 2 stores synced")


def test_the_summary_row_is_one_a_run_and_the_last_word_stands(conn: Connection) -> None:
    log = SyncLog(conn)
    for status in ("failed", "partial"):
        at = log.record(RUN, None, status, f"it was {status}", duration_ms=2**31, details={"a": 1})
    found = row(conn, "SELECT * FROM sync_logs WHERE store_code IS NULL")
    assert (found["status"], found["message"], found["attempts"]) == (
        *("partial", "it was partial"),
        2,
    )
    assert (found["duration_ms"], found["details"]) == (2**31, {"a": 1})
    assert log.progress(RUN, at).done == 0


def test_a_store_row_cannot_be_partial(conn: Connection) -> None:
    _record(conn, "s")
    with pytest.raises(psycopg.errors.CheckViolation):
        SyncLog(conn).record(RUN, "S001", "partial", "m", duration_ms=1, details={})
    assert rows(conn, "SELECT status FROM sync_logs") == [{"status": "success"}]


def test_no_text_about_a_run_repeats_what_tiktok_wrote(bench: Bench) -> None:
    """No clock of retention reaches a run's summary and alerts, nor ``status_reason``."""
    said = "Anna's bakery"

    def odd_count(data: dict[str, Any]) -> None:
        data["user"]["follower_count"] = said

    def refused(body: dict[str, Any]) -> None:
        body.clear()
        body.update(error="invalid_grant", error_description=said, log_id="L")

    def odd_video(data: dict[str, Any]) -> None:
        data["videos"][0]["view_count"] = said

    failures: list[tuple[str, str, Any]] = [
        (USER_JOB, "S001", Edit("user_info", odd_count)),
        (USER_JOB, "S002", Refuse("user_info", 400, "user_not_found", said)),
        (USER_JOB, EXPIRED, Edit("oauth_token", refused)),
        (VIDEO_JOB, bench.code_with_videos(), Edit("video_list", odd_video)),
    ]
    codes = [code for _, code, _ in failures]
    bench.import_stores(*set(codes))
    for job, code, plan in failures:
        bench.sandbox.faults.plan = plan
        with pytest.raises(SyncError):
            bench.sync(job, code)

    assert said in str(bench.rows("SELECT details FROM sync_logs"))  # of the store, for engineers
    texts = bench.rows("SELECT message, details ->> 'kind' AS kind FROM sync_logs")
    assert {text["kind"] for text in texts} == {"data", "fatal", "needs_consent"}
    for job in (USER_JOB, VIDEO_JOB):
        run = RunKey(job, "run-1", today().date)
        summary = summarize(SyncLog(bench.conn), run, codes, min_success_rate=0.9)
        texts.append({"summary": summary})
        texts += map(vars, alerts_of(bench.conn, EndedRun(run, codes, summary, timedelta())))
    texts += bench.rows("SELECT status_reason FROM store_tokens")
    texts += bench.rows("SELECT details FROM store_audit")
    assert said not in str(texts)
    assert "grant has ended at TikTok" in str(texts)
