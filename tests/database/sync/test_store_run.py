"""Does one store's sync write what TikTok says, record the result, and nothing else?"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from structlog import PrintLogger, make_filtering_bound_logger, wrap_logger
from structlog.testing import LogCapture

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.errors import (
    FatalError,
    MissingScopeError,
    NeedsConsentError,
    TikTokUnavailableError,
)
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.sync import store_run
from include.tiktok_sync.tiktok.models import USER_FIELD_SCOPES
from tests.database.bench import UTC, Bench, today
from tests.database.faults import Refuse

CODES = [f"S{number:03d}" for number in range(1, 21)]
EVENTS = ("user_daily_stats", "videos", "video_daily_stats")
MADE_UP = "7000000000000000001"

pytestmark = pytest.mark.usefixtures("no_waits")


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[MutableMapping[str, Any]]:
    """What `run_store` logs, however the process has set up its logging."""
    capture = LogCapture()
    everything = make_filtering_bound_logger(0)
    logger = wrap_logger(PrintLogger(), processors=[capture], wrapper_class=everything)
    monkeypatch.setattr(store_run, "log", logger)
    return capture.entries


def test_every_store_and_video_has_the_sandboxs_own_figures_twice_over(bench: Bench) -> None:
    bench.import_stores()
    day = today()
    seen = []
    for run_id in ("first", "second"):
        for job in (USER_JOB, VIDEO_JOB):
            for code in CODES:
                bench.sync(job, code, run_id=run_id, day=day)
        seen.append({table: bench.row(f"SELECT count(*) FROM {table}") for table in EVENTS})  # noqa: S608 - names above
    assert seen[0] == seen[1]
    assert seen[0]["user_daily_stats"] == {"count": 20}
    users = {line["store_code"]: line for line in bench.rows("SELECT * FROM user_daily_stats")}
    videos = {
        line["video_id"]: line
        for line in bench.rows(
            "SELECT * FROM videos JOIN video_daily_stats s USING (video_id, store_code)"
            " WHERE s.snapshot_date = %s",
            day.date,
        )
    }
    truth = bench.sandbox.admin("GET", "/truth")
    for code, told in truth.items():
        for name in USER_FIELD_SCOPES.keys() - {"open_id", "avatar_url"}:
            assert users[code][name] == told["user"][name], (code, name)
        for told_video in told["videos"]:
            found = videos.pop(told_video["id"])
            assert found["store_code"] == code
            assert found["create_time"] == datetime.fromtimestamp(told_video["create_time"], UTC)
            for name in (
                *("title", "video_description", "duration", "height", "width", "share_url"),
                *("embed_link", "view_count", "like_count", "comment_count", "share_count"),
            ):
                assert found[name] == told_video[name], (told_video["id"], name)
    assert videos == {}
    assert sum(len(told["videos"]) for told in truth.values()) > 300
    stats = bench.stats()
    assert stats["refreshes"] == {"S004": 1, "S008": 1, "S012": 1, "S016": 1, "S020": 1}
    assert stats["dead_token_uses"] == 0
    assert bench.calls()["user_info"] == 40


def test_the_outcome_is_recorded_with_its_costs(bench: Bench) -> None:
    bench.import_stores("S004")
    told = bench.truth("S004")
    outcome = bench.sync(USER_JOB, "S004", run_id="u")
    assert outcome.message == f"Profile of the day: {told['user']['follower_count']:,} followers"
    log = bench.log_row("S004")
    assert (log["job_name"], log["run_id"], log["status"]) == (USER_JOB, "u", "success")
    assert (log["message"], log["snapshot_date"]) == (outcome.message, today().date)
    assert (log["attempts"], log["duration_ms"] >= 0) == (1, True)
    costs = {"calls": 1, "repeats": 0, "refreshes": 1, "rate_limited": 0, "waited_s": 0.0}
    assert log["details"] == {"rows": 1, "late": False, **costs}
    bench.conn.execute("TRUNCATE sync_logs")
    outcome = bench.sync(VIDEO_JOB, "S004", run_id="v")
    count = len(told["videos"])
    pages = max(1, -(-count // 20))
    assert outcome.message == f"{count} videos on {pages} pages"
    details = bench.log_row("S004")["details"]
    assert (details["videos"], details["pages"], details["calls"]) == (count, pages, pages)
    assert (details["rows"], details["removed"]) == (count, 0)


def test_a_grant_of_the_basics_alone_still_gets_its_row(bench: Bench) -> None:
    bench.grant("S001", scope="user.info.basic")
    bench.import_stores("S001")
    outcome = bench.sync(USER_JOB, "S001")
    assert outcome.message.startswith("Profile of the day: unknown followers; not granted: ")
    assert outcome.details["scopes_not_granted"] == ["user.info.profile", "user.info.stats"]
    found = bench.row("SELECT * FROM user_daily_stats")
    assert found["display_name"] == bench.truth("S001")["user"]["display_name"]
    counts = ("follower_count", "following_count", "likes_count", "video_count", "username")
    assert {found[name] for name in counts} == {None}


def test_a_scope_withdrawn_since_the_last_token_is_not_asked_for(bench: Bench) -> None:
    bench.import_stores("S004")  # expired: the refresh says what is granted now
    bench.grant("S004", scope="user.info.basic")
    bench.sync(USER_JOB, "S004")
    assert bench.row("SELECT follower_count FROM user_daily_stats") == {"follower_count": None}
    with pytest.raises(MissingScopeError):
        bench.sync(VIDEO_JOB, "S004")
    assert bench.calls() == {"oauth_token": 1, "user_info": 1}


def test_a_grant_that_was_narrowed_in_the_meantime_gets_its_basic_row(bench: Bench) -> None:
    bench.import_stores("S001")  # the token is good and says that everything is granted
    bench.grant("S001", scope="user.info.basic")
    outcome = bench.sync(USER_JOB, "S001")
    assert outcome.details["scopes_not_granted"] == ["user.info.profile", "user.info.stats"]
    found = bench.row("SELECT display_name, follower_count FROM user_daily_stats")
    assert found == {
        "display_name": bench.truth("S001")["user"]["display_name"],
        "follower_count": None,
    }
    assert bench.calls() == {"user_info": 2}


@pytest.mark.parametrize(
    ("job", "scope", "lacks"),
    [(VIDEO_JOB, "user.info.basic", "video.list"), (USER_JOB, "video.list", "user.info.basic")],
)
def test_a_grant_without_what_the_job_needs_is_skipped(
    bench: Bench, job: str, scope: str, lacks: str
) -> None:
    bench.grant("S001", scope=scope)
    bench.import_stores("S001")
    with pytest.raises(MissingScopeError, match=lacks):
        bench.sync(job, "S001")
    log = bench.log_row("S001")
    assert (log["status"], log["details"]["kind"]) == ("skipped", "missing_scope")
    assert lacks in log["message"]
    assert bench.calls() == {}


def test_a_dead_grant_is_skipped_in_the_run_that_finds_it_and_after(bench: Bench) -> None:
    bench.import_stores("S004")
    bench.grant("S004", revoke=True)
    for attempts in (1, 2):
        with pytest.raises(NeedsConsentError):
            bench.sync(USER_JOB, "S004")
        log = bench.log_row("S004")
        assert (log["status"], log["details"]["kind"]) == ("skipped", "needs_consent")
        assert log["attempts"] == attempts
    assert bench.calls() == {"oauth_token": 1}
    assert bench.rows("SELECT FROM user_daily_stats") == []


@pytest.mark.parametrize("job", [USER_JOB, VIDEO_JOB])
def test_a_dry_run_calls_and_writes_nothing(
    bench: Bench, job: str, logged: list[MutableMapping[str, Any]]
) -> None:
    code = bench.code_with_videos()
    bench.import_stores(code)
    bench.grant(code, access_expires_in=7200)
    bench.insert_video(code, MADE_UP)
    before = bench.dump()
    outcome = bench.sync(job, code, dry_run=True)
    assert bench.dump() == before
    assert bench.calls()[{USER_JOB: "user_info", VIDEO_JOB: "video_list"}[job]] >= 1
    expected = {USER_JOB: 1, VIDEO_JOB: len(bench.truth(code)["videos"])}[job]
    assert outcome.details["rows"] == expected
    assert [entry["event"] for entry in logged] == ["Dry run, nothing written"]
    assert (logged[0]["store_code"], logged[0]["rows"]) == (code, expected)


def test_a_dry_run_of_a_failing_store_records_nothing_either(bench: Bench) -> None:
    bench.grant("S001", scope="video.list")
    bench.import_stores("S001")
    with pytest.raises(MissingScopeError):
        bench.sync(USER_JOB, "S001", dry_run=True)
    assert bench.rows("SELECT FROM sync_logs") == []


def test_a_failure_is_recorded_with_what_a_person_needs(bench: Bench) -> None:
    bench.import_stores("S001")
    bench.sandbox.faults.plan = Refuse("user_info", 400, "invalid_params")
    with pytest.raises(FatalError):
        bench.sync(USER_JOB, "S001")
    log = bench.log_row("S001")
    assert (log["status"], log["details"]["kind"]) == ("failed", "fatal")
    assert log["details"]["log_id"] == "LOG7"
    assert log["message"].endswith("(TikTok log_id LOG7)")
    assert log["details"]["detail"] == (
        "user/info: HTTP 400, invalid_params: why"
        " (the request itself is at fault: compare fields and body with TikTok's reference)"
    )
    assert log["details"]["calls"] == 1


def test_a_retry_updates_the_row_of_its_run(bench: Bench) -> None:
    bench.import_stores("S001")
    nowhere = TikTokApp("http://127.0.0.1:1", "key", "secret")
    with pytest.raises(TikTokUnavailableError):
        bench.sync(USER_JOB, "S001", app=nowhere)
    first = bench.log_row("S001")
    assert (first["status"], first["details"]["kind"]) == ("failed", "unavailable")
    # The client's own tries of one call.
    assert (first["details"]["calls"], first["details"]["repeats"]) == (4, 3)
    bench.sync(USER_JOB, "S001")
    second = bench.log_row("S001")
    assert (second["id"], second["attempts"]) == (first["id"], 2)
    assert (second["status"], "kind" in second["details"]) == ("success", False)
    assert second["run_time"] > first["run_time"]
    bench.sync(USER_JOB, "S001", run_id="run-2")
    assert len(bench.rows("SELECT FROM sync_logs")) == 2


def test_a_bug_is_recorded_without_its_text(bench: Bench) -> None:
    bench.import_stores("S001")
    bench.conn.execute("ALTER TABLE user_daily_stats RENAME COLUMN likes_count TO gone")
    with pytest.raises(Exception, match="likes_count"):
        bench.sync(USER_JOB, "S001")
    log = bench.log_row("S001")
    assert (log["status"], log["details"]["kind"]) == ("failed", "unexpected")
    assert log["message"] == "Unexpected UndefinedColumn; see the task's log."


def test_the_progress_line_counts_the_stores_that_are_done(
    bench: Bench, logged: list[MutableMapping[str, Any]]
) -> None:
    bench.import_stores("S001", "S002")
    for code in ("S001", "S001", "S002"):
        bench.sync(USER_JOB, code)
    lines = [json.loads(entry["event"]) for entry in logged if "processed" in entry["event"]]
    assert [line["processed"] for line in lines] == [1, 1, 2]
    assert lines[0] == {"processed": 1, "total": 1, "percent": 100, "msg": "Sync progress"}


def test_a_backfilled_day_is_late_and_gives_way_to_nothing(bench: Bench) -> None:
    bench.import_stores("S001")
    now = datetime.now(UTC)
    past = SnapshotDay((now - timedelta(days=400)).date(), ZoneInfo("UTC"))
    for job in (USER_JOB, VIDEO_JOB):
        outcome = bench.sync(job, "S001", day=past)
        assert outcome.details["late"] is True
        assert bench.sync(job, "S001", day=past, run_id="again").details["rows"] == 0
    found = bench.row("SELECT * FROM user_daily_stats WHERE snapshot_date < %s", now.date())
    assert found["snapshot_date"] == past.date
    assert found["observed_at"] >= now - timedelta(minutes=5)
    assert found["is_late"] is True
    late = bench.row(
        "SELECT bool_and(is_late) AS late, count(*) > 0 AS some FROM video_daily_stats"
        " WHERE snapshot_date = %s",
        past.date,
    )
    assert late == {"late": True, "some": True}
