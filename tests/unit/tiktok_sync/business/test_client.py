"""Does the client of the Accounts API read, group, refuse and wait as documented?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from include.tiktok_sync.business.client import (
    PAUSE_AFTER_MINUTE_S,
    PAUSE_AFTER_SECOND_S,
    BusinessClient,
    account_profile,
    business_transport,
)
from include.tiktok_sync.business.models import (
    ACCOUNT_SCOPES,
    BUSINESS_SCOPES,
    DAY_FIGURES,
    POST_SCOPES,
)
from include.tiktok_sync.errors import (
    ConfigurationError,
    DataError,
    FatalError,
    MissingScopeError,
    RateLimitedError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.tiktok.api_client import BLIP_ATTEMPTS, REFUSED_ATTEMPTS
from include.tiktok_sync.tiktok.http import HttpTransport, Timeouts
from tests.unit.tiktok_sync.scripted import Reply, ScriptedServer, Tokens

START, END = date(2026, 3, 1), date(2026, 3, 3)


class BusinessTokens(Tokens):
    """Tokens of an account whose id begins with a dash."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = refused

    @property
    def scopes(self) -> frozenset[str]:
        return BUSINESS_SCOPES - {*self.refused}

    @property
    def open_id(self) -> str:
        return "-000x"


class Limiter:
    """Never makes anyone wait, and keeps its pauses."""

    def __init__(self) -> None:
        self.acquired: list[str] = []
        self.pauses: list[float] = []

    def acquire(self, endpoint: str) -> float:
        self.acquired.append(endpoint)
        return 0.5

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def said(code: object, data: Any = None, message: str = "OK") -> Reply:
    """An answer as TikTok writes it: HTTP 200, whatever the code."""
    body = {"code": code, "message": message, "request_id": "20260301R"}
    return Reply(200, body if data is None else {**body, "data": data})


def account(**fields: Any) -> Reply:
    return said(0, fields)


def page(*posts: Mapping[str, Any], cursor: Any = 0, has_more: bool = False) -> Reply:
    return said(0, {"videos": list(posts), "cursor": cursor, "has_more": has_more})


@pytest.fixture
def http(server: ScriptedServer) -> Iterator[HttpTransport]:
    transport = business_transport(server.url, Timeouts(connect_s=5, read_s=10))
    yield transport
    transport.close()


@pytest.fixture
def limiter() -> Limiter:
    return Limiter()


@pytest.fixture
def client(http: HttpTransport, limiter: Limiter, waits: list[float]) -> BusinessClient:  # noqa: ARG001 - its pauses pass at once
    return BusinessClient(http, tokens=BusinessTokens(), limiter=limiter)


def _queries(server: ScriptedServer) -> list[dict[str, str]]:
    return [
        {name: value for name, (value,) in parse_qs(urlsplit(seen.path).query).items()}
        for seen in server.seen
    ]


def _fields(server: ScriptedServer) -> list[set[str]]:
    return [set(json.loads(query["fields"])) for query in _queries(server)]


def test_account_asks_with_its_own_header_path_and_json_lists(
    server: ScriptedServer, client: BusinessClient, limiter: Limiter
) -> None:
    server.replies = [
        account(
            username="shop",
            is_business_account=False,
            followers_count=1124,
            audience_genders=[{"gender": "Female", "percentage": 0.6}],
            audience_ages=[],
            audience_cities=None,
            metrics=[
                {"date": "2026-03-02", "video_views": 0, "comments": -2, "followers_count": 4},
                {
                    "date": "2026-03-01",
                    "video_views": "1126",
                    "likes": None,
                    "audience_activity": [],
                },
            ],
        )
    ]
    found = client.account(START, END)
    (seen,) = server.seen
    assert (seen.method, urlsplit(seen.path).path) == ("GET", "/open_api/v1.3/business/get/")
    assert seen.headers["Access-Token"] == "act.1"
    assert "Authorization" not in seen.headers
    (query,) = _queries(server)
    assert query["business_id"] == "-000x"
    assert (query["start_date"], query["end_date"]) == ("2026-03-01", "2026-03-03")
    assert set(json.loads(query["fields"])) == set(ACCOUNT_SCOPES)
    assert limiter.acquired == ["business/get"]
    assert (found.username, found.is_business_account, found.followers_count) == (
        "shop",
        False,
        1124,
    )
    # Empty lists and null are absent.
    assert found.audience == {"audience_genders": [{"gender": "Female", "percentage": 0.6}]}
    assert (found.total_likes, found.log_id) == (None, "20260301R")
    first, second = found.days  # the third day did not come, and stays absent
    assert (first.metric_date, second.metric_date) == (date(2026, 3, 1), date(2026, 3, 2))
    assert (first.figures["video_views"], first.figures["likes"]) == (1126, None)
    assert first.audience_activity is None
    assert (second.figures["video_views"], second.figures["comments"]) == (0, -2)
    assert set(first.figures) == set(DAY_FIGURES)
    assert (found.problems, found.skipped) == ((), ())


