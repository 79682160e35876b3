"""Fetch it: the three data endpoints, each call limited, signed, judged and, if brief, retried.

Sources: developers.tiktok.com "Get User Info", "List Videos", "Query Videos": ``fields`` goes in
the query string, everything else in the JSON body.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import DataError, TikTokUnavailableError
from include.tiktok_sync.tiktok.api_client import AccessTokens, ApiClient, Request, Said
from include.tiktok_sync.tiktok.http import Answer, HttpTransport
from include.tiktok_sync.tiktok.meanings import api_code, meaning_of_api_answer
from include.tiktok_sync.tiktok.models import (
    VIDEO_FIELDS,
    QueriedVideos,
    UserProfile,
    VideoPage,
)
from include.tiktok_sync.tiktok.rate_limit import RateLimiter
from include.tiktok_sync.tiktok.time_left import TimeLeft

PAGE_SIZE = 20
"""TikTok's maximum for ``max_count`` and for ``video_ids``."""

LIST, QUERY = "video/list", "video/query"
"""The two lanes: TikTok counts them separately, and both show the same videos and figures."""

LANES = 2
"""How many of them are used unless ``VIDEO_LANES`` says otherwise."""

_VIDEO_PARAMS = {"fields": ",".join(VIDEO_FIELDS)}

PAUSE_AFTER_429_S = 5.0
"""TikTok documents no ``Retry-After``; the window slides, so places open up all the time."""


class _TurnedAwayError(Exception):
    """A 429 to a call that another endpoint can serve too."""


