"""Does the client do with each answer what it means: use, repeat, pause, refresh or give up?"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from include.tiktok_sync.errors import (
    MAX_RETRY_AFTER_S,
    DataError,
    FatalError,
    MissingScopeError,
    OutOfTimeError,
    RateLimitedError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.tiktok.api_client import BLIP_ATTEMPTS, REFUSED_ATTEMPTS
from include.tiktok_sync.tiktok.client import PAGE_SIZE, PAUSE_AFTER_429_S, TikTokClient
from include.tiktok_sync.tiktok.http import HttpTransport, Timeouts
from include.tiktok_sync.tiktok.models import VIDEO_FIELDS, QueriedVideos, VideoPage
from include.tiktok_sync.tiktok.time_left import TimeLeft
from tests.unit.tiktok_sync.scripted import Limiter, Reply, ScriptedServer, Tokens, ok, refusal

USER = ok({"user": {"open_id": "o", "follower_count": 5}})
REJECTED = refusal(401, "access_token_invalid")
LIMITED = refusal(429, "rate_limit_exceeded")
TROUBLE = Reply(500, b"<h1>500</h1>")


def _sent(server: ScriptedServer) -> list[str]:
    return [seen.headers["Authorization"].removeprefix("Bearer ") for seen in server.seen]


def _kinds(answers: Iterable[Any]) -> list[type]:
    return [type(answer) for answer in answers]


def test_user_info_asks_for_the_fields_and_counts_its_costs(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies = [USER]
    profile, observed_at = client.user_info(["open_id", "follower_count"])
    assert (profile.open_id, profile.follower_count) == ("o", 5)
    assert observed_at.utcoffset() is not None
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("GET", "/v2/user/info/?fields=open_id%2Cfollower_count")
    assert limiter.acquired == ["user/info"]
    assert (client.counts.calls, client.counts.waited_s, client.counts.rate_limited) == (1, 0.5, 0)


def test_video_list_sends_a_cursor_only_if_there_is_one(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies = [ok({"videos": [{"id": "1"}], "cursor": 9, "has_more": True})]
    assert client.list_videos(None).cursor == 9
    client.list_videos(9)
    bodies = [json.loads(seen.body) for seen in server.seen]
    assert bodies == [{"max_count": PAGE_SIZE}, {"max_count": PAGE_SIZE, "cursor": 9}]
    assert server.seen[0].path == f"/v2/video/list/?fields={'%2C'.join(VIDEO_FIELDS)}"
    assert limiter.acquired == ["video/list"] * 2


def test_video_query_gives_what_is_still_shown(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies = [ok({"videos": [{"id": "2"}]})]
    answer = client.query_videos(["1", "2"])
    assert [video.video_id for video in answer.videos] == ["2"]
    assert answer.observed_at.utcoffset() is not None
    assert json.loads(server.seen[0].body) == {"filters": {"video_ids": ["1", "2"]}}
    assert limiter.acquired == ["video/query"]


def test_two_blips_and_then_an_answer(
    server: ScriptedServer, client: TikTokClient, waits: list[float], limiter: Limiter
) -> None:
    server.replies = [TROUBLE, refusal(500, "internal_error"), USER]
    assert client.user_info(["open_id"])[0].open_id == "o"
    assert (client.counts.calls, client.counts.repeats, len(waits)) == (3, 2, 2)
    assert limiter.acquired == ["user/info"] * 3  # each try has its place under the limit
    assert limiter.pauses == []


@pytest.mark.parametrize(
    "reply",
    [
        TROUBLE,
        refusal(500, "internal_error"),
        refusal(503, "brand_new"),
        Reply(200, b"not json"),
        Reply(200, {"unknown": "envelope"}),
        Reply(200, {"error": "text", "data": {}}),
        Reply(200, {"error": {"code": 7}, "data": {}}),
        Reply(200, b'{"data', claimed_length=99),
        Reply(204, b""),
        *(Reply(status, b"<h1>Access Denied</h1>") for status in (400, 401, 403, 404, 407, 451)),
        Reply(403, b""),
        Reply(403, {"message": "Forbidden"}),
        Reply(403, {"error": "Forbidden"}),
        Reply(403, {"error": {"code": "Forbidden", "message": "by the gateway"}}),
        Reply(403, {"code": "AccessDenied", "message": "by the gateway"}),
        Reply(403, [{"code": "AccessDenied"}]),
        Reply(302, b"", {"Location": "/login"}),
    ],
)
def test_blips_end_after_some_tries_within_seconds(
    server: ScriptedServer, client: TikTokClient, waits: list[float], reply: Reply
) -> None:
    server.replies = [reply]
    with pytest.raises(TikTokUnavailableError):
        client.user_info(["open_id"])
    assert len(server.seen) == BLIP_ATTEMPTS
    assert len(waits) == client.counts.repeats == BLIP_ATTEMPTS - 1
    assert sum(waits) <= 24


def test_the_last_refusals_reason_is_what_is_raised(
    server: ScriptedServer, client: TikTokClient
) -> None:
    server.replies = [refusal(503, "brand_new", **{"Retry-After": "40"})]
    with pytest.raises(TikTokUnavailableError) as caught:
        client.user_info(["open_id"])
    error = caught.value
    assert (error.log_id, error.retry_after_s) == ("LOG9", 40.0)
    assert (error.detail or "").startswith("user/info: HTTP 503, brand_new: why (5xx come")
    assert "act." not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({}, PAUSE_AFTER_429_S),
        ({"Retry-After": "10"}, 10.0),
        ({"Retry-After": "9999"}, MAX_RETRY_AFTER_S),
        ({"Retry-After": "0"}, PAUSE_AFTER_429_S),
    ],
)
def test_a_429_pauses_the_endpoint_for_everyone_and_goes_on(
    server: ScriptedServer,
    client: TikTokClient,
    limiter: Limiter,
    waits: list[float],
    *,
    headers: dict[str, str],
    pause_s: float,
) -> None:
    server.replies = [refusal(429, "rate_limit_exceeded", **headers), LIMITED, USER]
    client.user_info(["open_id"])
    assert [endpoint for endpoint, _ in limiter.pauses] == ["user/info"] * 2
    assert limiter.pauses[0][1] == pytest.approx(pause_s, abs=1)
    assert (client.counts.calls, client.counts.rate_limited, waits) == (3, 2, [])
    assert client.counts.repeats == 0  # a pause counts as such


def test_a_call_that_two_endpoints_can_serve_goes_where_it_may(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    page = ok({"videos": [{"id": "1"}], "cursor": 9, "has_more": True})
    server.replies = [page, ok({"videos": [{"id": "2"}]})]
    limiter.choices = ["video/list", "video/query"]
    assert _kinds(client.list_or_query(9, ["2"], reserve=3)) == [VideoPage]
    assert _kinds(client.list_or_query(9, ["2"], reserve=3)) == [QueriedVideos]
    bodies = [json.loads(seen.body) for seen in server.seen]
    assert bodies == [{"max_count": PAGE_SIZE, "cursor": 9}, {"filters": {"video_ids": ["2"]}}]
    assert limiter.acquired == []  # the place was taken with the choice
    assert client.counts.waited_s == 0.5


def test_a_429_sends_such_a_call_to_the_other_endpoint(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies = [LIMITED, ok({"videos": []})]
    limiter.choices = ["video/list", "video/query"]
    assert _kinds(client.list_or_query(None, ["2"], reserve=0)) == [QueriedVideos]
    ((paused, seconds),) = limiter.pauses
    assert paused == "video/list"
    assert seconds == pytest.approx(PAUSE_AFTER_429_S, abs=1)
    assert client.calls["video/list"].rate_limited == 1


def test_while_queries_fail_such_calls_list(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies = [*[TROUBLE] * BLIP_ATTEMPTS, ok({"videos": [], "has_more": True})]
    limiter.choices = ["video/query"]
    for cursor in (9, 8):
        assert _kinds(client.list_or_query(cursor, ["2"], reserve=3)) == [VideoPage]
    assert [json.loads(seen.body).get("cursor") for seen in server.seen[-2:]] == [9, 8]
    assert limiter.acquired[-2:] == ["video/list"] * 2


def test_a_page_that_fails_is_not_queried_instead(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies = [TROUBLE]
    limiter.choices = ["video/list"]
    with pytest.raises(TikTokUnavailableError):
        list(client.list_or_query(9, ["2"], reserve=0))


def test_both_endpoints_that_refuse_without_end_are_given_up(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies = [LIMITED] * 20
    limiter.choices = ["video/list", "video/query"] * 10
    with pytest.raises(RateLimitedError):
        list(client.list_or_query(None, ["2"], reserve=0))
    assert len(server.seen) == REFUSED_ATTEMPTS + 1


def test_a_429_without_end_is_given_up(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies = [LIMITED]
    with pytest.raises(RateLimitedError):
        client.user_info(["open_id"])
    assert len(server.seen) == REFUSED_ATTEMPTS + 1
    assert len(limiter.pauses) == REFUSED_ATTEMPTS


def test_a_rejected_token_is_replaced_once(
    server: ScriptedServer, client: TikTokClient, tokens: Tokens
) -> None:
    server.replies = [REJECTED, USER]
    client.user_info(["open_id"])
    assert _sent(server) == ["act.1", "act.2"]
    client.user_info(["open_id"])
    assert (_sent(server)[2], tokens.refreshes) == ("act.2", 1)


def test_a_token_rejected_again_is_given_up(
    server: ScriptedServer, client: TikTokClient, tokens: Tokens
) -> None:
    server.replies = [REJECTED]
    with pytest.raises(FatalError, match="even after a refresh"):
        client.user_info(["open_id"])
    assert (_sent(server), tokens.refreshes) == (["act.1", "act.2"], 1)


def test_a_blip_between_rejections_does_not_buy_another_refresh(
    server: ScriptedServer, client: TikTokClient, tokens: Tokens
) -> None:
    server.replies = [REJECTED, TROUBLE, REJECTED]
    with pytest.raises(FatalError):
        client.user_info(["open_id"])
    assert (len(server.seen), tokens.refreshes) == (3, 1)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refusal(401, "scope_not_authorized"), MissingScopeError),
        (refusal(400, "invalid_params"), FatalError),
        (refusal(418, "brand_new"), FatalError),
        (refusal(403, "brand_new"), FatalError),
        (refusal(404, "brand_new"), FatalError),
    ],
)
def test_a_refusal_is_neither_refreshed_nor_repeated(
    server: ScriptedServer,
    client: TikTokClient,
    tokens: Tokens,
    *,
    reply: Reply,
    error: type[SyncError],
) -> None:
    server.replies = [reply]
    with pytest.raises(error):
        client.user_info(["open_id"])
    assert (len(server.seen), tokens.refreshes) == (1, 0)


@pytest.mark.parametrize(
    "data", [None, {}, {"user": None}, {"user": []}, {"user": {"follower_count": True}}]
)
def test_an_ok_without_a_user_is_an_error(
    server: ScriptedServer, client: TikTokClient, data: Any
) -> None:
    server.replies = [ok(data)]
    with pytest.raises(DataError):
        client.user_info(["open_id"])
    assert len(server.seen) == BLIP_ATTEMPTS
    server.replies = [ok(data), USER]
    assert client.user_info(["open_id"])[0].open_id == "o"


def test_a_success_without_its_content_tells_which_call_and_its_log_id(
    server: ScriptedServer, client: TikTokClient
) -> None:
    server.replies = [ok({"user": None})]
    with pytest.raises(DataError) as caught:
        client.user_info(["open_id"])
    assert (caught.value.detail, caught.value.log_id) == ("user/info: HTTP 200, ok", "LOG0")


def test_good_data_under_a_500_is_used(server: ScriptedServer, client: TikTokClient) -> None:
    server.replies = [Reply(500, USER.body)]
    assert client.user_info(["open_id"])[0].open_id == "o"
    assert len(server.seen) == 1


_ERROR = {"code": "invalid_params", "message": "why", "log_id": "LOG9"}


@pytest.mark.parametrize(
    "body", [{"error": _ERROR}, {"error": _ERROR, "data": None}, _ERROR], ids=["no", "null", "bare"]
)
def test_an_error_is_understood_without_data_and_without_its_envelope(
    server: ScriptedServer, client: TikTokClient, body: Any
) -> None:
    server.replies = [Reply(400, body)]
    with pytest.raises(FatalError) as caught:
        client.user_info(["open_id"])
    assert caught.value.log_id == "LOG9"
    assert (caught.value.detail or "").startswith("user/info: HTTP 400, invalid_params: why")


@pytest.mark.parametrize("data", [{}, {"videos": None}])
def test_an_unclear_query_confirms_nothing(
    server: ScriptedServer, client: TikTokClient, data: Any
) -> None:
    server.replies = [ok(data)]
    with pytest.raises(DataError):
        client.query_videos(["1"])


class Clock:
    """Seconds that pass with every look."""

    def __init__(self, step: float) -> None:
        self.step, self.now = step, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def _within(
    http: HttpTransport, tokens: Tokens, limiter: Limiter, seconds: float, step: float
) -> TikTokClient:
    time_left = TimeLeft(timedelta(seconds=seconds), clock=Clock(step))
    return TikTokClient(http, tokens=tokens, limiter=limiter, time_left=time_left)


def test_no_call_begins_after_the_time_of_the_try(
    server: ScriptedServer, http: HttpTransport, tokens: Tokens, limiter: Limiter
) -> None:
    server.replies = [LIMITED]
    client = _within(http, tokens, limiter, seconds=60, step=10)
    with pytest.raises(OutOfTimeError, match="waiting for TikTok's answer to user/info"):
        client.user_info(["open_id"])
    assert 1 <= len(server.seen) < REFUSED_ATTEMPTS


def test_trouble_near_the_end_of_the_time_is_not_waited_out(
    server: ScriptedServer,
    http: HttpTransport,
    tokens: Tokens,
    limiter: Limiter,
    waits: list[float],
) -> None:
    server.replies = [TROUBLE]
    client = _within(http, tokens, limiter, seconds=12, step=1)
    with pytest.raises(TikTokUnavailableError):
        client.user_info(["open_id"])
    assert (len(server.seen), waits) == (1, [])


def test_silence_is_asked_again_with_more_patience_until_there_is_no_more(
    server: ScriptedServer, tokens: Tokens, limiter: Limiter, waits: list[float]
) -> None:
    server.replies = [Reply(200, USER.body, delay=20)]
    http = HttpTransport(server.url, Timeouts(connect_s=60, read_s=0.2, longest_s=0.4))
    client = TikTokClient(http, tokens=tokens, limiter=limiter)
    try:
        with pytest.raises(TikTokUnavailableError, match="stayed silent"):
            client.user_info(["open_id"])
        assert (client.counts.calls, len(waits)) == (2, 1)
    finally:
        http.close()
