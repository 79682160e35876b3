"""Do pages and profiles land once, whole, and without replacing what is better?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.jobs import INSIGHTS_JOB, VIDEO_JOB, StoreRun
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.sync_log import RunProgress, SyncLog
from include.tiktok_sync.tiktok.models import UserProfile, Video
from tests.database.bench import DAY, LATER, NEXT_DAY, NOON, row, rows, run_of, together

BIG = 2**31 + 2**33
COUNTERS = ("view_count", "like_count", "comment_count", "share_count")
VIDEO = Video(
    video_id="7290000000000000001",
    create_time=NOON - timedelta(days=9),
    cover_image_url="https://cdn.example/cover",
    share_url="https://tiktok.example/v",
    video_description="Caption #one",
    duration=31,
    height=1024,
    width=576,
    title="Title",
    embed_link="https://tiktok.example/e",
    like_count=2,
    comment_count=3,
    share_count=4,
    view_count=1,
    extra={"is_aigc": True, "nested": {"list": [1, "two", None]}},
)
PROFILE = UserProfile(
    open_id="o",
    union_id="u",
    avatar_url="https://cdn.example/a",
    display_name="Nordlicht",
    bio_description="",
    profile_deep_link="https://vm.example/x",
    is_verified=False,
    username="nordlicht",
    follower_count=10,
    following_count=0,
    likes_count=30,
    video_count=4,
    extra={"new_field": [1, 2]},
)


@pytest.fixture
def repository(conn: Connection) -> StoreRepository:
    """On a database with stores A, B and (not active) C, and DAY's partition."""
    for code, active in (("B", True), ("A", True), ("C", False)):
        conn.execute(
            "INSERT INTO stores (store_code, store_name, is_active) VALUES (%s, %s, %s)",
            [code, code, active],
        )
    repository = StoreRepository(conn)
    repository.ensure_partitions(DAY.date)
    return repository


def _stat(conn: Connection, video_id: str = VIDEO.video_id) -> dict[str, Any]:
    return row(conn, "SELECT * FROM video_daily_stats WHERE video_id = %s", video_id)


def _video(conn: Connection, video_id: str = VIDEO.video_id) -> dict[str, Any]:
    return row(conn, "SELECT * FROM videos WHERE video_id = %s", video_id)


def _user(conn: Connection) -> dict[str, Any]:
    return row(conn, "SELECT * FROM user_daily_stats")


def test_the_active_stores_are_listed_sorted(repository: StoreRepository) -> None:
    assert repository.active_store_codes() == ["A", "B"]
    assert SyncLog(repository.conn).progress(run_of("A").key, NOON) == RunProgress(
        done=0, active=2, first_of_minute=True
    )
    assert repository.unknown_store_codes(["Z", "C", "A", "Y"]) == ["Z", "Y"]


def test_a_run_of_the_second_api_has_the_stores_with_the_second_consent(
    repository: StoreRepository,
) -> None:
    repository.conn.execute(
        "INSERT INTO business_tokens (store_code, open_id, scope, access_token, refresh_token)"
        " SELECT code, code, 's', '', '' FROM unnest(ARRAY['B', 'C']) AS code"
    )
    log = SyncLog(repository.conn)
    for job, codes, to_come in ((VIDEO_JOB, ["A", "B"], 1), (INSIGHTS_JOB, ["B"], 0)):
        run = StoreRun(job, "run-1", "B", DAY)
        assert repository.active_store_codes(job) == codes
        assert log.progress(run.key, NOON).active == len(codes)
        assert repository.stores_to_come(run) == to_come


def test_every_field_of_a_video_is_kept(repository: StoreRepository) -> None:
    assert repository.save_videos(run_of("A"), [VIDEO], NOON) == 1
    found = _video(repository.conn)
    for name in ("create_time", "cover_image_url", "share_url", "video_description", "duration"):
        assert found[name] == getattr(VIDEO, name), name
    for name in ("height", "width", "title", "embed_link", "extra"):
        assert found[name] == getattr(VIDEO, name), name
    assert (found["store_code"], found["removed_at"]) == ("A", None)
    assert found["first_seen_at"] == found["last_seen_at"] == NOON
    stat = _stat(repository.conn)
    assert [stat[name] for name in COUNTERS] == [1, 2, 3, 4]
    assert (stat["snapshot_date"], stat["store_code"]) == (DAY.date, "A")
    assert stat["observed_at"] == NOON


