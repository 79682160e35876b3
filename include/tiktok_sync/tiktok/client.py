"""Fetch it: the three data endpoints, each call limited, signed, judged and, if brief, retried.

Sources: developers.tiktok.com "Get User Info", "List Videos", "Query Videos": ``fields`` goes in
the query string, everything else in the JSON body.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_random_exponential,
)

from include.tiktok_sync.errors import (
    DataError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.tiktok.http import Answer, HttpTransport, NoAnswerInTimeError
from include.tiktok_sync.tiktok.meanings import Action, Meaning, api_code, meaning_of_api_answer
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

T = TypeVar("T")

LIST, QUERY = "video/list", "video/query"
"""The two lanes: TikTok counts them separately, and both show the same videos and figures."""

LANES = 2
"""How many of them are used unless ``VIDEO_LANES`` says otherwise."""

_VIDEO_PARAMS = {"fields": ",".join(VIDEO_FIELDS)}

BLIP_ATTEMPTS = 4
"""Tries of one call in the client; waits of up to 8 s between them. Longer trouble is the
task's to wait out (its retry policy), so the two never multiply for long."""

LONGEST_BLIP_S = 8.0

REFUSED_ATTEMPTS = 6
"""Tries after a 429; each pauses the endpoint for everyone first."""

PAUSE_AFTER_429_S = 5.0
"""TikTok documents no ``Retry-After``; the window slides, so places open up all the time."""


class AccessTokens(Protocol):
    """What the client, and the jobs that use it, need of a store's tokens."""

    refreshes: int

    @property
    def scopes(self) -> frozenset[str]:
        """What the store's manager granted."""

    def access_token(self) -> str:
        """A token that is valid for some minutes yet."""

    def replace_rejected(self, rejected: str) -> str:
        """A token other than ``rejected``, which TikTok answered with ``access_token_invalid``."""

    def is_valid_for(self, life: timedelta) -> bool:
        """Whether the stored token lasts that long; nothing is refreshed."""

    def ensure_valid_for(self, life: timedelta) -> datetime | None:
        """Refresh now what would end within ``life``; returns when the access token ends."""


class _TurnedAwayError(Exception):
    """A 429 to a call that another endpoint can serve too."""


