"""One HTTP exchange with TikTok: time-outs, a size cap, and failures as our errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from include.tiktok_sync.errors import TikTokUnavailableError
from include.tiktok_sync.meanings import meaning_of_exception

MAX_BODY_BYTES = 16 * 1024 * 1024
"""A page of 20 videos is some 60 KB; far above that something other than TikTok answers."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait for a connection, and for each read of an answer."""

    connect_s: float = 5.0
    read_s: float = 30.0


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP status.
        body: The JSON object, or ``None`` when the body is anything else.
        retry_after_s: ``Retry-After`` in seconds, when sent as a number.
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
        r.headers["Authorization"] = f"Bearer {self._token}"
        return r


class HttpTransport:
    """One ``requests.Session`` to one host, kept for a task's whole life.

    Args:
        base_url: Scheme, host and port, without a trailing slash.
        timeouts: See :class:`Timeouts`.
    """

    def __init__(self, base_url: str, timeouts: Timeouts | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeouts = timeouts or Timeouts()
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        params: Mapping[str, str] | None = None,
        json_body: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read the whole answer.

        Raises:
            TikTokUnavailableError: No answer, an answer cut short, or one over the size cap.
            ConfigurationError: The base URL is none.
        """
        try:
            with self._session.request(
                method,
                self._base_url + path,
                params=params,
                json=json_body,
                data=form,
                auth=BearerAuth(token) if token else None,
                timeout=(self._timeouts.connect_s, self._timeouts.read_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                raw = self._read(response)
        except requests.RequestException as error:
            # The exception's text can hold the URL with its query; the class says enough.
            detail = f"{method} {path}: {type(error).__name__}"
            raise meaning_of_exception(error, self._base_url).as_error(detail=detail) from None
        return Answer(
            status=response.status_code,
            body=_json_object(raw),
            retry_after_s=_seconds(response.headers.get("Retry-After")),
            observed_at=datetime.now(timezone.utc),
        )

    @staticmethod
    def _read(response: requests.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_content(64 * 1024):
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                message = f"TikTok's answer is larger than {MAX_BODY_BYTES} bytes."
                raise TikTokUnavailableError(message)
            chunks.append(chunk)
        return b"".join(chunks)


def _json_object(raw: bytes) -> Mapping[str, Any] | None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None
