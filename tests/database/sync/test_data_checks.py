"""Does each data check find the stores it must, only those, and say what to do?"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from include.tiktok_sync.errors import ConfigurationError, DatabaseUnavailableError
from include.tiktok_sync.jobs import RunKey
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.data_checks import check as data_checks
from include.tiktok_sync.sync.data_checks.check import CheckedRun, DataCheck, Outcome, warnings_of
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.sync_log import SyncLog
from include.tiktok_sync.tiktok.models import UserProfile, Video
from tests.database.bench import DAY, LATER, NEXT_DAY, NOON, insert_grants, run_of

STORES = ("S1", "S2", "S3")
USER_RUN = RunKey("sync_user_daily", "run-1", DAY.date)
VIDEO_RUN = RunKey("sync_video_daily", "run-1", DAY.date)
BEFORE = NOON - timedelta(days=1)
CHECKS = sorted(file.stem for file in data_checks.FOLDER.glob("*.sql"))


@pytest.fixture
def repository(conn: Connection) -> StoreRepository:
    for code in (*STORES, "other"):
        conn.execute("INSERT INTO stores (store_code, store_name) VALUES (%s, 'x')", [code])
    repository = StoreRepository(conn)
    repository.ensure_partitions(DAY.date)
    return repository


def run(
    conn: Connection, name: str, *, key: RunKey = USER_RUN, stores: tuple[str, ...] = STORES
) -> Outcome:
    return DataCheck.read(name).run(conn, CheckedRun(key, stores, since=NOON))


def save_videos(
    repository: StoreRepository, code: str, count: int, *, views: int | None = 5
) -> None:
    """Videos first seen the day before the run."""
    videos = [Video(video_id=f"{code}-{number}", view_count=views) for number in range(count)]
    repository.save_videos(run_of(code), videos, BEFORE)


def mark_removed(repository: StoreRepository, code: str, count: int, at: datetime) -> None:
    """The first ones are gone, as a run found out at some moment."""
    ids = [f"{code}-{number}" for number in range(count)]
    assert repository.mark_removed(code, ids, at, unseen_since=NEXT_DAY) == count


def test_every_check_passes_on_an_ordinary_day(
    conn: Connection, repository: StoreRepository
) -> None:
    assert len(CHECKS) == 12
    for code in STORES:
        repository.save_user(code, DAY, UserProfile(follower_count=0), NOON)
        save_videos(repository, code, 10)
        SyncLog(conn).record(VIDEO_RUN, code, "success", "m", duration_ms=1, details={"videos": 10})
    mark_removed(repository, "S1", 4, LATER)

    for name in CHECKS:
        assert run(conn, name, key=VIDEO_RUN) == Outcome(name, 0, [], "Nothing found."), name


@pytest.mark.parametrize("name", CHECKS)
def test_a_run_without_stores_finds_nothing(conn: Connection, name: str) -> None:
    assert run(conn, name, stores=()).found == 0


def test_grants_that_end_soon_are_found_the_earliest_first(
    conn: Connection, repository: StoreRepository
) -> None:
    del repository  # it made the stores
    for code, days, status in (
        ("S1", 29, "active"),
        ("S2", 3, "missing_scope"),
        ("S3", 1, "needs_consent"),
        ("other", 1, "active"),
    ):
        conn.execute(
            "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
            " refresh_expires_at, status) VALUES (%s, %s, 's', '', '', now() + %s, %s)",
            [code, code, timedelta(days=days), status],
        )

    found = run(conn, "grants_end_soon")

    assert found.examples == ["S2", "S1"]
    assert "S2 (ends 20" in found.message
    later = CheckedRun(USER_RUN, STORES, since=NOON, consent_warning_days=5)
    assert DataCheck.read("grants_end_soon").run(conn, later).examples == ["S2"]


def test_stores_without_a_row_of_the_day_are_found(
    conn: Connection, repository: StoreRepository
) -> None:
    insert_grants(conn, *STORES)
    repository.save_user("S1", DAY, UserProfile(), NOON)
    repository.save_user(
        "S3", type(DAY)(DAY.date - timedelta(days=1), DAY.timezone), UserProfile(), BEFORE
    )

    outcome = run(conn, "user_rows_missing")

    assert (outcome.found, outcome.examples) == (2, ["S2", "S3"])
    assert outcome.message == (
        "No profile figures of the day: 2 stores: S2, S3. Clear the failed tasks before the day is"
        " over, and connect skipped stores again."
    )


def test_a_store_that_was_never_connected_misses_nothing(
    conn: Connection, repository: StoreRepository
) -> None:
    del repository  # it made the stores
    insert_grants(conn, "S2", "S3")

    assert run(conn, "user_rows_missing").examples == ["S2", "S3"]


def test_stores_whose_videos_are_not_recorded_are_found(
    conn: Connection, repository: StoreRepository
) -> None:
    log = SyncLog(conn)
    # No row at all in this run: S1. Nothing to read: S2. A reason: S3. Rows promised: other.
    log.record(
        RunKey("sync_video_daily", "another", DAY.date),
        "S1",
        "success",
        "m",
        duration_ms=1,
        details={"videos": 0},
    )
    log.record(VIDEO_RUN, "S2", "success", "m", duration_ms=1, details={"videos": 0})
    log.record(VIDEO_RUN, "S3", "failed", "m", duration_ms=1, details={})
    log.record(VIDEO_RUN, "other", "success", "m", duration_ms=1, details={"videos": 2})

    stores = (*STORES, "other")
    found = run(conn, "video_syncs_missing", key=VIDEO_RUN, stores=stores)
    assert found.examples == ["S1", "other"]

    save_videos(repository, "other", 1)
    assert run(conn, "video_syncs_missing", key=VIDEO_RUN, stores=stores).examples == ["S1"]


@pytest.mark.parametrize(
    ("before", "lost", "found"),
    [(20, 11, 1), (20, 10, 0), (8, 5, 1), (5, 5, 1), (4, 4, 0), (10, 0, 0)],
)
def test_a_store_that_lost_more_than_half_is_found(
    conn: Connection, repository: StoreRepository, before: int, lost: int, found: int
) -> None:
    save_videos(repository, "S1", before)
    mark_removed(repository, "S1", lost, LATER)

    outcome = run(conn, "videos_lost", key=VIDEO_RUN)

    assert outcome.found == found
    if found:
        assert f"1 store: S1 ({lost} of {before} videos)." in outcome.message


def test_what_was_lost_before_the_run_or_came_in_it_does_not_count(
    conn: Connection, repository: StoreRepository
) -> None:
    save_videos(repository, "S1", 20)
    mark_removed(repository, "S1", 19, BEFORE)
    # 6 of 8 lost, though the run also found 10 new ones.
    save_videos(repository, "S2", 8)
    mark_removed(repository, "S2", 6, NOON)
    repository.save_videos(
        run_of("S2"), [Video(video_id=f"new-{number}") for number in range(10)], LATER
    )

    outcome = run(conn, "videos_lost", key=VIDEO_RUN)

    assert outcome.examples == ["S2"]
    assert "S2 (6 of 8 videos)" in outcome.message


def test_counts_below_zero_are_found_and_unknown_ones_are_not(
    conn: Connection, repository: StoreRepository
) -> None:
    repository.save_user("S1", DAY, UserProfile(follower_count=None, likes_count=0), NOON)
    repository.save_user("S2", DAY, UserProfile(likes_count=-3, video_count=-1), NOON)
    repository.save_user("other", DAY, UserProfile(likes_count=-3), NOON)
    save_videos(repository, "S1", 3, views=None)
    save_videos(repository, "S3", 3, views=-1)

    users = run(conn, "user_counts_negative")
    videos = run(conn, "video_counts_negative", key=VIDEO_RUN)

    assert users.examples == ["S2"]
    assert "S2 (likes_count -3, video_count -1)" in users.message
    assert videos.examples == ["S3"]
    assert "S3 (3 videos, first S3-0)" in videos.message


def test_late_rows_are_flagged_with_their_number(
    conn: Connection, repository: StoreRepository
) -> None:
    repository.save_user("S1", DAY, UserProfile(), NOON)
    repository.save_user("S2", DAY, UserProfile(), NEXT_DAY)
    repository.save_videos(run_of("S3"), [Video(video_id="1"), Video(video_id="2")], NEXT_DAY)

    users = run(conn, "user_rows_late")
    videos = run(conn, "video_rows_late", key=VIDEO_RUN)

    assert users.examples == ["S2"]
    assert "S2 (observed 2026-03-11)" in users.message
    assert videos.examples == ["S3"]
    assert "S3 (2 videos)" in videos.message


def test_figures_that_differ_are_named_with_both_readings(
    conn: Connection, repository: StoreRepository
) -> None:
    log = SyncLog(repository.conn)  # of the fixture's stores
    same = {"compared": 7, "differ": 0}
    one = {
        "video_id": "77",
        "order": "video/list, then video/query",
        "first": {"view_count": 100},
        "second": {"view_count": 50},
    }
    other = same | {"differ": 1, "differences": [one]}
    for code, details in (("S1", same), ("S2", other)):
        log.record(VIDEO_RUN, code, "success", "m", duration_ms=1, details=details)

    found = run(conn, "video_figures_differ", key=VIDEO_RUN)

    assert found.examples == ["S2"]
    assert (
        'S2 (1 of 7 videos, 77 (video/list, then video/query): {"view_count": 100},'
        ' then {"view_count": 50})'
    ) in found.message


def test_many_stores_are_counted_and_the_first_ones_named(conn: Connection) -> None:
    stores = tuple(f"S{number:03d}" for number in range(300))

    outcome = run(conn, "video_syncs_missing", key=VIDEO_RUN, stores=stores)

    assert outcome.found == 300
    assert outcome.stores == list(stores)
    assert outcome.examples == list(stores[: data_checks.EXAMPLES])
    assert "300 stores: S000, S001, S002 and 297 more. Clear" in outcome.message


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_says_what_it_checks_why_and_what_to_do(name: str) -> None:
    check = DataCheck.read(name)
    head = check.sql.partition("SELECT")[0].splitlines()

    assert all(line.startswith("-- ") for line in head if line)
    assert not check.finding.endswith(".")
    assert check.next_step.endswith(".")
    assert "{{" not in check.sql


def test_a_check_that_does_not_fit_the_schema_says_so_and_is_not_tried_again(
    conn: Connection,
) -> None:
    conn.execute("ALTER TABLE user_daily_stats RENAME COLUMN is_late TO late")

    with pytest.raises(
        ConfigurationError, match=r'user_rows_late does not fit the schema: .*"is_late"'
    ):
        run(conn, "user_rows_late")


def test_a_check_that_takes_too_long_is_tried_again(conn: Connection) -> None:
    conn.execute("SET statement_timeout = 1")
    slow = DataCheck("slow", "SELECT 'S1', pg_sleep(20)::text", "f", "n.")

    with pytest.raises(DatabaseUnavailableError, match="longer than the task's time-out"):
        slow.run(conn, CheckedRun(USER_RUN, STORES, since=NOON))


def test_a_missing_or_silent_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="The data check nothing cannot be read"):
        DataCheck.read("nothing")
    monkeypatch.setattr(data_checks, "FOLDER", tmp_path)
    (tmp_path / "silent.sql").write_text("-- Checks: x\n-- Why: y\n-- Finding: z\nSELECT 1")
    with pytest.raises(ConfigurationError, match=r"silent\.sql has no line `-- Next step: …`"):
        DataCheck.read("silent")


def test_the_summary_is_warned_of_findings_and_of_checks_that_could_not_run() -> None:
    passed = Outcome("passed", 0, [], "Nothing found.")
    found = Outcome("found", 2, ["S1", "S2"], "Look.")

    warnings = warnings_of(["broken", "found", "passed"], [passed.as_dict(), found.as_dict()])

    assert [(item["check"], item["found"], item["examples"]) for item in warnings] == [
        ("broken", None, []),
        ("found", 2, ["S1", "S2"]),
    ]
    assert "could not run" in warnings[0]["message"]