class _BlipError(Exception):
    """An answer worth another try within seconds; carries what to raise when none helps."""

    def __init__(self, error: SyncError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass
class CallCounts:
    """What the calls of one store cost, to one endpoint or to all.

    Attributes:
        calls: Requests sent to the data endpoints.
        repeats: How many of them repeated one that had met passing trouble.
        rate_limited: Answers 429.
        waited_s: Seconds spent under the rate limit.
    """

    calls: int = 0
    repeats: int = 0
    rate_limited: int = 0
    waited_s: float = 0.0


class TikTokClient:
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
        self._http = http
        self.lanes = lanes
        self._time_left = time_left or TimeLeft()
        self._limiter = limiter
        self.tokens = tokens
        self._queries_fail = False
        self.calls: defaultdict[str, CallCounts] = defaultdict(CallCounts)

    @property
    def counts(self) -> CallCounts:
        """What the calls cost, all endpoints together."""
        return CallCounts(*map(sum, zip(*map(astuple, self.calls.values()), strict=True)))

    def user_info(self, fields: Iterable[str]) -> tuple[UserProfile, datetime]:
        """The account's profile and when TikTok answered.

        Raises:
            SyncError: See :mod:`include.tiktok_sync.tiktok.meanings`.
        """
        request = self._request("GET", "user/info", {"fields": ",".join(fields)}, None)
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
        self, cursor: int | None, video_ids: Sequence[str], *, reserve: int
    ) -> VideoPage | QueriedVideos:
        """List a page or query some videos, whichever the rate limit lets go first.

        A 429 pauses its endpoint, and the choice is made again. Once TikTok's trouble with a query
        lasts, this store's calls list: pages show new videos too, so they cannot be replaced.

        Args:
            cursor: See :meth:`list_videos`.
            video_ids: See :meth:`query_videos`.
            reserve: Places of ``video/list`` to be left for others.

        Raises:
            SyncError: See :mod:`include.tiktok_sync.tiktok.meanings`.
        """
        refused = 0
        while not self._queries_fail:
            token = self._token()
            endpoint, waited_s = self._limiter.acquire_either(LIST, QUERY, reserve=reserve)
            self.calls[endpoint].waited_s += waited_s
            is_list = endpoint == LIST
            body = _list_body(cursor) if is_list else _query_body(video_ids)
            request = _Request("POST", endpoint, _VIDEO_PARAMS, body, token, refused=refused)
            request.has_place = request.may_turn_away = True
            try:
                if is_list:
                    return self._call(request, VideoPage.from_api)
                return self._call(request, QueriedVideos.from_api)
            except _TurnedAwayError:
                refused = request.refused
            except TikTokUnavailableError:
                if is_list:
                    raise
                self._queries_fail = True
        return self.list_videos(cursor)

    def _token(self) -> str:
        self._time_left.spend(0, "waiting for a valid token")
        return self.tokens.access_token()

    def _request(
        self,
        method: str,
        endpoint: str,
        params: Mapping[str, str],
        json_body: Mapping[str, Any] | None,
    ) -> _Request:
        return _Request(method, endpoint, params, json_body, token=self._token())

    def _call(self, request: _Request, read: Callable[[Mapping[str, Any], datetime], T]) -> T:
        retrying = Retrying(
            retry=retry_if_exception_type(_BlipError),
            stop=self._is_last_try,
            wait=wait_random_exponential(multiplier=0.5, max=LONGEST_BLIP_S),
            before_sleep=self._count_repeat,
            reraise=True,
        )
        try:
            result: T = retrying(self._settle, request, read)
        except _BlipError as blip:
            raise blip.error from None
        return result

    def _is_last_try(self, state: RetryCallState) -> bool:
        out_of_time = self._time_left.seconds() <= LONGEST_BLIP_S
        return state.attempt_number >= BLIP_ATTEMPTS or out_of_time

    def _count_repeat(self, state: RetryCallState) -> None:
        request: _Request = state.args[0]
        self.calls[request.endpoint].repeats += 1

    def _settle(self, request: _Request, read: Callable[[Mapping[str, Any], datetime], T]) -> T:
        """Send until the answer is neither "refresh" nor "wait"."""
        while True:
            answer = self._send(request)
            code = api_code(_said(answer))
            meaning = meaning_of_api_answer(
                answer.status, code, with_cursor="cursor" in (request.json_body or {})
            )
            if meaning.action is Action.USE:
                try:
                    return read(_data(answer, request.endpoint), answer.observed_at)
                except DataError as error:
                    # A success without what belongs in it is as a rule gone with the next call.
                    error.detail = f"{request.endpoint}: HTTP {answer.status}, {code}"
                    error.log_id = _said(answer).get("log_id")
                    raise _BlipError(error) from None
            if meaning.action is Action.REFRESH and not request.refreshed:
                self._time_left.spend(0, "waiting for a new token")
                request.token = self.tokens.replace_rejected(request.token)
                request.refreshed = True
            elif meaning.action is Action.WAIT and request.refused < REFUSED_ATTEMPTS:
                request.refused += 1
                self.calls[request.endpoint].rate_limited += 1
                self._limiter.pause(request.endpoint, answer.retry_after_s or PAUSE_AFTER_429_S)
                if request.may_turn_away:
                    raise _TurnedAwayError
            else:
                raise _failure(meaning, answer, request.endpoint)

    def _send(self, request: _Request) -> Answer:
        counts = self.calls[request.endpoint]
        if not request.has_place:
            counts.waited_s += self._limiter.acquire(request.endpoint)
        request.has_place = False
        self._time_left.spend(0, f"waiting for TikTok's answer to {request.endpoint}")
        counts.calls += 1
        try:
            return self._http.send(
                request.method,
                f"/v2/{request.endpoint}/",
                token=request.token,
                params=request.params,
                json_body=request.json_body,
                within_s=self._time_left.seconds(),
            )
        except NoAnswerInTimeError as error:
            if self._time_left.seconds() <= 0:
                raise self._time_left.is_over() from None
            # Asked again with more patience; silence at its end is no blip any more.
            raise error if error.is_last else _BlipError(error) from None
        except TikTokUnavailableError as error:
            raise _BlipError(error) from None


@dataclass
class _Request:
    method: str
    endpoint: str
    params: Mapping[str, str]
    json_body: Mapping[str, Any] | None
    token: str = field(repr=False)
    refreshed: bool = False
    refused: int = 0
    has_place: bool = False
    may_turn_away: bool = False


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


def _said(answer: Answer) -> Mapping[str, Any]:
    """``error`` of the envelope, or the bare ``{code, message, log_id}`` of TikTok's own page."""
    body = answer.body or {}
    error = body.get("error", body)
    return error if isinstance(error, dict) else {}


def _data(answer: Answer, endpoint: str) -> Mapping[str, Any]:
    data = (answer.body or {}).get("data")
    if not isinstance(data, dict):
        message = f"TikTok's answer to {endpoint} says ok and has no `data`."
        raise DataError(message)
    return data


def _failure(meaning: Meaning, answer: Answer, endpoint: str) -> Exception:
    said = _said(answer)
    detail = f"{endpoint}: HTTP {answer.status}, {said.get('code')}: {said.get('message')}"
    error = meaning.as_error(
        detail=detail, log_id=said.get("log_id"), retry_after_s=answer.retry_after_s
    )
    return _BlipError(error) if meaning.action is Action.RETRY else error
