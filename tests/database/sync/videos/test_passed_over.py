"""Are videos found that a listing passes over: hidden by a tie, or left out of the list?"""

from __future__ import annotations

from typing import Any

import pytest

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.sync.videos.two_ends import TwoEnds
from include.tiktok_sync.tiktok.api_client import BLIP_ATTEMPTS
from tests.database.bench import Bench
from tests.database.faults import Edit

pytestmark = pytest.mark.usefixtures("no_waits")


def _count(bench: Bench) -> int:
    return int(bench.row("SELECT count(*) FROM video_daily_stats")["count"])


@pytest.fixture
def tied(bench: Bench) -> str:
    """A store in which two videos share the second at the edge of the first page."""
    bench.sandbox.admin("PATCH", "/settings", json={"same_second_ties": True})
    code = bench.code_with_videos(at_least=41)
    bench.import_stores(code)
    return code


def test_a_tie_at_a_pages_edge_is_found_by_the_profiles_count(bench: Bench, tied: str) -> None:
    told = bench.truth(tied)["videos"]
    assert told[19]["create_time"] == told[20]["create_time"]
    bench.sync(USER_JOB, tied)
    outcome = bench.sync(VIDEO_JOB, tied)
    assert _count(bench) == len(told) == outcome.details["videos"]
    assert "unlisted" not in outcome.details
    pages = -(-len(told) // 20)
    assert bench.calls() == {"user_info": 1, "video_list": pages + 1}  # one edge was enough


def test_a_tie_is_found_also_when_the_listing_was_cut_off_behind_it(
    bench: Bench, tied: str
) -> None:
    pages = 0

    def lose(data: dict[str, Any]) -> None:
        nonlocal pages
        pages += 1
        if 1 < pages <= 1 + BLIP_ATTEMPTS:
            data.clear()

    bench.sync(USER_JOB, tied)
    bench.sandbox.faults.plan = Edit("video_list", lose)
    with pytest.raises(DataError):
        bench.sync(VIDEO_JOB, tied)
    assert bench.sync(VIDEO_JOB, tied).details["resumed"] is True
    assert _count(bench) == len(bench.truth(tied)["videos"])


@pytest.mark.parametrize("old", [False, True])
def test_without_a_count_of_today_every_edge_is_looked_at(
    bench: Bench, tied: str, *, old: bool
) -> None:
    if old:
        bench.sync(USER_JOB, tied)
        bench.conn.execute("UPDATE user_daily_stats SET observed_at = now() - interval '13 hours'")
        bench.sandbox.admin("DELETE", "/requests")
    bench.sync(VIDEO_JOB, tied)
    told = bench.truth(tied)["videos"]
    assert _count(bench) == len(told)
    pages = -(-len(told) // 20)
    assert bench.calls() == {"video_list": pages + (pages - 1)}  # profiles have a pool of their own


def test_a_count_that_comes_while_edges_are_asked_for_spares_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both syncs start together: the first videos are often read before their profiles."""
    code = bench.code_with_videos(at_least=61)
    bench.import_stores(code)
    look = TwoEnds.list_from

    def look_once(ends: TwoEnds, cursor: int) -> None:
        monkeypatch.setattr(TwoEnds, "list_from", look)
        look(ends, cursor)
        bench.sync(USER_JOB, code)

    monkeypatch.setattr(TwoEnds, "list_from", look_once)
    outcome = bench.sync(VIDEO_JOB, code)
    assert outcome.details["videos"] == len(bench.truth(code)["videos"])
    assert bench.calls() == {"user_info": 1, "video_list": outcome.details["pages"] + 1}


def test_a_count_that_comes_while_edges_are_asked_for_may_demand_the_others(
    bench: Bench, tied: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the newest edges alone are asked for without a count, and the tie is at an old one."""
    bench.sync(VIDEO_JOB, tied, run_id="before")
    hidden = bench.truth(tied)["videos"][20]["id"]
    bench.conn.execute("DELETE FROM video_daily_stats WHERE video_id = %s", [hidden])
    bench.conn.execute("DELETE FROM videos WHERE video_id = %s", [hidden])
    bench.sandbox.admin("POST", f"/stores/{tied}/videos", json={"publish": 20})
    look = TwoEnds.list_from

    def look_once(ends: TwoEnds, cursor: int) -> None:
        monkeypatch.setattr(TwoEnds, "list_from", look)
        look(ends, cursor)
        bench.sync(USER_JOB, tied)

    monkeypatch.setattr(TwoEnds, "list_from", look_once)
    outcome = bench.sync(VIDEO_JOB, tied)
    assert outcome.details["videos"] == len(bench.truth(tied)["videos"])


def test_a_listing_on_one_page_needs_no_count(bench: Bench) -> None:
    stores = bench.sandbox.admin("GET", "/stores")
    code = next(s["store_code"] for s in stores if 0 < s["video_count"] <= 20)
    bench.import_stores(code)
    bench.sync(VIDEO_JOB, code)
    assert bench.calls() == {"video_list": 1}


def test_videos_posted_since_the_count_are_no_reason_to_look(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=41)
    bench.import_stores(code)
    bench.sync(USER_JOB, code)
    bench.conn.execute("UPDATE user_daily_stats SET observed_at = now() - interval '1 hour'")
    bench.sandbox.admin("POST", f"/stores/{code}/videos", json={"publish": 3})
    outcome = bench.sync(VIDEO_JOB, code)
    assert outcome.details["videos"] == len(bench.truth(code)["videos"])
    assert bench.calls()["video_list"] == outcome.details["pages"]


def test_a_count_that_stays_too_high_is_reported_and_not_investigated_every_night(
    bench: Bench,
) -> None:
    code = bench.code_with_videos(at_least=41)
    bench.import_stores(code)
    told = bench.truth(code)["videos"]
    pages = -(-len(told) // 20)
    bench.sync(USER_JOB, code)
    bench.conn.execute("UPDATE user_daily_stats SET video_count = video_count + 2")
    first = bench.sync(VIDEO_JOB, code, run_id="night-1")
    assert first.message.endswith(", 2 more on the profile's count")
    assert first.details["unlisted"] == 2
    assert bench.calls()["video_list"] == pages + (pages - 1)
    bench.sync(VIDEO_JOB, code, run_id="night-2")
    assert bench.calls()["video_list"] == pages + (pages - 1) + pages


def test_a_known_video_that_is_left_out_of_the_list_keeps_its_days(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=3)
    bench.import_stores(code)
    bench.sync(VIDEO_JOB, code, run_id="before")
    bench.conn.execute("DELETE FROM video_daily_stats")
    left_out = bench.truth(code)["videos"][1]

    def hide(data: dict[str, Any]) -> None:
        data["videos"] = [video for video in data["videos"] if video["id"] != left_out["id"]]

    bench.sandbox.faults.plan = Edit("video_list", hide)
    bench.sync(VIDEO_JOB, code)
    found = bench.row(
        "SELECT view_count, removed_at FROM video_daily_stats JOIN videos USING (video_id)"
        " WHERE video_id = %s",
        left_out["id"],
    )
    assert found == {"view_count": left_out["view_count"], "removed_at": None}
