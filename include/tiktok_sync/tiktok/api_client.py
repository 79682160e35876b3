"""One call of an API of TikTok: limited, signed, judged and, if brief, retried.

What differs between the APIs (addresses, limits, what an answer means) stands in their clients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_random_exponential,
)

from include.tiktok_sync.errors import DataError, SyncError, TikTokUnavailableError
from include.tiktok_sync.tiktok.http import Answer, HttpTransport, NoAnswerInTimeError
from include.tiktok_sync.tiktok.meanings import Action, Meaning
from include.tiktok_sync.tiktok.time_left import TimeLeft

T = TypeVar("T")

BLIP_ATTEMPTS = 4
"""Tries of one call in the client; waits of up to 8 s between them. Longer trouble is the
task's to wait out (its retry policy), so the two never multiply for long."""

LONGEST_BLIP_S = 8.0

REFUSED_ATTEMPTS = 6
"""Tries after too many calls; each pauses the endpoint for everyone first."""


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


Tokens = TypeVar("Tokens", bound=AccessTokens)


class BlipError(Exception):
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
        rate_limited: Answers that said "too many calls".
        waited_s: Seconds spent under the rate limit.
    """

    calls: int = 0
    repeats: int = 0
    rate_limited: int = 0
    waited_s: float = 0.0


@dataclass
class Request:
    """One call, and how far it has got.

    Attributes:
        method: HTTP method.
        endpoint: As in the counts and the limits.
        params: Query.
        json_body: Body.
        token: Signs it.
        refreshed: Its token was replaced once.
        refused: Answers "too many calls" so far.
        has_place: The rate limit has been asked already.
        may_turn_away: Another endpoint can serve it too.
        answer: Waits for the answer to what was sent already, or raises what sending it raised.
        said: What TikTok said with the newest answer.
    """

    method: str
    endpoint: str
    params: Mapping[str, str]
    json_body: Mapping[str, Any] | None
    token: str = field(repr=False)
    refreshed: bool = False
    refused: int = 0
    has_place: bool = False
    may_turn_away: bool = False
    answer: Callable[[], Answer] | None = None
    said: Said | None = None


@dataclass(frozen=True)
class Said:
    """What TikTok said with an answer, other than the data.

    Attributes:
        meaning: What it means.
        code: TikTok's code.
        message: TikTok's text.
        log_id: What TikTok's support asks for.
    """

    meaning: Meaning
    code: object
    message: object
    log_id: str | None


class ApiClient(ABC, Generic[Tokens]):
    """The way of every call.

    Args:
        http: Transport to the API host.
        tokens: The store's access tokens.
        time_left: What this try of the store may still take.

    Attributes:
        calls: What they cost, by endpoint.
    """

    def __init__(
        self, http: HttpTransport, *, tokens: Tokens, time_left: TimeLeft | None = None
    ) -> None:
        self._http = http
        self._time_left = time_left or TimeLeft()
        self.tokens = tokens
        self.calls: defaultdict[str, CallCounts] = defaultdict(CallCounts)

    @property
    def counts(self) -> CallCounts:
        """What the calls cost, all endpoints together."""
        return CallCounts(*map(sum, zip(*map(astuple, self.calls.values()), strict=True)))

    @abstractmethod
    def _path(self, endpoint: str) -> str:
        """The path of an endpoint."""

    @abstractmethod
    def _acquire(self, endpoint: str) -> float:
        """Wait for a place under the rate limit; returns the seconds waited."""

    @abstractmethod
    def _said(self, request: Request, answer: Answer) -> Said:
        """What TikTok said with an answer."""

    @abstractmethod
    def _pause(self, request: Request, answer: Answer, said: Said) -> None:
        """There were too many calls: keep everyone from calling for a while."""

    def _token(self) -> str:
        self._time_left.spend(0, "waiting for a valid token")
        return self.tokens.access_token()

    def _request(
        self,
        method: str,
        endpoint: str,
        params: Mapping[str, str],
        json_body: Mapping[str, Any] | None = None,
    ) -> Request:
        return Request(method, endpoint, params, json_body, token=self._token())

    def _call(self, request: Request, read: Callable[[Mapping[str, Any], datetime], T]) -> T:
        retrying = Retrying(
            retry=retry_if_exception_type(BlipError),
            stop=self._is_last_try,
            wait=wait_random_exponential(multiplier=0.5, max=LONGEST_BLIP_S),
            before_sleep=self._count_repeat,
            reraise=True,
        )
        try:
            result: T = retrying(self._settle, request, read)
        except BlipError as blip:
            raise blip.error from None
        return result

    def _is_last_try(self, state: RetryCallState) -> bool:
        out_of_time = self._time_left.seconds() <= LONGEST_BLIP_S
        return state.attempt_number >= BLIP_ATTEMPTS or out_of_time

    def _count_repeat(self, state: RetryCallState) -> None:
        request: Request = state.args[0]
        self.calls[request.endpoint].repeats += 1

    def _settle(self, request: Request, read: Callable[[Mapping[str, Any], datetime], T]) -> T:
        """Send until the answer is neither "refresh" nor "wait"."""
        while True:
            answer = self._send(request)
            said = request.said = self._said(request, answer)
            action = said.meaning.action
            if action is Action.USE:
                try:
                    return read(data_of(answer, request.endpoint), answer.observed_at)
                except DataError as unreadable:
                    # A success without what belongs in it is as a rule gone with the next call.
                    unreadable.detail = f"{request.endpoint}: HTTP {answer.status}, {said.code}"
                    unreadable.log_id = said.log_id
                    raise BlipError(unreadable) from None
            if action is Action.REFRESH and not request.refreshed:
                self._time_left.spend(0, "waiting for a new token")
                request.token = self.tokens.replace_rejected(request.token)
                request.refreshed = True
            elif action is Action.WAIT and request.refused < REFUSED_ATTEMPTS:
                request.refused += 1
                self.calls[request.endpoint].rate_limited += 1
                self._pause(request, answer, said)
            else:
                error = error_of(said, answer, request.endpoint)
                raise BlipError(error) if action is Action.RETRY else error

    def _start(self, request: Request) -> None:
        """Send it in a second thread; :meth:`_call` then begins with waiting for its answer."""
        request.answer = self._exchange(request, self._http.start)

    def _exchange(self, request: Request, send: Callable[..., T]) -> T:
        counts = self.calls[request.endpoint]
        if not request.has_place:
            counts.waited_s += self._acquire(request.endpoint)
        request.has_place = False
        self._time_left.spend(0, _waiting_for(request))
        counts.calls += 1
        return send(
            request.method,
            self._path(request.endpoint),
            token=request.token,
            params=request.params,
            json_body=request.json_body,
            within_s=self._time_left.seconds(),
        )

    def _send(self, request: Request) -> Answer:
        answer, request.answer = request.answer, None
        try:
            if answer is None:
                return self._exchange(request, self._http.send)
            # Not `spend`: an answer that is there already is used, however late it is.
            self._time_left.doing = _waiting_for(request)
            return answer()
        except NoAnswerInTimeError as error:
            if self._time_left.seconds() <= 0:
                raise self._time_left.is_over() from None
            # Asked again with more patience; silence at its end is no blip any more.
            raise error if error.is_last else BlipError(error) from None
        except TikTokUnavailableError as error:
            raise BlipError(error) from None


def _waiting_for(request: Request) -> str:
    return f"waiting for TikTok's answer to {request.endpoint}"


def data_of(answer: Answer, endpoint: str) -> Mapping[str, Any]:
    """The data of a success.

    Raises:
        DataError: There is none.
    """
    data = (answer.body or {}).get("data")
    if not isinstance(data, dict):
        message = f"TikTok's answer to {endpoint} says ok and has no `data`."
        raise DataError(message)
    return data


def error_of(said: Said, answer: Answer, endpoint: str) -> SyncError:
    """What to raise for an answer that no further step helps."""
    return said.meaning.as_error(
        detail=f"{endpoint}: HTTP {answer.status}, {said.code}: {said.message}",
        log_id=said.log_id,
        retry_after_s=answer.retry_after_s,
    )
