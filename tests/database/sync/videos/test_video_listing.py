"""Is every video of a listing settled: written, told unreadable, or found gone and only then so?"""

from __future__ import annotations

from typing import Any

import pytest

from include.tiktok_sync.errors import DataError, ListingError
from include.tiktok_sync.jobs import VIDEO_JOB
from include.tiktok_sync.tiktok.paginator import STUCK_TRIES
from tests.database.bench import Bench
from tests.database.faults import Edit

MADE_UP = "7000000000000000001"

pytestmark = pytest.mark.usefixtures("no_waits")


def test_a_video_is_removed_only_after_tiktok_confirms_and_comes_back(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=3)
    bench.import_stores(code)
    bench.insert_video(code, MADE_UP)
    hidden = bench.truth(code)["videos"][1]["id"]

    def hide(data: dict[str, Any]) -> None:
        data["videos"] = [video for video in data["videos"] if video["id"] != hidden]

    bench.sync(VIDEO_JOB, code, run_id="before")
    bench.conn.execute("UPDATE videos SET removed_at = NULL")
    bench.sandbox.admin("DELETE", "/requests")
    bench.sandbox.faults.plan = Edit("video_list", hide)
    outcome = bench.sync(VIDEO_JOB, code)
    gone = bench.rows("SELECT video_id FROM videos WHERE removed_at IS NOT NULL")
    assert gone == [{"video_id": MADE_UP}]  # `hidden` is not listed, and video/query shows it
    assert outcome.message.endswith(", 1 gone")
    assert outcome.details["removed"] == 1
    assert bench.calls()["video_query"] == 1

    def bring_back(data: dict[str, Any]) -> None:
        data["videos"].append({"id": MADE_UP, "view_count": 5})

    bench.sandbox.faults.plan = Edit("video_list", bring_back)
    bench.sync(VIDEO_JOB, code)
    assert bench.rows("SELECT FROM videos WHERE removed_at IS NOT NULL") == []


def test_missing_videos_are_asked_for_by_twenty(bench: Bench) -> None:
    bench.import_stores("S001")
    made_up = [str(int(MADE_UP) + number) for number in range(41)]
    for video_id in made_up:
        bench.insert_video("S001", video_id)
    bench.sync(VIDEO_JOB, "S001")
    assert bench.calls()["video_query"] == 3
    gone = bench.rows("SELECT video_id FROM videos WHERE removed_at IS NOT NULL ORDER BY 1")
    assert [line["video_id"] for line in gone] == made_up
    bench.sync(VIDEO_JOB, "S001")
    assert bench.calls()["video_query"] == 3


def test_an_incomplete_listing_removes_nothing_and_keeps_its_pages(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=41)
    bench.import_stores(code)
    bench.insert_video(code, MADE_UP)
    pages = 0

    def stuck(data: dict[str, Any]) -> None:
        nonlocal pages
        pages += 1
        if pages > 1:
            data.update(videos=[], cursor=0, has_more=True)

    bench.sandbox.faults.plan = Edit("video_list", stuck)
    with pytest.raises(ListingError, match="does not say where"):
        bench.sync(VIDEO_JOB, code)
    assert bench.rows("SELECT FROM videos WHERE removed_at IS NOT NULL") == []
    assert bench.row("SELECT count(*) FROM video_daily_stats") == {"count": 20}
    log = bench.log_row(code)
    assert (log["status"], log["details"]["kind"]) == ("failed", "listing")
    assert bench.calls()["video_list"] == 1 + STUCK_TRIES
    assert bench.rows("SELECT FROM video_listings") == []  # the next try starts afresh


def test_an_unreadable_video_costs_only_itself(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=21)
    bench.import_stores(code)
    bench.insert_video(code, MADE_UP)
    told = bench.truth(code)["videos"]
    bad = told[0]["id"]

    def spoil(data: dict[str, Any]) -> None:
        for video in data["videos"]:
            if video["id"] == bad:
                video["view_count"] = 2**70

    bench.sandbox.faults.plan = Edit("video_list", spoil)
    with pytest.raises(DataError, match=f"1 of {len(told)} videos could not be read"):
        bench.sync(VIDEO_JOB, code)
    assert bench.row("SELECT count(*) FROM video_daily_stats") == {"count": len(told) - 1}
    assert bench.rows("SELECT FROM videos WHERE removed_at IS NOT NULL") == []
    log = bench.log_row(code)
    assert (log["details"]["kind"], bad in log["message"]) == ("data", True)


def test_a_video_on_two_pages_counts_once(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=21)
    bench.import_stores(code)
    told = bench.truth(code)["videos"]
    first: list[dict[str, Any]] = []

    def repeat(data: dict[str, Any]) -> None:
        first.extend(data["videos"][:1])
        data["videos"] += first[:1] * 2  # twice on a page, and again on the next ones

    bench.sandbox.faults.plan = Edit("video_list", repeat)
    outcome = bench.sync(VIDEO_JOB, code)
    assert (outcome.details["videos"], outcome.details["rows"]) == (len(told), len(told))
    assert bench.calls()["video_list"] > 1


def test_captions_with_nul_and_ties_at_page_edges_are_no_trouble(bench: Bench) -> None:
    bench.sandbox.admin(
        "PATCH", "/settings", json={"nul_in_captions": True, "same_second_ties": True}
    )
    code = bench.code_with_videos(at_least=41)
    bench.import_stores(code)
    outcome = bench.sync(VIDEO_JOB, code)
    told = {video["id"]: video for video in bench.truth(code)["videos"]}
    assert any("\x00" in video["video_description"] for video in told.values())
    for line in bench.rows("SELECT video_id, video_description FROM videos"):
        assert line["video_description"] == told[line["video_id"]]["video_description"].replace(
            "\x00", ""
        )
    assert outcome.details["videos"] == len(told)
