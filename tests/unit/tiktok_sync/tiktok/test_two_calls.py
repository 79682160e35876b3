"""Are a page and a query under way at once, and does each keep its own trouble?"""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import FatalError, ListingError, TikTokUnavailableError
from include.tiktok_sync.tiktok import client as client_module
from include.tiktok_sync.tiktok.api_client import BLIP_ATTEMPTS
from include.tiktok_sync.tiktok.client import LIST, PAUSE_AFTER_429_S, QUERY, TikTokClient
from include.tiktok_sync.tiktok.http import HttpTransport, Timeouts
from include.tiktok_sync.tiktok.models import QueriedVideos, VideoPage
from include.tiktok_sync.tiktok.time_left import TimeLeft
from tests.sandbox_server import until
from tests.unit.tiktok_sync.scripted import Limiter, Reply, ScriptedServer, Tokens, ok, refusal

PAGE = ok({"videos": [{"id": "1"}], "cursor": 8, "has_more": True})
FIGURES = ok({"videos": [{"id": "2"}]})
REJECTED = refusal(401, "access_token_invalid")
LIMITED = refusal(429, "rate_limit_exceeded")
TROUBLE = Reply(500, b"<h1>500</h1>")


@pytest.fixture(autouse=True)
def _both_are_open(limiter: Limiter) -> None:
    limiter.choices = [QUERY, LIST]


def _read(client: TikTokClient, *, both: bool = True) -> list[VideoPage | QueriedVideos]:
    return list(client.list_or_query(9, ["2"], reserve=3, both=both))


def _bodies(server: ScriptedServer, endpoint: str) -> list[Any]:
    return [json.loads(seen.body) for seen in server.seen if f"/{endpoint}/" in seen.path]


