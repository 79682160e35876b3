"""Are answers that come late, stop half way or never end survived, and told from dead grants?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.errors import NeedsConsentError, OutOfTimeError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.tiktok.http import Timeouts
from include.tiktok_sync.tiktok.time_left import TimeLeft
from tests.database.bench import Bench

EXPIRED, FRESH = "S004", "S001"

pytestmark = pytest.mark.usefixtures("no_waits")


def _fault(bench: Bench, name: str, **rule: Any) -> None:
    """The fault, once for each store."""
    rules = [{"fault": name, "times_per_store": 1, **rule}]
    bench.sandbox.admin("POST", "/faults", json={"rules": rules})


def _hasty(bench: Bench, read_s: float) -> TikTokApp:
    """The app with less patience; the answers of the sandbox that are not struck take less."""
    return replace(bench.app, timeouts=Timeouts(connect_s=5, read_s=read_s))


@pytest.mark.parametrize("fault", ["stall", "huge_body"])
def test_an_answer_that_stops_half_way_or_is_too_large_is_asked_for_again(
    bench: Bench, fault: str
) -> None:
    code = bench.code_with_videos()
    bench.import_stores(code)
    bench.grant(code, access_expires_in=7200)
    _fault(bench, fault, endpoints=["video_list"])
    outcome = bench.sync(VIDEO_JOB, code, app=_hasty(bench, 4))
    assert outcome.details["videos"] == len(bench.truth(code)["videos"])
    assert bench.log_row(code)["details"]["repeats"] == 1


def test_an_answer_that_is_only_slow_is_waited_for(bench: Bench) -> None:
    bench.import_stores(FRESH)
    _fault(bench, "slow", seconds=0.5)
    bench.sync(USER_JOB, FRESH)
    assert bench.calls() == {"user_info": 1}
    assert bench.log_row(FRESH)["duration_ms"] >= 500


def test_a_slow_refresh_is_waited_for(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    _fault(bench, "oauth_slow", seconds=0.5)
    bench.sync(USER_JOB, EXPIRED)
    assert bench.calls() == {"oauth_token": 1, "user_info": 1}


def test_a_refresh_slower_than_our_patience_is_a_lost_answer_and_named_so(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    _fault(bench, "oauth_slow", seconds=8)
    with pytest.raises(NeedsConsentError, match=r"answer to a token refresh of 20.* was lost"):
        bench.sync(USER_JOB, EXPIRED, app=_hasty(bench, 4))
    assert bench.calls() == {"oauth_token": 2}  # the same token once more, as proof
    status = bench.row("SELECT status FROM store_tokens WHERE store_code = %s", EXPIRED)
    assert status == {"status": "needs_consent"}


def test_a_store_whose_pages_are_slower_than_the_first_patience_pays_for_it_once(
    bench: Bench,
) -> None:
    code = bench.code_with_videos(at_least=81)
    bench.import_stores(code)
    bench.grant(code, access_expires_in=7200)
    _fault(bench, "slow", seconds=1.5, times_per_store=1000, endpoints=["video_list"])
    hurried = replace(bench.app, timeouts=Timeouts(connect_s=5, read_s=1, longest_s=30))
    outcome = bench.sync(VIDEO_JOB, code, app=hurried)
    assert outcome.details["videos"] == len(bench.truth(code)["videos"])
    details = bench.log_row(code)["details"]
    assert outcome.details["pages"] >= 5
    assert details["repeats"] <= 2  # and not one a page


def test_a_store_that_is_not_done_in_its_time_ends_early_and_goes_on_in_the_next_try(
    bench: Bench,
) -> None:
    code = bench.code_with_videos(at_least=81)
    bench.import_stores(code)
    bench.grant(code, access_expires_in=7200)
    _fault(bench, "slow", seconds=1.5, times_per_store=1000, endpoints=["video_list"])
    with pytest.raises(OutOfTimeError, match=r"within the 0\.0667 minutes that one try may take"):
        bench.sync(VIDEO_JOB, code, time_left=TimeLeft(timedelta(seconds=4)))
    row = bench.log_row(code)
    assert (row["status"], row["details"]["kind"]) == ("failed", "out_of_time")
    assert "while waiting for TikTok's answer to video/list" in row["message"]
    assert 3_000 < row["duration_ms"] < 10_000
    written = bench.row("SELECT pages FROM video_listings")["pages"]
    assert written >= 1
    outcome = bench.sync(VIDEO_JOB, code)
    assert (outcome.details["resumed"], outcome.details["videos"]) == (
        True,
        len(bench.truth(code)["videos"]),
    )
