"""What does an answer mean? One table from status, code and exception to what happens next.

Sources: developers.tiktok.com "Error Handling" (v2 API) and "OAuth Error Handling". The HTTP status
alone is not enough: two different refusals share 401, errors have been seen with 200 and good data
with 500. So the code in the body is read first, and the status only for undocumented codes. An
answer that is not TikTok's JSON says nothing about the request: it came from something in between.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from requests import exceptions as http

from include.tiktok_sync.errors import (
    ConfigurationError,
    FatalError,
    ListingError,
    MissingScopeError,
    NeedsConsentError,
    RateLimitedError,
    RetriableError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.tiktok.values import clean_text

HTTP_OK = 200
HTTP_REDIRECT = 300
HTTP_BAD_REQUEST = 400
HTTP_NOT_FOUND = 404
HTTP_NOT_ALLOWED = 405
HTTP_REQUEST_TIMEOUT = 408
HTTP_GONE = 410
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
    """What to do, and the error to raise if that does not help.

    Attributes:
        action: The client's next step.
        error: Class of the error once the step is exhausted.
        message: For the person: cause and next step.
        engineer: For the engineer: what is known about this answer.
    """

    action: Action
    error: type[SyncError] = SyncError
    message: str = ""
    engineer: str = ""

    def as_error(
        self, *, detail: str, log_id: object = None, retry_after_s: float | None = None
    ) -> SyncError:
        """The error to raise, with the answer's text, cleaned so that a database accepts it."""
        detail = clean_text(f"{detail} ({self.engineer})" if self.engineer else detail)
        log_id = clean_text(log_id) if isinstance(log_id, str) else None
        if issubclass(self.error, RetriableError):
            return self.error(
                self.message, retry_after_s=retry_after_s, detail=detail, log_id=log_id
            )
        return self.error(self.message, detail=detail, log_id=log_id)


UNAVAILABLE = Meaning(
    Action.RETRY,
    TikTokUnavailableError,
    "TikTok had trouble of its own and did not answer usefully. It is tried again while the run has"
    " tries left; if it still fails then, sync the store again once TikTok has recovered.",
    "5xx come in bursts of minutes to hours and say nothing about the request",
)
RATE_LIMITED = Meaning(
    Action.WAIT,
    RateLimitedError,
    "TikTok answered 429 (too many calls) although calls are spaced."
    " Lower TIKTOK_RATE_LIMIT_PER_MINUTE if another program uses the same TikTok app.",
    "the limit is per app and endpoint; no Retry-After is documented",
)
MISSING_SCOPE = Meaning(
    Action.FAIL,
    MissingScopeError,
    "The store's grant does not cover what was asked. Its manager must connect the account again"
    " and allow every permission.",
    "one field outside the granted scopes refuses the whole call; a refresh does not help",
)
REFUSED = Meaning(
    Action.FAIL,
    FatalError,
    "TikTok refuses the request as this version writes it. The API may have changed;"
    " report it with the log_id.",
    "the request itself is at fault: compare fields and body with TikTok's reference",
)
_MALFORMED = Meaning(
    Action.RETRY,
    TikTokUnavailableError,
    "TikTok's answer could not be read (not the documented JSON). It is tried again while the run"
    " has tries left; if it persists, see whether a proxy answers in TikTok's place.",
    "a success without the envelope: a gateway's page, or a body that was cut",
)
_IN_BETWEEN = Meaning(
    Action.RETRY,
    TikTokUnavailableError,
    "Something between here and TikTok refused the call: a proxy, a firewall or the edge of"
    " TikTok's network. It is tried again while the run has tries left; if it persists, ask the"
    " network's administrator whether TikTok may be called from here (HTTPS_PROXY, allowed"
    " addresses).",
    "a 4xx without TikTok's JSON did not come from TikTok's API",
)
WRONG_PLACE = Meaning(
    Action.RETRY,
    TikTokUnavailableError,
    "There is no TikTok API at the address that was called: either TIKTOK_API_URL (the host of the"
    " connection tiktok_default) is wrong, or something in between (a proxy, a login page) answers"
    " in TikTok's place. It is tried again while the run has tries left; if it persists, check the"
    " address first.",
    "a redirect, or 404, 405 or 410 without TikTok's JSON; redirects are not followed",
)
_CURSOR_REJECTED = Meaning(
    Action.RETRY,
    ListingError,
    "TikTok rejects a position in the list of videos that it gave itself. The next try starts"
    " again from the newest video.",
    "seen as 400 invalid_params 'Invalid count or cursor'; the same call usually works later",
)

