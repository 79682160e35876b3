"""What does an answer of the second API look like?

Page "Return codes": HTTP 200 with a number in `code`, `message`, `request_id` and `data`, which is
empty or absent in an error (reference: Accounts API, 2.1 and 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from include.sandbox.wire.envelopes import SandboxAnswer, WireError

if TYPE_CHECKING:
    from collections.abc import Mapping

MISSING = 40_002
NO_SCOPE = 40_001
TOO_MANY = 40_100
BAD_CLIENT = 40_101
TOKEN_EXPIRED = 40_102
REFRESH_EXPIRED = 40_103
NO_TOKEN = 40_104
BAD_TOKEN = 40_105
BAD_REFRESH = 40_107
BAD_GRANT_TYPE = 40_108
BAD_CODE = 40_110
WRONG_APP = 40_113

#: Texts as TikTok has them where one was recorded.
MESSAGES: Mapping[int, str] = {
    TOO_MANY: "Due to too many requests, requests from App are temporarily restricted.",
    BAD_CLIENT: "Invalid client_id or client_secret.",
    TOKEN_EXPIRED: "Access token expired.",
    REFRESH_EXPIRED: "Refresh token expired.",
    NO_TOKEN: "Access token is null, you should set it in http header with key Access-Token.",
    BAD_TOKEN: "Access token is incorrect or has been revoked.",
    BAD_REFRESH: "Refresh token is invalid.",
    BAD_GRANT_TYPE: "Invalid value for grant_type.",
    BAD_CODE: "Authorization code is expired",
    WRONG_APP: "The app_id is inconsistent with the token's app information.",
}

#: What a refusal says when it is about calls a second.
QPS_MESSAGE = "App reaches the QPS limit."


class BusinessError(WireError):
    """A refusal: HTTP 200 with a code.

    Args:
        number: The code.
        message: Its text, None for the usual one.
    """

    def __init__(self, number: int, message: str | None = None) -> None:
        super().__init__(200, str(number), MESSAGES[number] if message is None else message)

    def body(self, log_id: str) -> dict[str, Any]:
        """`{"code", "message", "request_id"}`, half of the time with an empty `data`."""
        body: dict[str, Any] = {
            "code": int(self.code),
            "message": self.message,
            "request_id": log_id,
        }
        return body | {"data": {}} if int(log_id[-1], 16) % 2 else body


def business_ok(data: Mapping[str, Any], log_id: str) -> SandboxAnswer:
    """A success."""
    body = {"code": 0, "message": "OK", "request_id": log_id, "data": data}
    return SandboxAnswer(200, "ok", body)


def refuse(number: int, message: str | None = None) -> NoReturn:
    """Ends the call.

    Raises:
        BusinessError: Always.
    """
    raise BusinessError(number, message)


def answer_of(error: BusinessError, log_id: str) -> SandboxAnswer:
    """A refusal as it is sent."""
    return SandboxAnswer(error.status, error.code, error.body(log_id))
