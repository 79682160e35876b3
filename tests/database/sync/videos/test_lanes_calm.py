"""What do two lanes cost, what do they notice, and do they keep apart what befalls one of them?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from include.sandbox.faults.plan import RulePlan
from include.tiktok_sync import app as app_module
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.videos.two_ends import TwoEnds
from include.tiktok_sync.tiktok import rate_limit
from tests.database.bench import Bench, run_of, today
from tests.database.witnesses.wire import KilledError, ScriptedLanes, Witness
from tests.sandbox_server import running_sandbox
from tests.truth import differences

ALTERNATING = (True, False)
SCRIPTS = {
    "list": (True,),
    "query": (False,),
    "alternating": ALTERNATING,
    "list once": (True, *[False] * 9),
    "query twice": (False, False, *[True] * 9),
}
LIMIT, WINDOW_S = 8, 0.5

pytestmark = pytest.mark.usefixtures("no_waits")


def _known(bench: Bench, code: str) -> None:
    """All that happened before: a night in which everything was listed."""
    bench.sync(USER_JOB, code, run_id="before")
    bench.sync(VIDEO_JOB, code, run_id="before")
    bench.conn.execute("DELETE FROM video_daily_stats")


def _night(
    bench: Bench,
    code: str,
    script: tuple[bool, ...],
    *,
    rules: tuple[dict[str, Any], ...] = (),
    killed_at: tuple[int, ...] = (),
) -> tuple[Witness, dict[str, Any]]:
    """The videos once more, with scripted lanes; as often as it is killed."""
    witness = Witness(bench.sandbox.sandbox, code, RulePlan(1, rules))
    bench.sandbox.faults.plan = witness
    lanes = ScriptedLanes(script, killed_at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app_module, "PostgresRateLimiter", lambda *_, **__: lanes)
        outcome = None
        while outcome is None:
            # A short store is done before some of the calls.
            with suppress(KilledError):
                outcome = bench.sync(VIDEO_JOB, code)
    assert not lanes.pauses or rules
    return witness, dict(outcome.details)


def _killed(bench: Bench, code: str, script: tuple[bool, ...], *, at: int) -> None:
    """The same, cut off in front of a call."""
    lanes = ScriptedLanes(script, (at,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app_module, "PostgresRateLimiter", lambda *_, **__: lanes)
        bench.sync(VIDEO_JOB, code)


def _floor(bench: Bench, code: str) -> int:
    return -(-len(bench.truth(code)["videos"]) // 20)


@pytest.fixture(params=[53, 40], ids=["room", "exact"])
def code(bench: Bench, request: pytest.FixtureRequest) -> str:
    """A store that is known: its last page has room for more, or has not."""
    found = bench.code_with_videos(at_least=request.param)
    bench.import_stores(found)
    more = [video["id"] for video in bench.truth(found)["videos"]][request.param :]
    bench.sandbox.admin("POST", f"/stores/{found}/videos", json={"delete": more})
    bench.sandbox.admin("PATCH", "/settings", json={"rate_limit_per_minute": 0})
    _known(bench, found)
    return found


@pytest.fixture
def limited(bench: Bench) -> Bench:
    """The bench with a limit in force: without one, everything is listed."""
    return bench.with_settings(rate_limit_per_minute=600)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=list(SCRIPTS))
def test_a_calm_night_costs_a_call_for_twenty_videos_and_one_more_at_most(
    limited: Bench, code: str, script: tuple[bool, ...]
) -> None:
    witness, details = _night(limited, code, script)
    assert witness.always == {line["video_id"] for line in limited.rows(_TODAY)}
    assert witness.calls <= _floor(limited, code) + 1
    assert details["listed_to_end"] == witness.is_whole()
    queries = [one for one in witness.readings if one.endpoint == "video_query"]
    assert sum(len(one.asked) for one in queries) == len({n for one in queries for n in one.asked})


@pytest.mark.parametrize("lacking", ["the number", "the profile"])
def test_a_store_whose_profile_never_counts_its_videos_is_listed_and_not_queried(
    limited: Bench, code: str, lacking: str
) -> None:
    """It would be listed to the end in any case: each query would be one call more."""
    by = {
        "the number": "UPDATE user_daily_stats SET video_count = NULL",
        "the profile": "UPDATE user_daily_stats SET observed_at = now() - interval '8 days'",
    }
    limited.conn.execute(by[lacking].encode())
    witness, details = _night(limited, code, (False,))
    assert witness.always == {line["video_id"] for line in limited.rows(_TODAY)}
    assert witness.calls == _floor(limited, code)
    assert details["why_to_end"] == "count_unknown"


@pytest.mark.parametrize("killed_at", [(1,), (2,), (3,), (2, 3), (3, 5)])
@pytest.mark.parametrize("script", [(False,), ALTERNATING], ids=["query", "alternating"])
def test_a_try_after_the_process_was_killed_asks_for_nothing_again(
    limited: Bench, code: str, script: tuple[bool, ...], killed_at: tuple[int, ...]
) -> None:
    witness, _ = _night(limited, code, script, killed_at=killed_at)
    assert witness.always == {line["video_id"] for line in limited.rows(_TODAY)}
    assert witness.calls <= _floor(limited, code) + 1
    asked = [one.asked for one in witness.readings if one.asked]
    # Only where the ends meet may a page be asked for again, to be compared.
    again = [chunk for number, chunk in enumerate(asked) if chunk & set().union(*asked[:number])]
    assert len(again) <= 1


def test_a_retry_goes_on_though_a_video_that_was_not_shown_is_another_stores_by_now(
    limited: Bench, code: str
) -> None:
    other = next(
        store["store_code"]
        for store in limited.sandbox.admin("GET", "/stores")
        if store["store_code"] != code
    )
    limited.import_stores(other)
    oldest = limited.truth(code)["videos"][-1]["id"]
    limited.sandbox.admin("POST", f"/stores/{code}/videos", json={"delete": [oldest]})
    with pytest.raises(KilledError):
        _killed(limited, code, (False,), at=2)
    assert limited.row("SELECT not_shown FROM video_listings") == {"not_shown": [oldest]}
    limited.conn.execute(
        "UPDATE videos SET store_code = %s, last_seen_at = now() WHERE video_id = %s",
        [other, oldest],
    )
    witness, details = _night(limited, code, (False,))
    assert details["removed"] == 0
    assert witness.always == {line["video_id"] for line in limited.rows(_TODAY)}


def test_a_video_that_another_run_saw_meanwhile_is_not_removed(
    limited: Bench, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run by hand sees it back between the nightly run's last call and its end."""
    oldest = limited.truth(code)["videos"][-1]["id"]
    limited.sandbox.admin("POST", f"/stores/{code}/videos", json={"privatize": [oldest]})
    find_gone = TwoEnds.gone

    def gone(ends: TwoEnds) -> list[str]:
        monkeypatch.setattr(TwoEnds, "gone", find_gone)
        found = find_gone(ends)
        assert found == [oldest]
        limited.sandbox.admin("POST", f"/stores/{code}/videos", json={"republish": [oldest]})
        limited.sync(VIDEO_JOB, code, run_id="by-hand")
        return found

    monkeypatch.setattr(TwoEnds, "gone", gone)
    assert limited.sync(VIDEO_JOB, code).details["removed"] == 0
    assert limited.rows("SELECT FROM videos WHERE removed_at IS NOT NULL") == []