API_CODES: Mapping[str, Meaning] = {
    "access_token_invalid": Meaning(
        Action.REFRESH,
        FatalError,
        "TikTok rejects the store's access token even after a refresh. Connect the account again"
        " if this persists.",
        "a token refreshed seconds ago was refused",
    ),
    "user_not_found": Meaning(
        Action.FAIL,
        FatalError,
        "TikTok does not find the store's account: it was removed, banned or renamed. Ask the"
        " store's manager, then connect the account again.",
        "undocumented code",
    ),
    "scope_not_authorized": MISSING_SCOPE,
    "scope_permission_missed": MISSING_SCOPE,
    "invalid_params": REFUSED,
    "invalid_param": REFUSED,
    "invalid_request": REFUSED,
    "rate_limit_exceeded": RATE_LIMITED,
    "internal_error": UNAVAILABLE,
    "timeout": UNAVAILABLE,
}
"""``error.code`` of the data endpoints: the documented list, and what else was seen there."""

CURSOR_CODES = frozenset({"invalid_params", "invalid_param", "invalid_request"})
"""``error.code`` values that refuse the cursor if one was sent."""

_WRONG_APP = Meaning(
    Action.FAIL,
    ConfigurationError,
    "TikTok does not accept the app's credentials. Check the client key (login) and client secret"
    " (password) of the connection tiktok_default, or TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET.",
    "about the app, never about a store",
)

_REFRESH_LIMITED = Meaning(
    Action.FAIL,
    RateLimitedError,
    "TikTok answered 429 (too many calls) to a token refresh. It is tried again while the run has"
    " tries left; if it persists, see what else refreshes tokens of the same TikTok app.",
    "no limit is documented for this endpoint, so calls of it are not spaced",
)

OAUTH_ERRORS: Mapping[str, Meaning] = {
    "invalid_grant": Meaning(
        Action.FAIL,
        NeedsConsentError,
        "The store's grant has ended at TikTok. Its manager must connect the account again.",
        "the refresh token was revoked, has ended, or was used up by a refresh nobody stored",
    ),
    "access_denied": _WRONG_APP,
    "invalid_client": _WRONG_APP,
    "unauthorized_client": _WRONG_APP,
    "invalid_request": REFUSED,
    "invalid_scope": REFUSED,
    "unsupported_grant_type": REFUSED,
    "unsupported_response_type": REFUSED,
    "server_error": UNAVAILABLE,
    "temporarily_unavailable": UNAVAILABLE,
    "internal_error": UNAVAILABLE,
    "timeout": UNAVAILABLE,
    "rate_limit_exceeded": _REFRESH_LIMITED,
}
"""``error`` of the OAuth endpoints, then what their host says in the data endpoints' form."""


def _unreached(cause: str) -> Meaning:
    message = (
        f"TikTok at {{url}} cannot be reached: {cause}. Check {{setting}} and the network if"
        " this persists."
    )
    return Meaning(Action.RETRY, TikTokUnavailableError, message)


_NO_ADDRESS = Meaning(
    Action.FAIL,
    ConfigurationError,
    "{setting} is {url}, which is not a web address (https://open.tiktokapis.com).",
)

EXCEPTIONS: Mapping[type[Exception], Meaning] = {
    http.SSLError: _unreached("the encrypted connection failed (certificate, proxy or clock)"),
    http.ProxyError: _unreached("the proxy in between refused (HTTPS_PROXY)"),
    http.ConnectTimeout: _unreached("no connection within the time allowed"),
    http.ReadTimeout: _unreached("it accepted the call and then stayed silent"),
    http.ChunkedEncodingError: _unreached("the answer was cut short"),
    http.ContentDecodingError: _unreached("the answer was damaged"),
    http.ConnectionError: _unreached("the connection was refused or broke"),
    **dict.fromkeys((http.InvalidURL, http.MissingSchema, http.InvalidSchema), _NO_ADDRESS),
}
"""Exceptions of the HTTP library, by the nearest of their classes listed here; ``{url}`` in a
message stands for TikTok's base URL, ``{setting}`` for the variable that it comes from."""