def test_fields_follow_the_granted_scopes(http: HttpTransport, server: ScriptedServer) -> None:
    tokens = BusinessTokens("user.insights", "user.info.stats", "video.insights")
    client = BusinessClient(http, tokens=tokens, limiter=Limiter())
    server.replies = [account(username="shop"), page()]
    client.account(START, END)
    client.videos(None)
    of_account, of_posts = _fields(server)
    assert of_account == {
        name
        for name, scope in ACCOUNT_SCOPES.items()
        if scope not in {"user.insights", "user.info.stats"}
    }
    assert of_posts == {name for name, scope in POST_SCOPES.items() if scope == "video.list"}


def test_nothing_is_asked_without_a_scope(http: HttpTransport, server: ScriptedServer) -> None:
    client = BusinessClient(http, tokens=BusinessTokens(*BUSINESS_SCOPES), limiter=Limiter())
    with pytest.raises(MissingScopeError, match=r"user\.insights"):
        client.account(START, END)
    with pytest.raises(MissingScopeError, match=r"video\.list"):
        client.videos(None)
    assert server.seen == []


@pytest.mark.parametrize("code", [40001, 40002])
def test_refused_fields_are_found_group_by_group_and_remembered(
    server: ScriptedServer, client: BusinessClient, code: int
) -> None:
    refused = said(code, {}, "no")
    day = {"date": "2026-03-01"}
    server.replies = [
        refused,
        account(username="shop", metrics=[day]),
        account(followers_count=7, metrics=[{**day, "followers_count": 2}]),
        refused,
        account(username="shop2", metrics=[{**day, "followers_count": 3}]),
    ]
    found = client.account(START, END)
    assert (found.username, found.followers_count) == ("shop", 7)
    assert found.days == ()  # a day's followers alone would pass for all that there is of it
    (skipped,) = found.skipped
    assert (skipped.group, str(code) in (skipped.error.detail or "")) == ("insights", True)
    again = client.account(START, END)
    assert (again.username, again.skipped, again.days) == ("shop2", found.skipped, ())
    assert "video_views" not in _fields(server)[-1]
    assert client.counts.calls == 5


def test_a_call_refused_in_every_group_is_refused(
    server: ScriptedServer, client: BusinessClient
) -> None:
    server.replies = [said(40002, {}, "Invalid Param(s): start_date")]
    with pytest.raises(FatalError) as caught:
        client.account(START, END)
    assert "40002: Invalid Param(s): start_date" in (caught.value.detail or "")
    assert (client.counts.calls, client.skipped) == (4, {})


def test_posts_without_their_insights_where_those_are_refused(
    server: ScriptedServer, client: BusinessClient
) -> None:
    server.replies = [said(40001), page({"item_id": "1"}), page({"item_id": "2"})]
    found = client.videos(None)
    assert [skipped.group for skipped in found.skipped] == ["post insights"]
    client.videos(5)
    assert ["reach" in fields for fields in _fields(server)] == [True] * 3
    assert ["engagement_likes" in fields for fields in _fields(server)] == [True, False, False]
    assert all("item_id" in fields for fields in _fields(server))


def test_a_page_of_posts_as_it_is_documented(
    server: ScriptedServer, client: BusinessClient
) -> None:
    big = 2**53 + 1
    server.replies = [
        page(
            {
                "item_id": big,
                "create_time": "1627617835",
                "media_type": "PHOTO",
                "is_ad": True,
                "video_duration": 20.0,
                "likes": "10",
                "video_views": 0,
                "reach": None,
                "average_time_watched": 4.118,
                "full_video_watched_rate": "0.0237",
                "audience_cities": [{"city_name": "US Cincinnati", "percentage": 17.4921}],
                "impression_sources": None,
                "video_view_retention": [],
            },
            {"likes": 1},
            {"item_id": "3", "likes": "many"},
            cursor=1655118106000,
        )
    ]
    found = client.videos(1700000000000)
    (query,) = _queries(server)
    assert (query["cursor"], query["max_count"]) == ("1700000000000", "20")
    (post,) = found.videos
    assert (post.video_id, post.media_type, post.is_ad) == (str(big), "PHOTO", True)
    assert post.create_time is not None
    assert post.create_time.timestamp() == 1627617835
    assert (post.figures["likes"], post.figures["video_views"], post.figures["reach"]) == (
        10,
        0,
        None,
    )
    assert post.figures["full_video_watched_rate"] == 0.0237
    assert post.lists == {
        "audience_cities": [{"city_name": "US Cincinnati", "percentage": 17.4921}]
    }
    # A cursor comes with the last page too; unreadable posts are named.
    assert (found.has_more, found.cursor) == (False, 1655118106000)
    assert [line.split(":")[0] for line in found.problems] == [
        "A post came without an id (keys",
        "Post 3",
    ]


def test_the_first_page_is_asked_for_without_a_cursor_and_may_be_empty(
    server: ScriptedServer, client: BusinessClient
) -> None:
    server.replies = [page(cursor=5, has_more=True)]
    found = client.videos(None)
    assert "cursor" not in _queries(server)[0]
    assert (found.videos, found.has_more, found.cursor) == ((), True, 5)