def test_every_field_of_a_profile_is_kept(repository: StoreRepository) -> None:
    assert repository.save_user("A", DAY, PROFILE, NOON) == 1
    found = _user(repository.conn)
    names = set(vars(PROFILE)) - {"open_id"}  # open_id is the grant's, in store_tokens
    assert {name: found[name] for name in names} == {name: getattr(PROFILE, name) for name in names}
    assert (found["snapshot_date"], found["observed_at"]) == (DAY.date, NOON)


def test_writing_again_changes_nothing(repository: StoreRepository) -> None:
    tables = ("videos", "video_daily_stats", "user_daily_stats")
    seen = []
    for _ in range(2):
        repository.save_videos(run_of("A"), [VIDEO], NOON)
        repository.save_user("A", DAY, PROFILE, NOON)
        seen.append([rows(repository.conn, f"SELECT * FROM {name}") for name in tables])  # noqa: S608 - names above
    assert seen[0] == seen[1]
    assert [len(found) for found in seen[0]] == [1, 1, 1]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param(NOON, LATER, "second", id="newer-wins-within-the-day"),
        pytest.param(LATER, NOON, "first", id="older-does-not"),
        pytest.param(NOON, NEXT_DAY, "first", id="late-never-replaces-on-time"),
        pytest.param(NEXT_DAY, NEXT_DAY + timedelta(days=1), "first", id="nor-late"),
    ],
)
def test_which_of_two_observations_of_a_day_stays(
    repository: StoreRepository, first: datetime, second: datetime, kept: str
) -> None:
    counts = {"first": 100, "second": 50}  # a counter may fall
    observed = {"first": first, "second": second}
    for name in ("first", "second"):
        written = int(name in ("first", kept))
        video = replace(VIDEO, view_count=counts[name])
        assert repository.save_videos(run_of("A"), [video], observed[name]) == written
        profile = replace(PROFILE, follower_count=counts[name])
        assert repository.save_user("A", DAY, profile, observed[name]) == written
    stat, user = _stat(repository.conn), _user(repository.conn)
    assert (stat["view_count"], stat["observed_at"]) == (counts[kept], observed[kept])
    assert (user["follower_count"], user["observed_at"]) == (counts[kept], observed[kept])
    seen = _video(repository.conn)
    assert (seen["first_seen_at"], seen["last_seen_at"]) == (first, max(first, second))


def test_a_late_row_fills_a_gap_and_says_when_it_was_observed(repository: StoreRepository) -> None:
    week = NOON + timedelta(days=7)
    assert repository.save_videos(run_of("A"), [VIDEO], week) == 1
    assert repository.save_user("A", DAY, PROFILE, week) == 1
    for found in (_stat(repository.conn), _user(repository.conn)):
        assert (found["snapshot_date"], found["observed_at"]) == (DAY.date, week)


def test_a_late_page_keeps_the_on_time_rows_and_fills_the_others(
    repository: StoreRepository,
) -> None:
    repository.save_videos(run_of("A"), [VIDEO], NOON)
    other = replace(VIDEO, video_id="2", view_count=7)
    page = [replace(VIDEO, view_count=999), other]
    assert repository.save_videos(run_of("A"), page, NEXT_DAY) == 1
    assert _stat(repository.conn)["view_count"] == 1
    filled = _stat(repository.conn, "2")
    assert (filled["view_count"], filled["observed_at"]) == (7, NEXT_DAY)


def test_the_zone_of_the_sync_decides_what_is_late(repository: StoreRepository) -> None:
    # 23:30 UTC on the 10th is 00:30 on the 11th in Berlin, and still the 10th in New York.
    moment = NOON.replace(hour=23, minute=30)
    for code, zone, kept in (("A", "Europe/Berlin", 1), ("B", "America/New_York", 2)):
        day = SnapshotDay(DAY.date, ZoneInfo(zone))
        repository.save_user(code, day, replace(PROFILE, follower_count=1), NOON)
        repository.save_user(code, day, replace(PROFILE, follower_count=2), moment)
        found = row(
            repository.conn, "SELECT follower_count FROM user_daily_stats WHERE store_code=%s", code
        )
        assert found == {"follower_count": kept}, zone


