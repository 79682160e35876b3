"""Does the client read what the second API of the local TikTok says, and nothing else?"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from include.tiktok_sync.business.client import BusinessClient
from include.tiktok_sync.business.models import (
    AUDIENCE_LISTS,
    DAY_FIGURES,
    POST_LISTS,
    STATS,
    VideoInsights,
)
from include.tiktok_sync.errors import MissingScopeError
from tests.database.business.conftest import CODES, BusinessBench

pytestmark = pytest.mark.usefixtures("no_waits")


def _window(bench: BusinessBench) -> tuple[date, date]:
    frozen = bench.sandbox.admin("GET", "/settings")["date"]
    today = date.fromisoformat(frozen) if frozen else datetime.now(timezone.utc).date()
    return today - timedelta(days=60), today - timedelta(days=1)


def _client(bench: BusinessBench, code: str, http: Any) -> BusinessClient:
    return bench.business.client(code, http=http, conn=bench.conn, settings=bench.settings)


@pytest.mark.parametrize("absent_as", ["null", "omit", "empty"])
def test_everything_read_is_the_truth_and_absent_figures_stay_absent(
    bench: BusinessBench, absent_as: str
) -> None:
    bench.sandbox.admin("PATCH", "/settings", json={"business": {"absent_as": absent_as}})
    start, end = _window(bench)
    posts_seen = 0
    for code in CODES[:6]:
        truth = bench.business_truth(code)
        with bench.business.transport() as http:
            client = _client(bench, code, http)
            found = client.account(start, end)
            posts: list[VideoInsights] = []
            cursor, has_more = None, True
            while has_more:
                page = client.videos(cursor)
                assert page.problems == ()
                posts += page.videos
                cursor, has_more = page.cursor, page.has_more
        assert (found.problems, found.skipped) == ((), ())
        assert {name: getattr(found, name) for name in STATS} == {
            name: truth["profile"][name] for name in STATS
        }
        for name in AUDIENCE_LISTS:
            assert (found.audience.get(name) or None) == (truth["audience"][name] or None)
        assert [day.metric_date.isoformat() for day in found.days] == sorted(truth["days"])
        for day in found.days:
            told = truth["days"][day.metric_date.isoformat()]
            assert day.figures == {name: told.get(name) for name in DAY_FIGURES}
        shown = {post["item_id"]: post for post in truth["posts"] if not post["hidden"]}
        assert {post.video_id for post in posts} == shown.keys()
        for post in posts:
            told = shown[post.video_id]
            assert post.figures == {name: told.get(name) for name in post.figures}
            for name in POST_LISTS:
                assert (post.lists.get(name) or None) == (told.get(name) or None)
            assert post.create_time == datetime.fromtimestamp(
                int(told["create_time"]), timezone.utc
            )
        posts_seen += len(posts)
    assert posts_seen > 20


def test_a_manager_who_left_something_out(bench: BusinessBench) -> None:
    bench.business_grant("S001", scope="user.info.basic,user.info.username,user.insights")
    start, end = _window(bench)
    with bench.business.transport() as http:
        # The stored scope is older: TikTok refuses the fields, and the groups are told apart.
        client = _client(bench, "S001", http)
        found = client.account(start, end)
        assert {skipped.group for skipped in found.skipped} == {"profile", "stats"}
        assert found.days
        bench.conn.execute("UPDATE business_tokens SET access_expires_at = now()")
        # A refresh tells; from then on only what was granted is asked for.
        client = _client(bench, "S001", http)
        found = client.account(start, end)
        assert (found.skipped, found.username is None, bool(found.days)) == ((), False, True)
        assert client.counts.calls == 1
        with pytest.raises(MissingScopeError):
            client.videos(None)
    assert bench.status_of("S001") == "missing_scope"
