"""What does a code of the Accounts API mean? One table from code to what happens next.

Sources: business-api.tiktok.com, "Return codes" (1737172488964097) and TikTok's SDK
(tiktok_code.py); which of them the Accounts endpoints have been seen to send: docs/behavior.md.
Errors come with HTTP 200 and a ``code``; a 4xx or 5xx did not reach the API. The status is only
read where no code of TikTok's came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from include.tiktok_sync.errors import (
    ConfigurationError,
    FatalError,
    NeedsConsentError,
    RateLimitedError,
)
from include.tiktok_sync.tiktok.meanings import (
    HTTP_TOO_MANY_REQUESTS,
    MISSING_SCOPE,
    REFUSED,
    UNAVAILABLE,
    WRONG_PLACE,
    Action,
    Meaning,
    meaning_of_status,
)

OK = 0

FIELD_CODES = frozenset({40000, 40001, 40002, 40130, 40131, 41002})
"""Codes that can be about one of the fields that were asked for. Whether a scope that is missing
refuses the field or the call is not documented, so the groups of fields are tried one by one."""

QPS_MESSAGE = "QPS"
"""In the message of a refusal by the limit of a second; the others are of a minute."""

_WRONG_APP = Meaning(
    Action.FAIL,
    ConfigurationError,
    "TikTok does not accept the Accounts API app, or does not let it call this endpoint. Check the"
    " app id (login) and secret (password) of the connection tiktok_business, or"
    " TIKTOK_BUSINESS_APP_ID and TIKTOK_BUSINESS_SECRET, and the app's permissions in TikTok's"
    " developer portal.",
    "about the app, never about a store",
)
_REJECTED = Meaning(
    Action.REFRESH,
    FatalError,
    "TikTok rejects the store's access token for the Accounts API even after a refresh. Connect"
    " the account again if this persists.",
    "a token refreshed seconds ago was refused",
)
_ENDED = Meaning(
    Action.FAIL,
    NeedsConsentError,
    "The store's grant for the Accounts API has ended at TikTok. Its manager must connect the"
    " account again.",
    "the refresh token was revoked, has ended, or was used up by a refresh nobody stored",
)
_TOO_MANY = Meaning(
    Action.WAIT,
    RateLimitedError,
    "TikTok says that there are too many calls of the Accounts API, although calls are spaced."
    " It is tried again after a pause; see whether another program uses the same app.",
    "the limits are per account and endpoint, and per app over all endpoints; no Retry-After comes",
)
_OFFLINE = replace(
    REFUSED,
    message="TikTok has switched off this endpoint, or a field of it. Report it with the log_id.",
)
_GONE = Meaning(
    Action.FAIL,
    FatalError,
    "TikTok does not find what was asked for. The API may have changed; report it with the log_id.",
    "the endpoint or the object does not exist",
)
_CONFLICT = replace(UNAVAILABLE, engineer="a write conflict at TikTok")

_CODE_GROUPS: tuple[tuple[Meaning, tuple[int, ...]], ...] = (
    (Meaning(Action.USE), (OK, 20001)),
    (REFUSED, (40000, 40002, 40104, 40108, 40115, 40116, 40117)),
    (MISSING_SCOPE, (40001, 40130, 40131)),
    (
        _WRONG_APP,
        (40003, 40006, 40051, 40101, 40113, 40118, 40119, 40124, 40125, 41000),
    ),
    (_GONE, (40007, 40008, 40400)),
    (_REJECTED, (40102, 40103, 40105, 40106, 40107, 40120)),
    (_TOO_MANY, (40016, 40100, 40132, 40133, 61000)),
    (_CONFLICT, (40202,)),
    (_OFFLINE, (41001, 41002)),
    (UNAVAILABLE, (50000, 50002, 51000, 51010, 51016, 51030, 51031, 51065, 60001, 70001)),
)

CODES: Mapping[int, Meaning] = {code: meaning for meaning, codes in _CODE_GROUPS for code in codes}
"""``code`` of the data endpoints. A refusal of a token only leads to a refresh: whether the grant
has ended is for the token endpoint to say."""

TOKEN_LIMITED = replace(
    _TOO_MANY,
    action=Action.FAIL,
    message=(
        "TikTok says that there are too many calls of the Accounts API, and refuses to refresh"
        " tokens. It is tried again once TikTok's restriction of five minutes is over, while the"
        " run has tries left."
    ),
)
"""The token endpoints' refusal of too many calls; the error says how long it lasts."""

TOKEN_CODES: Mapping[int, Meaning] = {
    **CODES,
    **dict.fromkeys((40102, 40103, 40105, 40106, 40107, 40120), _ENDED),
    **dict.fromkeys((40016, 40100, 40132, 40133, 61000), TOKEN_LIMITED),
    **dict.fromkeys((40001, 40130, 40131), REFUSED),
    40110: Meaning(
        Action.FAIL,
        NeedsConsentError,
        "The code of the consent has expired or was used before. The store's manager must connect"
        " the account again.",
        "a code lives 10 minutes and works once",
    ),
}
"""``code`` of the token endpoints."""

_WRONG_ADDRESS = replace(
    WRONG_PLACE,
    message=WRONG_PLACE.message.replace("TIKTOK_API_URL", "TIKTOK_BUSINESS_URL").replace(
        "tiktok_default", "tiktok_business"
    ),
)

_OTHER_PERMANENT = range(40000, 50000)
"""Undocumented codes from here are permanent; others pass."""


def code_of(body: Mapping[str, Any] | None) -> int | None:
    """The code of an answer, if that is TikTok's.

    A number, seen as text too. A gateway may answer with a ``code`` of its own; TikTok never leaves
    the ``request_id`` out.
    """
    body = body or {}
    code = body.get("code")
    if isinstance(code, str) and code.strip().isascii() and code.strip().isdecimal():
        code = int(code)
    if not isinstance(code, int) or isinstance(code, bool):
        return None
    return code if code == OK or "request_id" in body else None


def log_id_of(body: Mapping[str, Any] | None) -> str | None:
    """The ``request_id``, which TikTok's support asks for."""
    found = (body or {}).get("request_id")
    return found if isinstance(found, str) else None


def meaning_of_answer(
    status: int, code: int | None, codes: Mapping[int, Meaning] = CODES
) -> Meaning:
    """What an answer means.

    Args:
        status: HTTP status.
        code: As :func:`code_of` finds it.
        codes: ``CODES`` or ``TOKEN_CODES``.
    """
    if code is not None and code in codes:
        return codes[code]
    if code is not None:
        return REFUSED if code in _OTHER_PERMANENT else UNAVAILABLE
    if status == HTTP_TOO_MANY_REQUESTS:
        return codes[40100]
    found = meaning_of_status(status, is_tiktoks=False)
    return _WRONG_ADDRESS if found is WRONG_PLACE else found