def test_a_store_is_complete_though_every_query_fails(limited: Bench, code: str) -> None:
    rule = {"fault": "internal_error", "endpoints": ["video_query"]}
    witness, details = _night(limited, code, (False,), rules=(rule,))
    assert witness.always == {line["video_id"] for line in limited.rows(_TODAY)}
    assert (details["queried"], details["listed_to_end"]) == (0, True)


def test_a_backfill_that_listed_to_the_end_did_so_on_the_day_it_ran(
    limited: Bench, code: str
) -> None:
    """Else every store would be due again on the night after a backfill."""
    limited.conn.execute("DELETE FROM sync_logs")
    long_ago = replace(today(), date=today().date - timedelta(days=20))
    limited.sync(VIDEO_JOB, code, run_id="backfill", day=long_ago)
    last = StoreRepository(limited.conn).last_complete_listing(run_of(code, today()))
    assert last
    assert last.day == today().date


def test_figures_that_fell_between_two_readings_are_reported(limited: Bench, code: str) -> None:
    truth = {video["id"]: video["view_count"] for video in limited.truth(code)["videos"]}
    _, details = _night(limited, code, (True, *[False] * 9), rules=({"fault": "query_lower"},))
    assert details["compared"] > 0
    assert details["differ"] == details["compared"]
    kept = {line["video_id"]: line["view_count"] for line in limited.rows(_TODAY)}
    assert set(kept) == set(truth)
    assert all(kept[name] in {truth[name], truth[name] // 2} for name in truth)


def test_ends_that_meet_compare_something_and_find_no_difference(limited: Bench, code: str) -> None:
    witness, details = _night(limited, code, ALTERNATING)
    if not witness.is_whole():
        assert details["compared"] > 0
    assert not details["differ"]


def test_one_lane_only_lists(limited: Bench, code: str) -> None:
    witness, details = _night(limited.with_settings(video_lanes=1), code, (False,))
    assert {one.endpoint for one in witness.readings} == {"video_list"}
    assert (details["queried"], details["listed_to_end"]) == (0, True)


def test_both_ends_are_read_at_once_with_one_call_at_each_endpoint(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=101)
    bench.import_stores(code)
    bench.sandbox.admin("PATCH", "/settings", json={"rate_limit_per_minute": 0})
    _known(bench, code)
    bench.sandbox.admin("DELETE", "/requests")
    bench.sandbox.admin("PATCH", "/settings", json={"latency": 0.3})
    _night(bench.with_settings(rate_limit_per_minute=600), code, ALTERNATING[::-1])
    lanes = {
        endpoint: [
            (call["at"], call["at"] + call["duration_s"])
            for call in bench.sandbox.admin("GET", f"/requests?endpoint={endpoint}")
        ]
        for endpoint in ("video_list", "video_query")
    }
    both = [
        page
        for page in lanes["video_list"]
        if any(begun < page[1] and page[0] < ended for begun, ended in lanes["video_query"])
    ]
    assert len(both) >= 2
    for calls in lanes.values():
        assert all(ended <= begun for (_, ended), (begun, _) in pairwise(sorted(calls)))


@pytest.mark.parametrize("refused", ["video_list", "video_query"])
def test_a_429_pauses_its_own_lane(
    limited: Bench, code: str, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.tiktok_sync.tiktok.client.PAUSE_AFTER_429_S", 0.0)
    rule = {"fault": "rate_limited", "endpoints": [refused], "times_per_store": 2}
    witness = Witness(limited.sandbox.sandbox, code, RulePlan(1, [rule]))
    limited.sandbox.faults.plan = witness
    lanes = ScriptedLanes(ALTERNATING)
    monkeypatch.setattr(app_module, "PostgresRateLimiter", lambda *_, **__: lanes)
    limited.sync(VIDEO_JOB, code)
    assert set(lanes.pauses) <= {refused.replace("_", "/")}
    assert witness.always == {line["video_id"] for line in limited.rows(_TODAY)}


@pytest.mark.timeout(300)
def test_stores_that_queue_for_both_lanes_are_true_and_none_is_refused_or_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real limiter; its minute is a second, TikTok's is shorter: load is no refusal."""
    monkeypatch.setattr(rate_limit, "WINDOW", timedelta(seconds=2 * WINDOW_S))
    monkeypatch.setattr(rate_limit, "MARGIN", timedelta(seconds=WINDOW_S))
    with running_sandbox(
        stores=8, rate_limit_per_minute=0, window_seconds=WINDOW_S, profile="reference"
    ) as server:
        app = Bench(bench.db_url, bench.conn, server, bench.settings)
        app.import_stores()
        codes = [f"S{number:03}" for number in range(1, 9)]
        for code in codes:
            _known(app, code)
        server.admin("PATCH", "/settings", json={"rate_limit_per_minute": LIMIT})
        server.admin("DELETE", "/requests")
        tight = app.with_settings(rate_limit_per_minute=LIMIT)

        def one(code: str) -> None:
            with psycopg.connect(bench.db_url, autocommit=True) as conn:
                Bench(bench.db_url, conn, server, tight.settings).sync(VIDEO_JOB, code)

        with ThreadPoolExecutor(len(codes)) as pool:
            list(pool.map(one, codes))
        stats = server.admin("GET", "/stats")["endpoints"]
        for lane in ("video_list", "video_query"):
            assert set(stats[lane]["by_code"]) == {"ok"}, lane
            assert stats[lane]["largest_window"] <= LIMIT
        # A client that only lists makes 56 calls, all to one of them.
        assert stats["video_list"]["calls"] + stats["video_query"]["calls"] <= 8 * 7 + 8
        day = bench.row("SELECT max(snapshot_date) AS day FROM video_daily_stats")["day"]
        assert differences(bench.db_url, server.url, day) == []


_TODAY = "SELECT video_id, view_count FROM video_daily_stats ORDER BY video_id"