def test_days_are_kept_next_to_each_other(repository: StoreRepository) -> None:
    following = SnapshotDay.of(NEXT_DAY, DAY.timezone)
    for day, moment, count in ((DAY, NOON, 1), (following, NEXT_DAY, 2)):
        repository.save_videos(run_of("A", day), [replace(VIDEO, view_count=count)], moment)
        repository.save_user("A", day, replace(PROFILE, likes_count=count), moment)
    found = rows(repository.conn, "SELECT view_count FROM video_daily_stats ORDER BY snapshot_date")
    assert [item["view_count"] for item in found] == [1, 2]
    found = rows(repository.conn, "SELECT likes_count FROM user_daily_stats ORDER BY snapshot_date")
    assert [item["likes_count"] for item in found] == [1, 2]


def test_what_tiktok_left_out_is_null(repository: StoreRepository) -> None:
    repository.save_videos(run_of("A"), [Video(video_id="1")], NOON)
    repository.save_user("A", DAY, UserProfile(), NOON)
    stat, video, user = (
        _stat(repository.conn, "1"),
        _video(repository.conn, "1"),
        _user(repository.conn),
    )
    assert {stat[name] for name in COUNTERS} == {None}
    assert {video[name] for name in ("title", "create_time", "duration", "share_url")} == {None}
    names = set(vars(PROFILE)) - {"open_id", "extra"}
    assert {user[name] for name in names} == {None}
    assert user["extra"] == video["extra"] == {}


def test_a_newer_answer_without_a_count_does_not_keep_the_old_one(
    repository: StoreRepository,
) -> None:
    repository.save_videos(run_of("A"), [VIDEO], NOON)
    repository.save_videos(run_of("A"), [Video(video_id=VIDEO.video_id)], LATER)
    assert _stat(repository.conn)["view_count"] is None
    # When it was posted cannot change, so that is kept.
    assert _video(repository.conn)["create_time"] == VIDEO.create_time


def test_counts_beyond_32_bits(repository: StoreRepository) -> None:
    raw = {"id": VIDEO.video_id, **dict.fromkeys(COUNTERS, BIG)}
    repository.save_videos(run_of("A"), [Video.from_api(raw)], NOON)
    repository.save_user("A", DAY, replace(PROFILE, likes_count=BIG, follower_count=BIG), NOON)
    assert {_stat(repository.conn)[name] for name in COUNTERS} == {BIG}
    user = _user(repository.conn)
    assert (user["likes_count"], user["follower_count"]) == (BIG, BIG)


def test_long_and_odd_text_arrives(repository: StoreRepository) -> None:
    raw = {
        "id": "5",
        "video_description": "ä🧡" * 1100,
        "title": "a\x00b\ud83dc",
        "unknown\x00\udc00": {"k\x00": "v\x00\udc00"},
    }
    repository.save_videos(run_of("A"), [Video.from_api(raw)], NOON)
    profile = UserProfile.from_api({"display_name": "\x00\ud800", "bio_description": "x" * 5000})
    repository.save_user("A", DAY, profile, NOON)
    found = _video(repository.conn, "5")
    assert found["video_description"] == "ä🧡" * 1100
    assert len(found["video_description"]) == 2200
    assert found["title"] == "ab?c"
    assert found["extra"] == {"unknown?": {"k": "v?"}}
    user = _user(repository.conn)
    assert (user["display_name"], len(user["bio_description"])) == ("?", 5000)


def test_a_page_is_written_whole_or_not_at_all(repository: StoreRepository) -> None:
    page = [replace(VIDEO, video_id=str(number)) for number in range(19)]
    with pytest.raises(psycopg.errors.CheckViolation):
        repository.save_videos(run_of("A"), [*page, replace(VIDEO, video_id="")], NOON)
    long_ago = SnapshotDay(NOON.date().replace(year=1999), DAY.timezone)
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
        repository.save_videos(run_of("A", long_ago), page, NOON)
    for table in ("videos", "video_daily_stats"):
        assert row(repository.conn, f"SELECT count(*) FROM {table}") == {"count": 0}  # noqa: S608 - names above


