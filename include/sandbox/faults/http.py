"""Which answers does TikTok give on a bad night that are no answers: errors, HTML, broken JSON?

Sources: reference "quirks from the wild" (504 with HTML, 500 in bursts, 500 with a valid body,
errors under 200) and "envelope" (errors without `data`, the bare error of TikTok's own page).
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, Response

from include.sandbox.faults.fault import DISPLAY, READS, Fault
from include.sandbox.wire.envelopes import UNREADABLE, DisplayError, SandboxAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from include.sandbox.faults.fault import Act, Hit

_TROUBLE = "Something is wrong. Please try again later."
_GATEWAY = {
    302: "Found",
    403: "Forbidden",
    404: "Not Found",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Time-out",
}

#: Undocumented codes, by the status they come with: a client can only go by the status.
UNKNOWN_CODES: Mapping[int, str] = {400: "account_under_review", 503: "service_overloaded"}

#: Longest wait that a `Retry-After` of a refusal out of turn asks for, in seconds.
_LONGEST_WAIT = 3

#: What an odd `Retry-After` asks for, in seconds.
_A_DAY = 86_400


@dataclasses.dataclass(slots=True)
class RawAnswer(SandboxAnswer):
    """An answer that is not the documented JSON.

    Attributes:
        text: Body.
        media_type: Its type.
    """

    text: str = ""
    media_type: str = "application/json"

    def response(self) -> Response:
        """The text as it is."""
        return Response(self.text, self.status, self.headers, self.media_type)


@dataclasses.dataclass(slots=True)
class HtmlAnswer(SandboxAnswer):
    """The page of a gateway in front of TikTok."""

    def response(self) -> Response:
        """A page like nginx's."""
        title = f"{self.status} {_GATEWAY[self.status]}"
        page = (
            f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
            f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n"
            "</body>\r\n</html>\r\n"
        )
        return HTMLResponse(page, self.status, self.headers)


def html(status: int, **headers: str) -> Act:
    """A gateway's page, with one of the statuses that have a title here."""
    return lambda _: HtmlAnswer(status, UNREADABLE, {}, dict(headers))


def refused(code: str, message: str) -> Act:
    """A documented error."""

    def act(hit: Hit) -> SandboxAnswer:
        error = DisplayError(code, message)
        return SandboxAnswer(error.status, code, error.body(hit.call.log_id))

    return act


def _error(hit: Hit, code: str = "internal_error") -> dict[str, Any]:
    return {"code": code, "message": _TROUBLE, "log_id": hit.call.log_id}


def _shaped(status: int, body: Callable[[Hit], Mapping[str, Any]]) -> Act:
    return lambda hit: SandboxAnswer(status, "internal_error", body(hit))


def _invalid_json(hit: Hit) -> SandboxAnswer:
    text = bytes(hit.answer().response().body).decode()
    broken = hit.rng.choice((text[:-1], text.replace('"', "'"), f"{text}<", "", "null,"))
    return RawAnswer(200, UNREADABLE, {}, text=broken)


def _unknown_code(hit: Hit, *statuses: int) -> SandboxAnswer:
    status = hit.rng.choice(statuses)
    code = UNKNOWN_CODES[status]
    return SandboxAnswer(status, code, {"data": {}, "error": _error(hit, code)})


def _valid_body_in_500(hit: Hit) -> SandboxAnswer | None:
    answer = hit.answer()
    return None if answer.code != "ok" else dataclasses.replace(answer, status=500)


def _missing_data(hit: Hit) -> SandboxAnswer | None:
    answer = hit.answer()
    if answer.code != "ok":
        return None
    body = {name: value for name, value in answer.body.items() if name != "data"}
    return dataclasses.replace(answer, body=body)


def _rate_limited(hit: Hit) -> SandboxAnswer | None:
    message = "The API rate limit was exceeded. Please try again later."
    answer = refused("rate_limit_exceeded", message)(hit)
    if answer is not None and hit.sandbox.settings.retry_after:
        answer.headers["Retry-After"] = str(hit.rng.randint(1, _LONGEST_WAIT))
    return answer