class TikTokClient(ApiClient[AccessTokens]):
    """One store's view of the Display API.

    Args:
        http: Transport to the API host.
        tokens: The store's access tokens.
        limiter: The limit shared by everyone.
        time_left: What this try of the store may still take.
        lanes: 2 = videos are read by both endpoints, 1 = only listed.

    Attributes:
        calls: What they cost, by endpoint.
    """

    def __init__(
        self,
        http: HttpTransport,
        *,
        tokens: AccessTokens,
        limiter: RateLimiter,
        time_left: TimeLeft | None = None,
        lanes: int = LANES,
    ) -> None:
        super().__init__(http, tokens=tokens, time_left=time_left)
        self.lanes = lanes
        self._limiter = limiter
        self._queries_fail = False

    def user_info(self, fields: Iterable[str]) -> tuple[UserProfile, datetime]:
        """The account's profile and when TikTok answered.

        Raises:
            SyncError: See :mod:`include.tiktok_sync.tiktok.meanings`.
        """
        request = self._request("GET", "user/info", {"fields": ",".join(fields)})
        return self._call(request, _read_profile)

    def list_videos(self, cursor: int | None) -> VideoPage:
        """A page of up to 20 public videos, newest first, posted before ``cursor``.

        Args:
            cursor: Unix milliseconds from the page before; ``None`` = from the newest.

        Raises:
            SyncError: See :mod:`include.tiktok_sync.tiktok.meanings`.
        """
        request = self._request("POST", LIST, _VIDEO_PARAMS, _list_body(cursor))
        return self._call(request, VideoPage.from_api)

    def query_videos(self, video_ids: Sequence[str]) -> QueriedVideos:
        """Those of at most 20 ids that TikTok still shows; the others are silently absent.

        Raises:
            SyncError: See :mod:`include.tiktok_sync.tiktok.meanings`.
        """
        request = self._request("POST", QUERY, _VIDEO_PARAMS, _query_body(video_ids))
        return self._call(request, QueriedVideos.from_api)

    def list_or_query(
        self, cursor: int | None, video_ids: Sequence[str], *, reserve: int, both: bool = False
    ) -> Iterator[VideoPage | QueriedVideos]:
        """List a page or query some videos, whichever the rate limit lets go first.

        A 429 pauses its endpoint; if there is no other answer, the choice is made again. Once
        TikTok's trouble with a query lasts, this store's calls list: pages show new videos too, so
        they cannot be replaced.

        Args:
            cursor: See :meth:`list_videos`.
            video_ids: See :meth:`query_videos`.
            reserve: Places of ``video/list`` to be left for others.
            both: While TikTok answers a query, list the page too if a place is open.

        Yields:
            One answer, or the page and then the query's; each as soon as it can be used.

        Raises:
            SyncError: See :mod:`include.tiktok_sync.tiktok.meanings`.
        """
        refused = 0
        while not self._queries_fail:
            token = self._token()
            endpoint, waited_s = self._limiter.acquire_either(LIST, QUERY, reserve=reserve)
            self.calls[endpoint].waited_s += waited_s
            if endpoint == LIST:
                requests = [_with_place(LIST, _list_body(cursor), token, refused)]
            else:
                requests = [_with_place(QUERY, _query_body(video_ids), token, refused)]
                if both and self._limiter.acquire_open(LIST):
                    self._start(requests[0])
                    requests.insert(0, _with_place(LIST, _list_body(cursor), token, refused))
            is_answered = False
            for request in requests:
                answer = self._page_or_figures(request)
                if answer is not None:
                    is_answered = True
                    yield answer
            if is_answered:
                return
            refused = max(request.refused for request in requests)
        yield self.list_videos(cursor)

    def _page_or_figures(self, request: Request) -> VideoPage | QueriedVideos | None:
        """The answer; ``None`` = another call can serve instead."""
        try:
            if request.endpoint == LIST:
                return self._call(request, VideoPage.from_api)
            return self._call(request, QueriedVideos.from_api)
        except _TurnedAwayError:
            return None
        except TikTokUnavailableError:
            if request.endpoint == LIST:
                raise
            self._queries_fail = True
            return None

    def _path(self, endpoint: str) -> str:
        return f"/v2/{endpoint}/"

    def _acquire(self, endpoint: str) -> float:
        return self._limiter.acquire(endpoint)

    def _said(self, request: Request, answer: Answer) -> Said:
        said = _envelope(answer)
        meaning = meaning_of_api_answer(
            answer.status, api_code(said), with_cursor="cursor" in (request.json_body or {})
        )
        return Said(meaning, said.get("code"), said.get("message"), said.get("log_id"))

    def _pause(self, request: Request, answer: Answer, said: Said) -> None:  # noqa: ARG002 - other APIs say why
        # The answer of a call in the second thread may have waited for the first one's.
        age_s = (utc_now() - answer.observed_at).total_seconds()
        rest_s = (answer.retry_after_s or PAUSE_AFTER_429_S) - max(0.0, age_s)
        self._limiter.pause(request.endpoint, max(0.0, rest_s))
        if request.may_turn_away:
            raise _TurnedAwayError


def _with_place(endpoint: str, body: Mapping[str, Any], token: str, refused: int) -> Request:
    """A call that has a place, and that another endpoint can serve too."""
    request = Request("POST", endpoint, _VIDEO_PARAMS, body, token, refused=refused)
    request.has_place = request.may_turn_away = True
    return request


def _list_body(cursor: int | None) -> dict[str, Any]:
    return {"max_count": PAGE_SIZE} | ({} if cursor is None else {"cursor": cursor})


def _query_body(video_ids: Sequence[str]) -> dict[str, Any]:
    return {"filters": {"video_ids": list(video_ids)}}


def _read_profile(data: Mapping[str, Any], observed_at: datetime) -> tuple[UserProfile, datetime]:
    user = data.get("user")
    if not isinstance(user, dict):
        message = "TikTok's answer to user/info lacks `user`."
        raise DataError(message)
    return UserProfile.from_api(user), observed_at


def _envelope(answer: Answer) -> Mapping[str, Any]:
    """``error`` of the envelope, or the bare ``{code, message, log_id}`` of TikTok's own page."""
    body = answer.body or {}
    error = body.get("error", body)
    return error if isinstance(error, dict) else {}
