"""Is a grant that cannot be stored ended at TikTok, and only where no store uses it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from include.sandbox.endpoints.pipeline import Call
from include.sandbox.wire.envelopes import SandboxAnswer
from tests.connect_server import Browser, ConnectServer, form_token
from tests.database.bench import Bench
from tests.sandbox_server import SandboxServer, running_sandbox
from tests.second_consent import (
    UNLIMITED,
    both_apis,
    come_back,
    connect_first,
    leave_for_second,
    second_link,
)

pytestmark = pytest.mark.usefixtures("no_waits")


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(rate_limit_per_minute=0, business=UNLIMITED) as server:
        yield server


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    with both_apis(bench) as server:
        yield server


class NoName:
    """TikTok in trouble: its tokens name no account if so wished, and no profile comes."""

    def __init__(self, *, hides_account: bool) -> None:
        self._hides_account = hides_account

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        if call.endpoint in {"user_info", "business_get"}:
            return SandboxAnswer(503, "unreadable", {})
        answer = proceed()
        if self._hides_account:
            data = answer.body.get("data", answer.body)
            data.pop("open_id", None)
        return answer


def strike(app: ConnectServer, fault: str, **rule: Any) -> None:
    app.bench.sandbox.admin("POST", "/faults", json={"rules": [{"fault": fault, **rule}]})


def is_ended(app: ConnectServer, api: str, code: str = "S021") -> bool:
    """Whether the account's grant for an API was revoked."""
    played = app.bench.sandbox.sandbox
    kept = played.business_tokens if api == "business" else played.tokens
    return bool(kept.grant(code).revoked)


def outcome(app: ConnectServer, api: str = "business") -> str | None:
    found: str | None = app.bench.rows(
        "SELECT outcome FROM connect_attempts WHERE api = %s ORDER BY begun_at", api
    )[-1]["outcome"]
    return found


@pytest.mark.parametrize(
    ("fault", "expected", "said"),
    [
        ("business_too_many", "unavailable", "TikTok is busy"),
        ("business_trouble", "unavailable", "TikTok is busy"),
        ("business_token_rejected", "failed", "TikTok did not give us access"),
    ],
)
def test_a_second_consent_whose_account_cannot_be_compared_is_given_back(
    app: ConnectServer, fault: str, expected: str, said: str
) -> None:
    browser, path = connect_first(app)
    strike(app, fault, endpoints=["business_get"])
    path, page = come_back(browser, browser.consent(leave_for_second(browser, path)))
    assert said in page.text
    assert outcome(app) == expected
    assert app.bench.rows("SELECT FROM business_tokens") == []
    assert is_ended(app, "business")
    assert not is_ended(app, "display")

    app.bench.sandbox.admin("DELETE", "/faults")
    again = browser.send(app.url + path, form_token=form_token(page), choice="again")
    query = dict(parse_qsl(urlsplit(again.headers["Location"]).query))
    assert "Done. Thank you!" in come_back(browser, browser.consent(query))[1].text


def test_a_passing_refusal_of_too_many_calls_costs_no_consent(app: ConnectServer) -> None:
    browser, path = connect_first(app)
    strike(app, "business_too_many", endpoints=["business_get"], times=1)
    _, page = come_back(browser, browser.consent(leave_for_second(browser, path)))
    assert "Done. Thank you!" in page.text


def test_the_grant_that_a_store_lives_on_is_not_ended_with_a_failed_one(
    app: ConnectServer,
) -> None:
    browser, path = connect_first(app)
    come_back(browser, browser.consent(leave_for_second(browser, path)))
    before = app.bench.row("SELECT * FROM business_tokens")
    strike(app, "business_too_many", endpoints=["business_get"])
    for code in ("N1", "N2"):  # the store itself, and one whose manager uses the wrong account
        app.bench.conn.execute(
            "INSERT INTO stores (store_code, store_name) VALUES (%s, 'x') ON CONFLICT DO NOTHING",
            [code],
        )
        browser = Browser(app)
        come_back(browser, browser.consent(browser.leave(second_link(app, code)), "S021"))
        assert outcome(app) == ("unavailable" if code == "N1" else "taken")
    assert not is_ended(app, "business")
    assert app.bench.row("SELECT * FROM business_tokens") == before


def test_an_account_that_turns_out_to_be_another_one_is_given_back(app: ConnectServer) -> None:
    """It was asked about, because none was known; by the time of the answer, one is."""
    browser = Browser(app)
    back = browser.consent(browser.leave(second_link(app, "N1")), "S021")
    path, page = come_back(browser, back)
    assert "Is this the account of" in page.text
    connect_first(app, "S022")
    browser.send(app.url + path, form_token=form_token(page), choice="connect")
    assert outcome(app) == "wrong_account"
    assert is_ended(app, "business")


def test_tokens_of_nobody_are_given_back(app: ConnectServer) -> None:
    browser, path = connect_first(app)
    app.bench.sandbox.faults.plan = NoName(hides_account=True)
    come_back(browser, browser.consent(leave_for_second(browser, path)))
    assert (outcome(app), is_ended(app, "business")) == ("unavailable", True)

    browser = Browser(app)
    back = browser.consent(browser.leave(app.link("N1")), "S022")
    browser.get("/callback", **back)
    assert (outcome(app, "display"), is_ended(app, "display", "S022")) == ("unavailable", True)


def test_a_first_consent_that_cannot_be_compared_blames_tiktok_and_not_the_account(
    app: ConnectServer,
) -> None:
    app.bench.sandbox.faults.plan = NoName(hides_account=False)
    browser = Browser(app)
    back = browser.consent(browser.leave(app.link("N1", expected_account="kiel")), "S021")
    page = browser.get(browser.get("/callback", **back).headers["Location"])
    assert "TikTok is not answering" in page.text
    assert (outcome(app, "display"), is_ended(app, "display")) == ("unavailable", True)
