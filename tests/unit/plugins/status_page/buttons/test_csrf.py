"""The status page's buttons: is a form of another user, browser, site or day refused?"""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from tiktok_airflow.status_page.buttons.csrf import (
    LIFETIME,
    CsrfError,
    CsrfGuard,
    check_origin,
    origin_of,
)

GUARD = CsrfGuard("a secret of the test")
OWN = {"http://127.0.0.1:8080"}


def test_a_token_holds_for_its_user_and_browser() -> None:
    GUARD.check(GUARD.token("ann", "browser-1"), "ann", "browser-1")


@pytest.mark.parametrize(
    ("user", "session"),
    [("bob", "browser-1"), ("ann", "browser-2"), ("ann", None), ("ann", "")],
)
def test_a_token_of_another_user_or_browser_is_refused(user: str, session: str | None) -> None:
    with pytest.raises(CsrfError, match="another login or browser"):
        GUARD.check(GUARD.token("ann", "browser-1"), user, session)


def test_an_empty_session_never_matches() -> None:
    with pytest.raises(CsrfError):
        GUARD.check(GUARD.token("ann", ""), "ann", "")


@pytest.mark.parametrize(
    "token",
    ["", "nonsense", CsrfGuard("another secret").token("ann", "browser-1")],
    ids=["empty", "nonsense", "of another secret"],  # it is another in each process of the suite
)
def test_a_forged_token_is_refused(token: str) -> None:
    with pytest.raises(CsrfError, match="Load it again"):
        GUARD.check(token, "ann", "browser-1")


def test_a_token_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    token = GUARD.token("ann", "browser-1")
    later = time.time() + LIFETIME.total_seconds() + 60
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    with pytest.raises(CsrfError, match="too old"):
        GUARD.check(token, "ann", "browser-1")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8080"},
        {"sec-fetch-site": "same-origin"},
        {"origin": "http://127.0.0.1:8080"},  # a browser over plain HTTP
        {"origin": "HTTP://127.0.0.1:8080"},
    ],
)
def test_a_form_of_the_page_itself_is_taken(headers: Mapping[str, str]) -> None:
    check_origin(headers, OWN)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8080"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:8081"},
        {"origin": "https://127.0.0.1:8080"},
        {"origin": "null"},
        {},
    ],
)
def test_a_form_from_elsewhere_is_refused(headers: Mapping[str, str]) -> None:
    with pytest.raises(CsrfError, match="nothing was done"):
        check_origin(headers, OWN)


def test_an_origin_has_no_path() -> None:
    assert origin_of("https://Airflow.example/prefix/") == "https://airflow.example"
    assert origin_of("") == ""
