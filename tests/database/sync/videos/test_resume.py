"""Does a listing that was cut off go on where it stopped, and only where that is right?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from include.sandbox.wire.envelopes import SandboxAnswer
from include.tiktok_sync.errors import DataError, ListingError, TikTokUnavailableError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from tests.database.bench import Bench
from tests.database.faults import Edit

if TYPE_CHECKING:
    from include.sandbox.endpoints.pipeline import Call

MADE_UP = "7000000000000000001"

pytestmark = pytest.mark.usefixtures("no_waits")


class After:
    """A fault plan under which video/list works some times and then answers like this."""

    def __init__(self, pages: int, status: int, code: str) -> None:
        self.pages = pages
        self.answer = SandboxAnswer(
            status, code, {"error": {"code": code, "message": "", "log_id": "L"}}
        )

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        if call.endpoint != "video_list":
            return proceed()
        self.pages -= 1
        return proceed() if self.pages >= 0 else self.answer


class Healthy:
    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        del call
        return proceed()


@pytest.fixture
def code(bench: Bench) -> str:
    """A store whose listing has at least four pages, with its profile of today."""
    found = bench.code_with_videos(at_least=61)
    bench.import_stores(found)
    bench.sync(USER_JOB, found)
    bench.conn.execute("DELETE FROM sync_logs")
    return found


def _cut_off(bench: Bench, code: str, pages: int = 2) -> None:
    bench.sandbox.faults.plan = After(pages, 503, "internal_error")
    with pytest.raises(TikTokUnavailableError):
        bench.sync(VIDEO_JOB, code)
    bench.sandbox.faults.plan = Healthy()
    bench.sandbox.admin("DELETE", "/requests")


def _cursors(bench: Bench) -> list[int | None]:
    """What video/list was asked for, in order."""
    params = {"endpoint": "video_list", "limit": 1000}
    told = bench.sandbox.admin("GET", "/requests", params=params)
    return [entry["cursor"] for entry in told]


def _all_there(bench: Bench, code: str) -> bool:
    told = {video["id"]: video["view_count"] for video in bench.truth(code)["videos"]}
    found = bench.rows("SELECT video_id, view_count FROM video_daily_stats")
    return {line["video_id"]: line["view_count"] for line in found} == told


def test_a_retry_in_the_same_run_goes_on_behind_the_last_page_written(
    bench: Bench, code: str
) -> None:
    told = bench.truth(code)["videos"]
    _cut_off(bench, code, pages=2)
    assert bench.row("SELECT count(*) FROM video_daily_stats") == {"count": 40}
    kept = bench.row("SELECT * FROM video_listings")
    assert (kept["store_code"], kept["run_id"], kept["pages"]) == (code, "run-1", 2)
    assert kept["edges"] == [told[number]["create_time"] * 1000 for number in (19, 39)]
    outcome = bench.sync(VIDEO_JOB, code)
    pages = -(-len(told) // 20)
    assert _cursors(bench)[0] == kept["edges"][-1]
    assert len(_cursors(bench)) == pages - 2
    assert (outcome.details["videos"], outcome.details["pages"]) == (len(told), pages)
    assert outcome.details["resumed"] is True
    assert _all_there(bench, code)
    assert bench.rows("SELECT FROM video_listings") == []
    assert bench.log_row(code)["attempts"] == 2


def test_what_was_gone_before_the_cut_is_found_gone_after_it(bench: Bench, code: str) -> None:
    bench.insert_video(code, MADE_UP)
    _cut_off(bench, code)
    assert bench.sync(VIDEO_JOB, code).details["removed"] == 1
    gone = bench.rows("SELECT video_id FROM videos WHERE removed_at IS NOT NULL")
    assert gone == [{"video_id": MADE_UP}]


def test_another_run_and_a_retry_much_later_start_afresh(bench: Bench, code: str) -> None:
    _cut_off(bench, code)
    bench.sync(VIDEO_JOB, code, run_id="run-2")
    assert _cursors(bench)[0] is None
    _cut_off(bench, code)
    bench.conn.execute("UPDATE video_listings SET updated_at = now() - interval '61 minutes'")
    bench.sync(VIDEO_JOB, code)
    assert _cursors(bench)[0] is None


def test_a_page_and_its_position_are_written_together(bench: Bench, code: str) -> None:
    bench.conn.execute("ALTER TABLE video_listings ADD CHECK (pages < 2)")
    with pytest.raises(Exception, match="violates check constraint"):
        bench.sync(VIDEO_JOB, code)
    assert bench.row("SELECT count(*) FROM video_daily_stats") == {"count": 20}
    assert bench.row("SELECT pages FROM video_listings") == {"pages": 1}


def test_a_dry_run_leaves_no_position_and_uses_none(bench: Bench, code: str) -> None:
    _cut_off(bench, code)
    before = bench.rows("SELECT * FROM video_listings")
    bench.sync(VIDEO_JOB, code, dry_run=True)
    assert _cursors(bench)[0] is None
    assert bench.rows("SELECT * FROM video_listings") == before


def test_a_rejected_cursor_is_tried_again_and_then_given_up_for_a_fresh_start(
    bench: Bench, code: str
) -> None:
    bench.sandbox.faults.plan = After(2, 400, "invalid_params")
    with pytest.raises(ListingError, match="starts again from the newest"):
        bench.sync(VIDEO_JOB, code)
    assert _cursors(bench)[2:] == [_cursors(bench)[2]] * 4
    assert bench.rows("SELECT FROM video_listings") == []
    bench.sandbox.faults.plan = Healthy()
    bench.sync(VIDEO_JOB, code)
    assert _all_there(bench, code)


def test_the_first_call_of_a_listing_that_is_refused_is_our_fault(bench: Bench, code: str) -> None:
    bench.sandbox.faults.plan = After(0, 400, "invalid_params")
    with pytest.raises(Exception, match="as this version writes it"):
        bench.sync(VIDEO_JOB, code)
    assert len(_cursors(bench)) == 1


def test_a_retry_sees_an_unreadable_video_again(bench: Bench, code: str) -> None:
    bad = bench.truth(code)["videos"][25]["id"]

    def spoil(data: dict[str, Any]) -> None:
        for video in data["videos"]:
            if video["id"] == bad:
                video["view_count"] = "many"

    bench.sandbox.faults.plan = Edit("video_list", spoil)
    for _ in range(2):
        with pytest.raises(DataError, match=bad):
            bench.sync(VIDEO_JOB, code)
    bench.sandbox.faults.plan = Healthy()
    assert bench.sync(VIDEO_JOB, code).details["resumed"] is True
    assert _all_there(bench, code)
