"""The second API's faults, and those of the Display API that strike it too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from include.sandbox.business.fields import GET_FIELDS, LISTS, VIDEO_FIELDS
from include.sandbox.faults.business import TROUBLE, UNKNOWN
from tests.sandbox_server import running_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox_server import SandboxServer

CODE = "S014"


@pytest.fixture(scope="module")
def business() -> Iterator[SandboxServer]:
    """A sandbox that serves the second API; each test puts its own faults in force."""
    with running_sandbox(profile="default", rate_limit_per_minute=0, business={}) as server:
        yield server


def _strike(sandbox: SandboxServer, fault: str, **rule: Any) -> None:
    sandbox.admin("POST", "/faults", json={"rules": [{"fault": fault, **rule}]})


def _get(sandbox: SandboxServer, **query: Any) -> Any:
    return sandbox.business("get/", CODE, fields=list(GET_FIELDS), **query).json()


def _list(sandbox: SandboxServer, **query: Any) -> Any:
    fields = list(VIDEO_FIELDS)
    return sandbox.business("video/list/", CODE, fields=fields, max_count=20, **query).json()


def _refresh(sandbox: SandboxServer) -> Any:
    return sandbox.business_oauth(
        "oauth2/refresh_token/",
        grant_type="refresh_token",
        refresh_token=sandbox.row(CODE)["business_refresh_token"],
    )


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("business_trouble", TROUBLE),
        ("business_unknown_code", UNKNOWN),
        ("business_too_many", (40100,)),
        ("business_fields_offline", (41002,)),
        ("business_token_rejected", (40105,)),
        ("business_token_expired", (40102,)),
        ("business_scope_refused", (40001,)),
        ("business_grant_revoked", (40105,)),
    ],
)
def test_codes_come_with_http_200(
    business: SandboxServer, fault: str, codes: tuple[int, ...]
) -> None:
    _strike(business, fault)
    for answer in (_get(business), _list(business)):
        assert answer["code"] in codes
        assert answer.get("data", {}) == {}
    assert business.user_info(business.row(CODE)["access_token"]).status_code != 500


def test_what_breaks_the_display_api_breaks_this_one(business: SandboxServer) -> None:
    _strike(business, "gateway_timeout_html")
    answer = business.business("get/", CODE)
    assert (answer.status_code, answer.headers["Content-Type"][:9]) == (504, "text/html")
    _strike(business, "reset")
    with pytest.raises(requests.ConnectionError):
        business.business("video/list/", CODE)
    _strike(business, "cut_body")
    with pytest.raises(requests.RequestException):
        business.business("video/list/", CODE)
    _strike(business, "missing_data")
    assert "data" not in business.business("get/", CODE).json()


def test_refreshes_fail_or_their_answers_get_lost(business: SandboxServer) -> None:
    before = business.row(CODE)
    _strike(business, "business_refresh_trouble")
    assert _refresh(business)["code"] in TROUBLE
    assert business.row(CODE) == before
    _strike(business, "business_too_many")
    assert _refresh(business)["code"] == 40100
    _strike(business, "business_grant_revoked")
    assert _refresh(business)["code"] == 40107
    assert business.row(CODE) == before
    _strike(business, "oauth_answer_lost")
    with pytest.raises(requests.ConnectionError):
        _refresh(business)
    assert business.row(CODE)["business_access_token"] != before["business_access_token"]
    assert business.row(CODE)["access_token"] == before["access_token"]


def test_the_code_can_be_a_text(business: SandboxServer) -> None:
    _strike(business, "business_code_text")
    assert _get(business)["code"] == "0"


@pytest.mark.parametrize("fault", ["figure_null", "figure_absent", "figure_text", "list_null"])
def test_odd_rows_leave_the_rest_true(business: SandboxServer, fault: str) -> None:
    business.admin("DELETE", "/faults")
    days, posts = _get(business)["data"]["metrics"], _list(business)["data"]["videos"]
    _strike(business, f"business_{fault}")
    odd_days, odd_posts = _get(business)["data"]["metrics"], _list(business)["data"]["videos"]
    changed = []
    for true, odd in zip([*days, *posts], [*odd_days, *odd_posts], strict=True):
        for name, value in true.items():
            if name != "thumbnail_url" and odd.get(name, "absent") != value:
                changed.append((name, value, odd.get(name, "absent")))
    assert changed
    for name, value, shown in changed:
        if fault == "list_null":
            assert name in LISTS
            assert shown in (None, [])
        else:
            expected = {"figure_null": None, "figure_absent": "absent", "figure_text": str(value)}
            assert shown == expected[fault]


def test_rows_that_cannot_be_read(business: SandboxServer) -> None:
    _strike(business, "business_unreadable_row")
    assert '{"about": 5}' in json.dumps(_list(business))
    assert '{"about": 5}' in json.dumps(_get(business))
    _strike(business, "business_item_not_object")
    assert any(not isinstance(one, dict) for one in _list(business)["data"]["videos"])


def test_the_audience_moves_into_the_days(business: SandboxServer) -> None:
    _strike(business, "business_audience_in_metrics")
    data = _get(business)["data"]
    assert "audience_ages" not in data
    assert data["metrics"][-1]["audience_ages"]


@pytest.mark.parametrize("fault", ["business_short_page", "business_empty_page"])
def test_pages_that_mislead_lose_nothing(business: SandboxServer, fault: str) -> None:
    def listed() -> list[str]:
        found: list[str] = []
        cursor, more = None, True
        while more:
            data = _list(business, cursor=cursor)["data"]
            found += [post["item_id"] for post in data["videos"]]
            cursor, more = data["cursor"], data["has_more"]
        return found

    business.admin("DELETE", "/faults")
    true = listed()
    _strike(business, fault, times_per_store=5)
    assert listed() == true
    assert business.admin("GET", "/faults")["rules"][0]["hits"] == 5


def test_a_cursor_can_be_stuck(business: SandboxServer) -> None:
    business.admin("DELETE", "/faults")
    cursor = _list(business)["data"]["cursor"]
    _strike(business, "business_stuck_cursor")
    assert _list(business, cursor=cursor)["data"]["cursor"] == cursor
