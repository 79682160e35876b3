"""One HTTP exchange with TikTok: time-outs, a size cap, and failures as our errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from threading import Thread
from typing import Any

import requests
from requests import exceptions
from requests.auth import AuthBase
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import TikTokUnavailableError, bounded_wait
from include.tiktok_sync.tiktok.bounded_headers import BoundedHeadersAdapter
from include.tiktok_sync.tiktok.meanings import Meaning, meaning_of_exception

MAX_BODY_BYTES = 16 * 1024 * 1024
"""A page of 20 videos is some 60 KB; far above that something other than TikTok answers."""


@dataclass(frozen=True)
class Timeouts:
    """Time-outs of a call, in seconds.

    Attributes:
        connect_s: For a connection.
        read_s: For an answer: to begin, and again to be complete.
        longest_s: The maximum to which ``read_s`` grows for a patient call, doubling each time.
    """

    connect_s: float = 5.0
    read_s: float = 30.0
    longest_s: float = 120.0

    @property
    def longest_call_s(self) -> float:
        """The most that a call may take if it is not patient: its last read begins just in time."""
        return self.connect_s + 2 * self.read_s


class NoAnswerInTimeError(TikTokUnavailableError):
    """TikTok accepted the call but did not answer in time.

    Attributes:
        is_last: The time-out does not grow any further.
    """

    is_last = False


@dataclass(frozen=True)
class Answer:
    """TikTok's answer.

    Attributes:
        status: HTTP status.
        body: The JSON object, or ``None`` when the body is anything else.
        retry_after_s: ``Retry-After``, bounded; ``None`` = absent, unreadable or past.
        observed_at: When the answer was complete (UTC).
    """

    status: int
    body: Mapping[str, Any] | None = field(repr=False)
    retry_after_s: float | None
    observed_at: datetime


class BearerAuth(AuthBase):
    """Bearer header set by ``requests`` itself, so that a ``.netrc`` cannot replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign the request."""
        r.headers["Authorization"] = header_text(f"Bearer {self._token}")
        return r


def header_text(text: str) -> str:
    """A text to be sent in a header, as the bytes of UTF-8, which every token has."""
    return text.encode().decode("latin-1")  # what a header is encoded as


@dataclass
class _Patience:
    seconds: float


class HttpTransport:
    """One ``requests.Session`` to one host, kept for the lifetime of a task.

    The first call of :meth:`start` opens a second one.

    Args:
        base_url: Scheme, host and port, without a trailing slash.
        timeouts: See :class:`Timeouts`.
        sign: How a token is sent.
        setting: The variable that ``base_url`` comes from, for messages.
    """

    def __init__(
        self,
        base_url: str,
        timeouts: Timeouts | None = None,
        *,
        sign: Callable[[str], AuthBase] = BearerAuth,
        setting: str = "TIKTOK_API_URL",
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._sign, self._setting = sign, setting
        self._timeouts = timeouts or Timeouts()
        self._patience = _Patience(self._timeouts.read_s)
        self._session = requests.Session()
        adapter = BoundedHeadersAdapter(pool_connections=1, pool_maxsize=1)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._second: HttpTransport | None = None
        self._is_second_busy: Callable[[], bool] = lambda: False

    def close(self) -> None:
        """Close the connections; an answer that is still under way is not waited for."""
        if self._second is not None:
            self._second.close()
        self._session.close()

    def start(self, method: str, path: str, **kwargs: Any) -> Callable[[], Answer]:
        """Send one request in a second thread; see :meth:`send`.

        Returns:
            Waits for the answer, or raises what sending it raised.
        """
        if self._second is None or self._is_second_busy():
            # A session is not safe to share between threads, and the call must go now.
            self._second = HttpTransport(
                self._base_url, self._timeouts, sign=self._sign, setting=self._setting
            )
            self._second._patience = self._patience  # noqa: SLF001 - of this class
        answer: Future[Answer] = Future()
        self._is_second_busy = lambda: not answer.done()
        send = partial(self._second.send, method, path, **kwargs)
        Thread(target=_complete, args=(answer, send), name="second call", daemon=True).start()
        return answer.result

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        params: Mapping[str, str] | None = None,
        json_body: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        within_s: float | None = None,
    ) -> Answer:
        """Send one request and read the whole answer.

        Args:
            method: HTTP method.
            path: Path below the base URL.
            token: Access token.
            params: Query.
            json_body: Body as JSON.
            form: Body as a form.
            within_s: The call is patient: if an answer did not come in time, this and every later
                patient call waits longer, up to ``longest_s``, but never longer than these
                seconds. ``None`` = always ``read_s``, and ``Timeouts.longest_call_s`` at most.

        Raises:
            NoAnswerInTimeError: No answer in time, or not all of it.
            TikTokUnavailableError: No answer, an answer cut short, or one over the size cap.
            ConfigurationError: The base URL is invalid.
        """
        patience_s = self._timeouts.read_s
        if within_s is not None:
            patience_s = min(self._patience.seconds, max(within_s, 0.001))
        detail = f"{method} {path}"
        sent_at = time.monotonic()
        try:
            with self._session.request(
                method,
                self._base_url + path,
                params=params,
                json=json_body,
                data=form,
                auth=self._sign(token) if token else None,
                timeout=(self._timeouts.connect_s, patience_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                until = time.monotonic() + patience_s
                if within_s is None:
                    until = min(until, sent_at + self._timeouts.connect_s + patience_s)
                raw = _read(response, until)
        except exceptions.ReadTimeout as error:
            raise self._not_in_time(error, detail, patience_s, within_s) from None
        except requests.RequestException as error:
            # The exception's text can hold the URL with its query; the class says enough.
            detail = f"{detail}: {type(error).__name__}"
            raise self._meaning(error).as_error(detail=detail) from None
        return Answer(
            status=response.status_code,
            body=_json_object(raw),
            retry_after_s=_retry_after(response.headers),
            observed_at=utc_now(),
        )

    def _meaning(self, error: Exception) -> Meaning:
        return meaning_of_exception(error, self._base_url, self._setting)

    def _not_in_time(
        self, error: exceptions.ReadTimeout, detail: str, patience_s: float, within_s: float | None
    ) -> NoAnswerInTimeError:
        meaning = self._meaning(error)
        found = NoAnswerInTimeError(
            meaning.message, detail=f"{detail}: nothing, or not all of it, in {patience_s:g} s"
        )
        if within_s is not None:
            found.is_last = patience_s >= min(self._timeouts.longest_s, within_s)
            longer_s = min(2 * patience_s, self._timeouts.longest_s)
            self._patience.seconds = max(self._patience.seconds, longer_s)
        return found


def _complete(answer: Future[Answer], send: Callable[[], Answer]) -> None:
    try:
        answer.set_result(send())
    except BaseException as error:  # noqa: BLE001 - raised where the answer is waited for
        answer.set_exception(error)


def _read(response: requests.Response, until: float) -> bytes:
    """The whole body; ``until`` (monotonic) also bounds a body that trickles in."""
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := response.raw.read1(64 * 1024, decode_content=True):
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                message = f"TikTok's answer is larger than {MAX_BODY_BYTES} bytes."
                raise TikTokUnavailableError(message)
            if time.monotonic() > until:
                raise exceptions.ReadTimeout
            chunks.append(chunk)
    except ReadTimeoutError:
        raise exceptions.ReadTimeout from None
    except DecodeError:
        raise exceptions.ContentDecodingError from None
    except HTTPError:
        raise exceptions.ChunkedEncodingError from None
    return b"".join(chunks)


def _json_object(raw: bytes) -> Mapping[str, Any] | None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds as in RFC 9110 (10.2.3): a number, or a date by the clock of the server."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return bounded_wait(float(text))
    at = _http_date(text)
    if at is None:
        return None
    sent = _http_date(headers.get("Date", "")) or utc_now()
    return bounded_wait((at - sent).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)