@pytest.mark.parametrize(
    "reply",
    [
        said(0),
        said(0, {}),
        said("0", {"videos": []}),
        Reply(504, b"<html>gateway time-out</html>"),
        said(50000, {}),
        said(99999, {}),
        Reply(200, {"code": 0, "message": "OK"}),
        Reply(403, {"code": 403, "message": "by the gateway"}),
    ],
)
def test_a_blip_is_asked_again_and_never_passes_for_an_empty_page(
    server: ScriptedServer, client: BusinessClient, reply: Reply
) -> None:
    server.replies = [reply, page({"item_id": "1"})]
    assert len(client.videos(None).videos) == 1
    server.replies = [reply]
    with pytest.raises((DataError, TikTokUnavailableError)):
        client.videos(None)
    assert client.counts.calls == 2 + BLIP_ATTEMPTS


def test_a_code_may_be_text(server: ScriptedServer, client: BusinessClient) -> None:
    server.replies = [said("0", {"username": "shop"})]
    assert client.account(START, END).username == "shop"


@pytest.mark.parametrize("code", [40102, 40105])
def test_a_refused_token_is_replaced_once(
    server: ScriptedServer, client: BusinessClient, code: int
) -> None:
    server.replies = [said(code, {}), account(username="shop")]
    assert client.account(START, END).username == "shop"
    assert [seen.headers["Access-Token"] for seen in server.seen] == ["act.1", "act.2"]
    server.replies = [said(code, {})]
    with pytest.raises(FatalError):
        client.account(START, END)


@pytest.mark.parametrize(
    ("message", "pause_s"),
    [
        ("Due to too many requests, requests from App are temporarily restricted.", 300.0),
        ("App reaches the QPS limit.", 1.0),
    ],
)
def test_too_many_calls_close_the_api_for_everyone(
    server: ScriptedServer,
    client: BusinessClient,
    limiter: Limiter,
    message: str,
    pause_s: float,
) -> None:
    assert {PAUSE_AFTER_MINUTE_S, PAUSE_AFTER_SECOND_S} == {300.0, 1.0}
    server.replies = [said(40100, {}, message), account(username="shop")]
    assert client.account(START, END).username == "shop"
    assert limiter.pauses == [pause_s]
    server.replies = [said(40100, {}, message)]
    with pytest.raises(RateLimitedError):
        client.account(START, END)
    assert client.counts.rate_limited == 1 + REFUSED_ATTEMPTS


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (said(40101), ConfigurationError),
        (said(40113), ConfigurationError),
        (said(40104), FatalError),
        (said(40777), FatalError),
        (said(40130), MissingScopeError),
    ],
)
def test_other_refusals(
    server: ScriptedServer, client: BusinessClient, reply: Reply, error: type[SyncError]
) -> None:
    server.replies = [reply]
    with pytest.raises(error) as caught:
        client.benchmark("BEAUTY")
    assert caught.value.log_id == "20260301R"
    assert client.counts.calls == 1


def test_audience_inside_of_the_days_and_days_that_nobody_asked_for(
    server: ScriptedServer, client: BusinessClient
) -> None:
    countries = [{"country": "DE", "percentage": 0.8}]
    server.replies = [
        account(
            metrics=[
                {"date": "2026-03-01", "likes": 1, "audience_countries": countries},
                {"date": "2026-03-01", "likes": 2},
                {"date": "2026-03-04", "likes": 3},
                {"date": "yesterday"},
                {"date": "2026-03-02", "likes": "x"},
            ]
        )
    ]
    found = client.account(START, END)
    assert found.audience == {"audience_countries": countries}
    assert [(day.metric_date, day.figures["likes"]) for day in found.days] == [(START, 1)]
    assert len(found.problems) == 4


def test_benchmark_reads_its_figures(server: ScriptedServer, client: BusinessClient) -> None:
    server.replies = [said(0, {"average_likes": 22618.7106, "business_category": "Art & Crafts"})]
    found = client.benchmark("ART_AND_CRAFTS")
    assert (found.category, found.figures["average_likes"]) == ("ART_AND_CRAFTS", 22618.7106)
    assert found.figures["average_shares"] is None
    assert _queries(server)[0]["business_category"] == "ART_AND_CRAFTS"


def test_the_profile_behind_a_new_grant(server: ScriptedServer, http: HttpTransport) -> None:
    server.replies = [account(username="shop")]
    assert account_profile(http, "act.x", "-000x", ["username"]).username == "shop"
    server.replies = [said(40105, {}, "revoked")]
    with pytest.raises(FatalError):
        account_profile(http, "act.x", "-000x", ["username"])


def test_no_address_is_named_by_its_own_setting() -> None:
    transport = business_transport("business")
    with pytest.raises(ConfigurationError, match="TIKTOK_BUSINESS_URL"):
        transport.send("GET", "/")
    transport.close()