def api_code(said: Mapping[str, Any]) -> str | None:
    """The code of a data endpoint's ``error``, if that is TikTok's.

    A gateway may answer with a ``code`` of its own; TikTok never leaves the ``log_id`` out.
    """
    return _name(said, "code", {"ok", *API_CODES})


def oauth_error(said: Mapping[str, Any]) -> str | None:
    """The ``error`` of what :func:`oauth_said` found, if it is TikTok's; see :func:`api_code`."""
    return _name(said, "error", {"ok", *OAUTH_ERRORS})


def oauth_said(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """``error``, ``error_description`` and ``log_id`` of an OAuth answer.

    That is its documented form. Before a call gets there, TikTok's gateway may answer in the data
    endpoints' form: ``code``, ``message`` and ``log_id``, within ``error`` or bare. Without the
    ``log_id`` that is a proxy's form too, whose ``access_denied`` says nothing about the app.
    """
    inner = body.get("error", body)
    if not isinstance(inner, dict) or "log_id" not in inner:
        return body
    names = {"error": "code", "error_description": "message", "log_id": "log_id"}
    return {ours: inner.get(theirs) for ours, theirs in names.items()}


def _name(said: Mapping[str, Any], key: str, known: Container[str]) -> str | None:
    name = said.get(key)
    if not isinstance(name, str):
        return None
    return name if name in known or "log_id" in said else None


def meaning_of_api_answer(status: int, code: str | None, *, with_cursor: bool = False) -> Meaning:
    """What an answer of a data endpoint means.

    Args:
        status: HTTP status.
        code: As :func:`api_code` finds it.
        with_cursor: Whether the call sent a cursor that TikTok had given.
    """
    if with_cursor and code in CURSOR_CODES:
        return _CURSOR_REJECTED
    if code is not None and code in API_CODES:
        return API_CODES[code]
    if code == "ok":
        return Meaning(Action.USE)
    return meaning_of_status(status, is_tiktoks=code is not None)


def meaning_of_oauth_answer(status: int, error: str | None) -> Meaning:
    """What an OAuth answer without an ``access_token`` means; ``error``: :func:`oauth_error`."""
    if error is not None and error in OAUTH_ERRORS:
        return OAUTH_ERRORS[error]
    if status == HTTP_TOO_MANY_REQUESTS:
        return _REFRESH_LIMITED
    return meaning_of_status(status, is_tiktoks=error not in {None, "ok"})


def meaning_of_exception(error: Exception, url: str, setting: str = "TIKTOK_API_URL") -> Meaning:
    """What it means that there was no answer from ``url``, or no whole one.

    ``setting`` is the variable that the address comes from.
    """
    named = (kind for kind in type(error).__mro__ if kind in EXCEPTIONS)
    meaning = EXCEPTIONS[next(named, http.ConnectionError)]
    return replace(meaning, message=meaning.message.format(url=url, setting=setting))


def meaning_of_status(status: int, *, is_tiktoks: bool) -> Meaning:
    """What an answer means that only its status tells; ``is_tiktoks``: it is TikTok's JSON."""
    if status == HTTP_TOO_MANY_REQUESTS:
        return RATE_LIMITED
    if status >= HTTP_SERVER_ERROR or status == HTTP_REQUEST_TIMEOUT:
        return UNAVAILABLE
    if is_tiktoks:
        return REFUSED
    if status < HTTP_REDIRECT:
        return _MALFORMED
    if status < HTTP_BAD_REQUEST or status in (HTTP_NOT_FOUND, HTTP_NOT_ALLOWED, HTTP_GONE):
        return WRONG_PLACE
    return _IN_BETWEEN
