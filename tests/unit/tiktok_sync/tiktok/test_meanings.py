"""Does every answer of TikTok get one meaning, and every failure its place in the tree?"""

from __future__ import annotations

import inspect
import math

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from include.tiktok_sync import errors
from include.tiktok_sync.errors import (
    MAX_WAIT_S,
    ConfigurationError,
    DatabaseUnavailableError,
    DataError,
    FatalError,
    ListingError,
    MissingScopeError,
    NeedsConsentError,
    OutOfTimeError,
    RateLimitedError,
    RetriableError,
    SkippableError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.tiktok.meanings import (
    API_CODES,
    OAUTH_ERRORS,
    Action,
    meaning_of_api_answer,
    meaning_of_exception,
    meaning_of_oauth_answer,
)
from tests.unit.tiktok_sync.scripted import examples

ALL = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, SyncError)
]

# Status and code as TikTok documents them -> what to do, and the error when that does not help.
API = [
    (200, "ok", Action.USE, SyncError),
    (401, "access_token_invalid", Action.REFRESH, FatalError),
    (401, "scope_not_authorized", Action.FAIL, MissingScopeError),
    (401, "scope_permission_missed", Action.FAIL, MissingScopeError),
    (400, "invalid_params", Action.FAIL, FatalError),
    (400, "invalid_param", Action.FAIL, FatalError),
    (400, "invalid_request", Action.FAIL, FatalError),
    (429, "rate_limit_exceeded", Action.WAIT, RateLimitedError),
    (500, "internal_error", Action.RETRY, TikTokUnavailableError),
    (504, "timeout", Action.RETRY, TikTokUnavailableError),
    (404, "user_not_found", Action.FAIL, FatalError),
    # Codes nobody has documented, and bodies without any, by their status.
    (418, "brand_new_code", Action.FAIL, FatalError),
    (429, "brand_new_code", Action.WAIT, RateLimitedError),
    (503, "brand_new_code", Action.RETRY, TikTokUnavailableError),
    (200, "brand_new_code", Action.FAIL, FatalError),
    (200, None, Action.RETRY, TikTokUnavailableError),
    # Without TikTok's JSON it is something in between that answers.
    (204, None, Action.RETRY, TikTokUnavailableError),
    (302, None, Action.RETRY, TikTokUnavailableError),
    (401, None, Action.RETRY, TikTokUnavailableError),
    (403, None, Action.RETRY, TikTokUnavailableError),
    (404, None, Action.RETRY, TikTokUnavailableError),
    (408, None, Action.RETRY, TikTokUnavailableError),
    (429, None, Action.WAIT, RateLimitedError),
    (502, None, Action.RETRY, TikTokUnavailableError),
    # The body decides where it is documented, whatever the status.
    (500, "ok", Action.USE, SyncError),
    (200, "access_token_invalid", Action.REFRESH, FatalError),
    (500, "rate_limit_exceeded", Action.WAIT, RateLimitedError),
]
OAUTH = [
    (400, "invalid_grant", NeedsConsentError),
    (200, "invalid_grant", NeedsConsentError),
    (401, "invalid_client", ConfigurationError),
    (200, "invalid_client", ConfigurationError),
    (400, "unauthorized_client", ConfigurationError),
    (400, "access_denied", ConfigurationError),
    (400, "invalid_request", FatalError),
    (400, "invalid_scope", FatalError),
    (400, "unsupported_grant_type", FatalError),
    (400, "unsupported_response_type", FatalError),
    (500, "server_error", TikTokUnavailableError),
    (200, "server_error", TikTokUnavailableError),
    (503, "temporarily_unavailable", TikTokUnavailableError),
    (200, "internal_error", TikTokUnavailableError),
    (200, "timeout", TikTokUnavailableError),
    (200, "rate_limit_exceeded", RateLimitedError),
    (200, "ok", TikTokUnavailableError),
    (500, None, TikTokUnavailableError),
    (429, None, RateLimitedError),
    (400, "brand_new", FatalError),
    # A page of some proxy proves nothing about the request.
    *((status, None, TikTokUnavailableError) for status in (200, 302, 400, 401, 403, 404, 407)),
]


def test_the_tree_is_by_what_can_be_done() -> None:
    roots = {ConfigurationError, FatalError, RetriableError, SkippableError, DataError}
    assert {found for found in ALL if found.__base__ is SyncError} == roots
    assert {found for found in ALL if issubclass(found, RetriableError)} == {
        *(RetriableError, TikTokUnavailableError, RateLimitedError, DatabaseUnavailableError),
        *(ListingError, OutOfTimeError),
    }
    assert {found for found in ALL if issubclass(found, SkippableError)} == {
        *(SkippableError, NeedsConsentError, MissingScopeError)
    }


def test_every_kind_is_its_own() -> None:
    assert len({found.kind for found in ALL}) == len(ALL) > 10


def test_the_log_id_is_in_the_text_and_the_detail_is_not() -> None:
    error = FatalError("What happened.", detail="HTTP 400", log_id="L1")
    assert str(error) == "What happened. (TikTok log_id L1)"
    assert (error.message, error.detail) == ("What happened.", "HTTP 400")
    assert str(DataError("Plain.")) == "Plain."
    assert RateLimitedError("x", retry_after_s=3).retry_after_s == 3


