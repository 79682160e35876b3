"""What does an answer mean? One table from status and code to what the client does next.

Sources: developers.tiktok.com "Error Handling" (v2 API) and "OAuth Error Handling". HTTP status
alone does not tell: two different refusals share 401, and the OAuth endpoints have been seen to
answer errors with 200, so the code in the body is read first and the status only for codes that
nobody has documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from include.tiktok_sync.errors import (
    ConfigurationError,
    FatalError,
    MissingScopeError,
    NeedsConsentError,
    RateLimitedError,
    RetriableError,
    SyncError,
    TikTokUnavailableError,
)

HTTP_OK = 200
HTTP_TOO_MANY_REQUESTS = 429
HTTP_SERVER_ERROR = 500


class Action(Enum):
    """What the client does with an answer."""

    USE = "use the data"
    RETRY = "try again in seconds"
    WAIT = "pause the endpoint for everyone, then try again"
    REFRESH = "refresh the token once, then try again"
    FAIL = "give up this call"


@dataclass(frozen=True)
class Meaning:
    """What to do, and the error to raise where doing it does not help.

    Attributes:
        action: The client's next step.
        error: Class of the error once the step is exhausted.
        message: For the person: cause and next step.
    """

    action: Action
    error: type[SyncError] = SyncError
    message: str = ""

    def as_error(
        self, *, detail: str, log_id: str | None, retry_after_s: float | None
    ) -> SyncError:
        """The error to raise, with what the answer said."""
        if issubclass(self.error, RetriableError):
            return self.error(
                self.message, retry_after_s=retry_after_s, detail=detail, log_id=log_id
            )
        return self.error(self.message, detail=detail, log_id=log_id)


_UNAVAILABLE = Meaning(
    Action.RETRY,
    TikTokUnavailableError,
    "TikTok had trouble of its own and did not answer usefully. Nothing to do; it is tried again.",
)
_RATE_LIMITED = Meaning(
    Action.WAIT,
    RateLimitedError,
    "TikTok answered 429 (too many calls) although calls are spaced."
    " Lower TIKTOK_RATE_LIMIT_PER_MINUTE if another program uses the same TikTok app.",
)
_MISSING_SCOPE = Meaning(
    Action.FAIL,
    MissingScopeError,
    "The store's grant does not cover what was asked. Its manager must connect the account again"
    " and allow every permission.",
)
_REFUSED = Meaning(
    Action.FAIL,
    FatalError,
    "TikTok refuses the request as this version writes it. The API may have changed;"
    " report it with the log_id.",
)
_MALFORMED = Meaning(
    Action.RETRY,
    TikTokUnavailableError,
    "TikTok's answer could not be read (not the documented JSON).",
)

API_CODES: Mapping[str, Meaning] = {
    "access_token_invalid": Meaning(
        Action.REFRESH,
        FatalError,
        "TikTok rejects the store's access token even after a refresh. Connect the account again"
        " if this persists.",
    ),
    "scope_not_authorized": _MISSING_SCOPE,
    "scope_permission_missed": _MISSING_SCOPE,
    "invalid_params": _REFUSED,
    "invalid_param": _REFUSED,
    "invalid_request": _REFUSED,
    "rate_limit_exceeded": _RATE_LIMITED,
    "internal_error": _UNAVAILABLE,
    "timeout": _UNAVAILABLE,
}
"""``error.code`` of the data endpoints (the last four singular/odd ones: TikTok's own wrapper)."""

_WRONG_APP = Meaning(
    Action.FAIL,
    ConfigurationError,
    "TikTok does not accept the app's credentials. Check the client key (login) and client secret"
    " (password) of the connection tiktok_default, or TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET.",
)

OAUTH_ERRORS: Mapping[str, Meaning] = {
    "invalid_grant": Meaning(
        Action.FAIL,
        NeedsConsentError,
        "The store's grant has ended at TikTok. Its manager must connect the account again.",
    ),
    "access_denied": _WRONG_APP,
    "invalid_client": _WRONG_APP,
    "unauthorized_client": _WRONG_APP,
    "invalid_request": _REFUSED,
    "invalid_scope": _REFUSED,
    "unsupported_grant_type": _REFUSED,
    "unsupported_response_type": _REFUSED,
    "server_error": _UNAVAILABLE,
    "temporarily_unavailable": _UNAVAILABLE,
}
"""``error`` of the OAuth endpoints."""


def meaning_of_api_answer(status: int, code: str | None) -> Meaning:
    """What an answer of a data endpoint means.

    Args:
        status: HTTP status.
        code: ``error.code``; ``None`` when the body is not the documented envelope.
    """
    if code is not None and code in API_CODES:
        return API_CODES[code]
    if status == HTTP_OK and code == "ok":
        return Meaning(Action.USE)
    if status == HTTP_OK and code is None:
        return _MALFORMED
    return _meaning_of_status(status)


def meaning_of_oauth_answer(status: int, error: str | None) -> Meaning:
    """What an OAuth answer without an ``access_token`` means; ``error`` as in its body."""
    if error is not None and error in OAUTH_ERRORS:
        return OAUTH_ERRORS[error]
    if status == HTTP_OK and error is None:
        return _MALFORMED
    return _meaning_of_status(status)


def _meaning_of_status(status: int) -> Meaning:
    if status == HTTP_TOO_MANY_REQUESTS:
        return _RATE_LIMITED
    if status >= HTTP_SERVER_ERROR:
        return _UNAVAILABLE
    return _REFUSED