def test_an_empty_page_writes_nothing(repository: StoreRepository) -> None:
    assert repository.save_videos(run_of("A"), [], NOON) == 0


class CountingConnection(psycopg.Connection[Any]):
    """Counts what is sent through any cursor."""

    sent: list[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sent = []
        outer = self

        class Cursor(psycopg.Cursor[Any]):
            def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
                outer.sent.append(str(query))
                return super().execute(query, *args, **kwargs)

        self.cursor_factory = Cursor


@pytest.fixture
def counting(db_url: str) -> Iterator[CountingConnection]:
    with CountingConnection.connect(db_url, autocommit=True) as connection:
        yield connection


def test_a_page_is_one_statement(repository: StoreRepository, counting: CountingConnection) -> None:
    page = [replace(VIDEO, video_id=str(number)) for number in range(20)]
    assert StoreRepository(counting).save_videos(run_of("A"), page, NOON) == 20
    assert len(counting.sent) == 1
    counting.sent.clear()
    assert StoreRepository(counting).save_user("A", DAY, PROFILE, NOON) == 1
    assert len(counting.sent) == 1
    assert row(repository.conn, "SELECT count(*) FROM videos") == {"count": 20}


def test_two_pages_with_the_same_videos_in_opposite_order_do_not_block_each_other(
    repository: StoreRepository, db_url: str
) -> None:
    """`video/list` shows the newest first, `video/query` is asked for the oldest first."""
    page = [replace(VIDEO, video_id=str(number)) for number in range(3_000)]

    def save(number: int) -> None:
        with psycopg.connect(db_url, autocommit=True) as conn:
            videos = page[::-1] if number else page
            StoreRepository(conn).save_videos(run_of("A"), videos, NOON)

    together(2, save)
    assert row(repository.conn, "SELECT count(*) FROM video_daily_stats") == {"count": 3_000}


def test_a_removed_video_comes_back_when_it_is_listed_again(repository: StoreRepository) -> None:
    conn = repository.conn
    repository.save_videos(run_of("A"), [VIDEO, replace(VIDEO, video_id="2")], NOON)
    assert repository.mark_removed("A", [VIDEO.video_id], LATER, unseen_since=NOON) == 0  # seen
    assert repository.mark_removed("A", [VIDEO.video_id], LATER, unseen_since=LATER) == 1
    # The first finding stands.
    assert repository.mark_removed("A", [VIDEO.video_id], NEXT_DAY, unseen_since=NEXT_DAY) == 0
    assert repository.mark_removed("B", ["2"], LATER, unseen_since=LATER) == 0  # not that store's
    assert _video(conn)["removed_at"] == LATER
    assert _video(conn, "2")["removed_at"] is None
    repository.save_videos(run_of("A"), [VIDEO], LATER + timedelta(minutes=1))
    found = _video(conn)
    assert (found["removed_at"], found["first_seen_at"]) == (None, NOON)


def test_the_known_videos_are_the_stores_own_that_count_as_public(
    repository: StoreRepository,
) -> None:
    for code, ids in (("A", "1 2 3 4"), ("B", "5")):
        videos = [replace(VIDEO, video_id=video_id) for video_id in ids.split()]
        repository.save_videos(run_of(code, DAY), videos, NOON)
    repository.mark_removed("A", ["4"], LATER, unseen_since=LATER)
    assert repository.known_videos("A") == dict.fromkeys(["1", "2", "3"], VIDEO.create_time)
    assert list(repository.known_videos("B")) == ["5"]


def test_a_video_that_moves_to_another_store_moves(repository: StoreRepository) -> None:
    repository.save_videos(run_of("A"), [VIDEO], NOON)
    repository.save_videos(run_of("B"), [VIDEO], LATER)
    assert _video(repository.conn)["store_code"] == "B"
    assert _stat(repository.conn)["store_code"] == "B"
