"""What goes wrong when tokens are refreshed?

Sources: reference "refresh facts" and "OAuth errors": errors under 200 were recorded, statuses
vary, and an answer that is lost after the rotation leaves the store with a token nobody knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.sandbox.faults.fault import BOTH_REFRESH, DISPLAY, REFRESH, Fault
from include.sandbox.faults.http import html, refused
from include.sandbox.faults.transport import SLOW_SECONDS, slow
from include.sandbox.wire.connection import no_answer
from include.sandbox.wire.envelopes import OAuthError, SandboxAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.sandbox.faults.fault import Act, Hit

_REJECTED = refused(
    "access_token_invalid", "The access token is invalid or not found in the request."
)


def _error(status: int, code: str, message: str) -> Act:
    def act(hit: Hit) -> SandboxAnswer:
        body = OAuthError(code, message).body(hit.call.log_id)
        return SandboxAnswer(
            status, code, body, {"Cache-Control": "no-store", "Pragma": "no-cache"}
        )

    return act


def _answer_lost(hit: Hit) -> SandboxAnswer | None:
    # A refusal rotates nothing, so its loss would prove nothing.
    return no_answer() if hit.answer().code == "ok" else None


_DEAD = _error(400, "invalid_grant", "Refresh token is invalid or expired.")


def _grant_revoked(hit: Hit) -> SandboxAnswer | None:
    return _DEAD(hit) if hit.call.endpoint in REFRESH else _REJECTED(hit)


_TROUBLE = "Something went wrong. Please try again later."

FAULTS: Mapping[str, Fault] = {
    "oauth_error_in_200": Fault(
        "refresh: 200 with server_error in the body",
        REFRESH,
        _error(200, "server_error", _TROUBLE),
        replaces=True,
    ),
    "oauth_server_error": Fault(
        "refresh: 500 server_error", REFRESH, _error(500, "server_error", _TROUBLE), replaces=True
    ),
    "oauth_unavailable_html": Fault(
        "refresh: 503 with a page of HTML", BOTH_REFRESH, html(503), replaces=True
    ),
    "oauth_forbidden_html": Fault(
        "refresh: 403 with a page of HTML", BOTH_REFRESH, html(403), replaces=True
    ),
    "oauth_answer_lost": Fault(
        "refresh: tokens rotated, then the connection reset",
        BOTH_REFRESH,
        _answer_lost,
        replaces=True,
    ),
    "oauth_slow": Fault(
        f"refresh: tokens rotated, the answer `seconds` late ({SLOW_SECONDS:g})", BOTH_REFRESH, slow
    ),
    "oauth_invalid_client": Fault(
        "refresh: 401 invalid_client",
        REFRESH,
        _error(401, "invalid_client", "Client key or secret is incorrect."),
        replaces=True,
    ),
    "grant_revoked": Fault(
        "the store's grant has ended: 401 everywhere, refresh: 400 invalid_grant",
        (*DISPLAY, *REFRESH),
        _grant_revoked,
        replaces=True,
    ),
}
