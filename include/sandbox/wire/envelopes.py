"""What does an answer look like: envelopes, flat OAuth bodies, errors and log ids."""

from __future__ import annotations

import dataclasses
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

#: Display `error.code` -> HTTP status (TikTok page "API v2 error handling").
DISPLAY_STATUS: Mapping[str, int] = {
    "access_token_invalid": 401,
    "scope_not_authorized": 401,
    "invalid_params": 400,
    "rate_limit_exceeded": 429,
    "internal_error": 500,
}

#: In the place of a code, for an answer that no client can read one from.
UNREADABLE = "unreadable"

#: Recorded log ids carry UTC+8, not UTC: a client must not read them as a clock.
_LOG_ID_OFFSET = 8 * 3_600


@dataclasses.dataclass(slots=True)
class SandboxAnswer:
    """One answer before it is sent.

    Attributes:
        status: HTTP status; 0 if nothing is sent.
        code: `ok`, `error.code` or OAuth `error`, for the request log; `UNREADABLE`, `no_answer`.
        body: JSON body.
        headers: Extra headers.
    """

    status: int
    code: str
    body: Mapping[str, Any]
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def response(self) -> Response:
        """The answer as it goes out; a subclass may send something else."""
        return JSONResponse(self.body, self.status, self.headers)


class WireError(Exception, ABC):
    """A refusal that TikTok would send.

    Attributes:
        status: HTTP status.
        code: `error.code` or OAuth `error`.
        message: Text for people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message

    @abstractmethod
    def body(self, log_id: str) -> dict[str, Any]:
        """The JSON body of the refusal."""


class DisplayError(WireError):
    """A refusal of a Display endpoint: an `error` object with an empty `data`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(DISPLAY_STATUS[code], code, message)

    def body(self, log_id: str) -> dict[str, Any]:
        """`{"data": {}, "error": {code, message, log_id}}`."""
        error = {"code": self.code, "message": self.message, "log_id": log_id}
        return {"data": {}, "error": error}


class OAuthError(WireError):
    """A refusal of an OAuth endpoint: flat (TikTok page "OAuth error handling").

    The statuses are not documented; 401 for a wrong client and 400 for the rest is what most
    recorded answers have. A client should go by the body.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(401 if code == "invalid_client" else 400, code, message)

    def body(self, log_id: str) -> dict[str, Any]:
        """`{"error", "error_description", "log_id"}`."""
        return {"error": self.code, "error_description": self.message, "log_id": log_id}


class LogIds:
    """Makes `log_id`s: 34 characters, `YYYYMMDDhhmmss` and 20 hex digits, as recorded."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._second = 0
        self._prefix = ""

    def make(self, now: float) -> str:
        """A fresh id for a time in epoch seconds."""
        second = int(now)
        if second != self._second:
            self._second = second
            moment = time.gmtime(second + _LOG_ID_OFFSET)
            self._prefix = time.strftime("%Y%m%d%H%M%S", moment)
        return f"{self._prefix}{self._rng.getrandbits(80):020X}"


def display_ok(data: Mapping[str, Any], log_id: str) -> SandboxAnswer:
    """A Display success: `error` is there too, with code `ok`."""
    error = {"code": "ok", "message": "", "log_id": log_id}
    return SandboxAnswer(200, "ok", {"data": data, "error": error})