@pytest.mark.parametrize(
    ("asked_for", "kept"),
    [
        (None, None),
        (30.5, 30.5),
        (120, 120),
        (86_400, MAX_WAIT_S),
        (math.inf, MAX_WAIT_S),
        (0, None),
        (-1, None),
        (math.nan, None),
    ],
)
@pytest.mark.parametrize("error", [found for found in ALL if issubclass(found, RetriableError)])
def test_no_failure_asks_for_a_wait_of_more_than_minutes(
    error: type[RetriableError], asked_for: float | None, kept: float | None
) -> None:
    assert error("x", retry_after_s=asked_for).retry_after_s == kept


def test_who_reads_of_a_refusal_in_between_knows_where_to_look() -> None:
    for status in (401, 403, 407):
        for found in (meaning_of_api_answer(status, None), meaning_of_oauth_answer(status, None)):
            assert "a proxy, a firewall or the edge" in found.message
    for status in (302, 404):
        for found in (meaning_of_api_answer(status, None), meaning_of_oauth_answer(status, None)):
            assert "either TIKTOK_API_URL" in found.message
            assert "or something in between" in found.message


@pytest.mark.parametrize(("status", "code", "action", "error"), API)
def test_a_data_endpoints_answer(
    status: int, code: str | None, action: Action, error: type[SyncError]
) -> None:
    meaning = meaning_of_api_answer(status, code)
    assert (meaning.action, meaning.error) == (action, error)
    assert bool(meaning.message) == (action is not Action.USE)


@pytest.mark.parametrize("code", ["invalid_params", "invalid_param", "invalid_request"])
def test_a_refused_cursor_is_tried_again_and_not_taken_for_our_fault(code: str) -> None:
    meaning = meaning_of_api_answer(400, code, with_cursor=True)
    assert (meaning.action, meaning.error) == (Action.RETRY, ListingError)
    assert meaning_of_api_answer(401, "scope_not_authorized", with_cursor=True).action is (
        Action.FAIL
    )


class _UnknownTransportError(requests.RequestException):
    """As a later version of the library may bring."""


@pytest.mark.parametrize(
    ("exception", "error", "words"),
    [
        (requests.exceptions.SSLError(), TikTokUnavailableError, "certificate"),
        (requests.exceptions.ProxyError(), TikTokUnavailableError, "HTTPS_PROXY"),
        (requests.exceptions.ConnectTimeout(), TikTokUnavailableError, "no connection"),
        (requests.exceptions.ReadTimeout(), TikTokUnavailableError, "stayed silent"),
        (requests.exceptions.ChunkedEncodingError(), TikTokUnavailableError, "cut short"),
        (requests.exceptions.ContentDecodingError(), TikTokUnavailableError, "damaged"),
        (requests.exceptions.ConnectionError(), TikTokUnavailableError, "refused or broke"),
        (requests.exceptions.InvalidURL(), ConfigurationError, "TIKTOK_API_URL"),
        (requests.exceptions.MissingSchema(), ConfigurationError, "TIKTOK_API_URL"),
        (requests.exceptions.InvalidSchema(), ConfigurationError, "TIKTOK_API_URL"),
        (_UnknownTransportError(), TikTokUnavailableError, "refused or broke"),
    ],
)
def test_an_exception_has_a_meaning(
    exception: Exception, error: type[SyncError], words: str
) -> None:
    meaning = meaning_of_exception(exception, "http://tiktok.example")
    assert meaning.error is error
    assert words in meaning.message
    assert "http://tiktok.example" in meaning.message


def test_the_engineer_reads_more_than_the_person() -> None:
    found = meaning_of_api_answer(429, None).as_error(detail="video/list: HTTP 429")
    assert (found.detail or "").startswith("video/list: HTTP 429 (the limit is per app")
    assert "per app and endpoint" not in str(found)


def test_a_message_that_promises_another_try_is_true_after_the_last_one_too() -> None:
    meanings = [
        *(meaning_of_api_answer(status, code) for status, code, *_ in API),
        *(meaning_of_oauth_answer(status, name) for status, name, _ in OAUTH),
    ]
    promising = {found.message for found in meanings if "tried again" in found.message}
    assert promising
    for message in promising:  # and it says what to do when none of them helped
        assert "tried again while the run has tries left; if it " in message


@pytest.mark.parametrize(("status", "name", "error"), OAUTH)
def test_an_oauth_answer(status: int, name: str | None, error: type[SyncError]) -> None:
    meaning = meaning_of_oauth_answer(status, name)
    assert meaning.error is error
    assert meaning.message


def test_every_documented_code_is_tested_here() -> None:
    assert {code for _, code, *_ in API} >= API_CODES.keys()
    assert {name for _, name, _ in OAUTH} >= OAUTH_ERRORS.keys()


@examples
@given(status=st.integers(100, 599), code=st.none() | st.text())
def test_nothing_is_a_success_but_ok_and_nothing_has_no_meaning(
    status: int, code: str | None
) -> None:
    meaning = meaning_of_api_answer(status, code)
    assert (meaning.action is Action.USE) == (code == "ok")
    # Only TikTok's own word ends a grant.
    oauth = meaning_of_oauth_answer(status, code)
    assert (oauth.error is NeedsConsentError) == (code == "invalid_grant")
    assert oauth.action is not Action.USE