def _for_a_day(act: Act, *, as_date: bool) -> Act:
    def later(hit: Hit) -> SandboxAnswer | None:
        answer = act(hit)
        if answer is not None:
            end = format_datetime(
                datetime.fromtimestamp(hit.call.at + _A_DAY, timezone.utc), usegmt=True
            )
            answer.headers["Retry-After"] = end if as_date else str(_A_DAY)
        return answer

    return later


def _fault(text: str, act: Act, endpoints: tuple[str, ...] = DISPLAY) -> Fault:
    return Fault(text, endpoints, act, replaces=True)


def _any_api(text: str, act: Act) -> Fault:
    """What is not in the Display API's own words can strike the second API too."""
    return _fault(text, act, READS)


FAULTS: Mapping[str, Fault] = {
    "internal_error": _fault("500 internal_error", refused("internal_error", _TROUBLE)),
    "bad_gateway_html": _any_api("502 with a page of HTML", html(502)),
    "unavailable_html": _any_api("503 with a page of HTML", html(503)),
    "gateway_timeout_html": _any_api("504 with a page of HTML", html(504)),
    "forbidden_html": _any_api("403 with a page of HTML, as an edge or a proxy has it", html(403)),
    "forbidden_json": _any_api(
        "403 with a gateway's JSON, which is not TikTok's",
        lambda _: RawAnswer(403, UNREADABLE, {}, text='{"message": "Forbidden"}'),
    ),
    "not_found_html": _any_api("404 with a page of HTML", html(404)),
    "login_redirect": _any_api("302 to a login page", html(302, Location="/login")),
    "unavailable_for_a_day": _any_api(
        "503 with HTML and `Retry-After: 86400`", _for_a_day(html(503), as_date=False)
    ),
    "unavailable_until_tomorrow": _any_api(
        "503 with HTML and tomorrow's date as `Retry-After`", _for_a_day(html(503), as_date=True)
    ),
    "invalid_json": _any_api("200 with a body that is not JSON", _invalid_json),
    "error_in_200": _fault(
        "200 with internal_error in the body",
        _shaped(200, lambda hit: {"data": {}, "error": _error(hit)}),
    ),
    "error_without_data": _fault(
        "500 internal_error without `data`", _shaped(500, lambda hit: {"error": _error(hit)})
    ),
    "error_data_null": _fault(
        "500 internal_error with `data: null`",
        _shaped(500, lambda hit: {"data": None, "error": _error(hit)}),
    ),
    "bare_error": _fault("500 with code, message and log_id unwrapped", _shaped(500, _error)),
    "unknown_code": _fault(
        "an undocumented error.code, with 400 or 503",
        lambda hit: _unknown_code(hit, 400, 503),
    ),
    "unknown_code_400": _fault(
        f"400 {UNKNOWN_CODES[400]}, which is undocumented", lambda hit: _unknown_code(hit, 400)
    ),
    "unknown_code_503": _fault(
        f"503 {UNKNOWN_CODES[503]}, which is undocumented", lambda hit: _unknown_code(hit, 503)
    ),
    "valid_body_in_500": _any_api("500 with the true body", _valid_body_in_500),
    "missing_data": _any_api("200 ok without `data`", _missing_data),
    "rate_limited": _fault("429 rate_limit_exceeded out of turn", _rate_limited),
    "rate_limited_for_a_day": _fault(
        "429 rate_limit_exceeded with `Retry-After: 86400`",
        _for_a_day(_rate_limited, as_date=False),
    ),
    "rate_limited_until_tomorrow": _fault(
        "429 rate_limit_exceeded with tomorrow's date as `Retry-After`",
        _for_a_day(_rate_limited, as_date=True),
    ),
    "token_rejected": _fault(
        "401 access_token_invalid for a token that is alive",
        refused("access_token_invalid", "The access token is invalid or not found in the request."),
    ),
    "scope_refused": _fault(
        "401 scope_not_authorized, whatever was granted",
        refused(
            "scope_not_authorized",
            "The user did not authorize the scope required for completing this request.",
        ),
    ),
}