def test_both_are_under_way_at_once(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies_of = {LIST: [PAGE], QUERY: [FIGURES]}
    # Neither is answered before both have arrived.
    server.meeting = threading.Barrier(2)
    assert [type(answer) for answer in _read(client)] == [VideoPage, QueriedVideos]
    assert _bodies(server, LIST) == [{"max_count": 20, "cursor": 9}]
    assert _bodies(server, QUERY) == [{"filters": {"video_ids": ["2"]}}]
    assert len({seen.client_port for seen in server.seen}) == 2
    assert {name: counts.calls for name, counts in client.calls.items()} == {LIST: 1, QUERY: 1}
    assert limiter.acquired == []  # the places were taken with the choice


@pytest.mark.parametrize(("both", "choices"), [(False, [QUERY, LIST]), (True, [QUERY])])
def test_there_is_no_second_call_without_leave_or_an_open_place(
    server: ScriptedServer,
    client: TikTokClient,
    limiter: Limiter,
    *,
    both: bool,
    choices: list[str],
) -> None:
    server.replies = [FIGURES]
    limiter.choices = choices
    (answer,) = _read(client, both=both)
    assert isinstance(answer, QueriedVideos)
    assert len(server.seen) == 1


def test_a_page_is_listed_alone_while_there_is_room(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies = [PAGE]
    limiter.choices = [LIST, LIST]
    (answer,) = _read(client)
    assert isinstance(answer, VideoPage)
    assert limiter.choices == [LIST]


def test_a_token_that_both_calls_find_rejected_is_refreshed_once(
    server: ScriptedServer, client: TikTokClient, tokens: Tokens
) -> None:
    server.replies_of = {LIST: [REJECTED, PAGE], QUERY: [REJECTED, FIGURES]}
    assert len(_read(client)) == 2
    sent = sorted(seen.headers["Authorization"] for seen in server.seen)
    assert sent == ["Bearer act.1"] * 2 + ["Bearer act.2"] * 2
    assert tokens.refreshes == 1


@pytest.mark.parametrize(
    ("refused", "kind"), [(LIST, QueriedVideos), (QUERY, VideoPage)], ids=["page", "query"]
)
def test_a_429_takes_one_of_them_away_and_pauses_its_endpoint(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter, refused: str, kind: type
) -> None:
    server.replies_of = {LIST: [PAGE], QUERY: [FIGURES]} | {refused: [LIMITED]}
    (answer,) = _read(client)
    assert isinstance(answer, kind)
    ((paused, seconds),) = limiter.pauses
    assert paused == refused
    assert PAUSE_AFTER_429_S - 4 < seconds <= PAUSE_AFTER_429_S


def test_a_429_to_both_has_the_choice_made_again(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies_of = {LIST: [LIMITED, PAGE], QUERY: [LIMITED, FIGURES]}
    limiter.choices = [QUERY, LIST, LIST]
    (answer,) = _read(client)
    assert isinstance(answer, VideoPage)
    assert sorted(name for name, _ in limiter.pauses) == [LIST, QUERY]


def test_a_query_that_keeps_failing_leaves_the_page_and_is_not_tried_again(
    server: ScriptedServer, client: TikTokClient, limiter: Limiter
) -> None:
    server.replies_of = {LIST: [PAGE], QUERY: [TROUBLE]}
    for _ in range(2):
        (answer,) = _read(client)
        assert isinstance(answer, VideoPage)
    assert len(_bodies(server, QUERY)) == BLIP_ATTEMPTS
    assert limiter.acquired[-1] == LIST


@pytest.mark.parametrize(
    ("reply", "error"),
    [(TROUBLE, TikTokUnavailableError), (refusal(400, "invalid_params"), ListingError)],
)
def test_a_page_that_fails_is_not_replaced(
    server: ScriptedServer, client: TikTokClient, reply: Reply, error: type[Exception]
) -> None:
    server.replies_of = {LIST: [reply], QUERY: [FIGURES]}
    with pytest.raises(error):
        _read(client)


def test_a_page_is_given_before_its_query_fails(
    server: ScriptedServer, client: TikTokClient
) -> None:
    server.replies_of = {LIST: [PAGE], QUERY: [refusal(400, "x")]}
    answers = client.list_or_query(9, ["2"], reserve=3, both=True)
    assert isinstance(next(answers), VideoPage)
    with pytest.raises(FatalError):
        next(answers)


def test_the_next_stores_query_does_not_wait_behind_one_that_hangs(
    server: ScriptedServer, tokens: Tokens, limiter: Limiter
) -> None:
    """Its place would be used too late; and closing waits for neither."""
    http = HttpTransport(server.url, Timeouts(connect_s=60, read_s=600))
    hangs = Reply(200, FIGURES.body, delay=600)
    server.replies_of = {QUERY: [hangs, FIGURES], LIST: [refusal(400, "x"), PAGE]}
    with pytest.raises(FatalError):
        _read(TikTokClient(http, tokens=tokens, limiter=limiter))
    until(lambda: len(server.replies_of[QUERY]) == 1)
    limiter.choices = [QUERY, LIST]
    assert len(_read(TikTokClient(http, tokens=tokens, limiter=limiter))) == 2
    assert len({seen.client_port for seen in server.seen}) == 3
    http.close()


def test_a_429_whose_answer_has_waited_pauses_for_what_is_left(
    server: ScriptedServer,
    client: TikTokClient,
    limiter: Limiter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = refusal(429, "rate_limit_exceeded", **{"Retry-After": "100"})
    server.replies_of = {LIST: [PAGE], QUERY: [refused]}
    # The page took that long.
    later = timedelta(seconds=60)
    monkeypatch.setattr(client_module, "utc_now", lambda: utc_now() + later)
    assert len(_read(client)) == 1
    ((endpoint, seconds),) = limiter.pauses
    assert (endpoint, round(seconds, -1)) == (QUERY, 40)


def test_time_that_runs_out_names_the_call_that_is_waited_for(
    server: ScriptedServer, http: HttpTransport, tokens: Tokens, limiter: Limiter
) -> None:
    time_left = TimeLeft()
    server.replies_of = {LIST: [PAGE], QUERY: [FIGURES]}
    client = TikTokClient(http, tokens=tokens, limiter=limiter, time_left=time_left)
    doing = [time_left.doing for _ in client.list_or_query(9, ["2"], reserve=3, both=True)]
    assert doing == [f"waiting for TikTok's answer to {name}" for name in (LIST, QUERY)]
