"""Is the Accounts API connected for the same account, and never at the first consent's cost?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.connect.notice import Notice
from include.connect.settings import BUSINESS_CALLBACK_PATH, BUSINESS_WEBHOOK_PATH, WEBHOOK_PATH
from include.tiktok_sync.app import BusinessApp
from include.tiktok_sync.business.models import BUSINESS_SCOPES
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import ConfigurationError, DataError, NeedsConsentError
from include.tiktok_sync.jobs import INSIGHTS_JOB
from include.tiktok_sync.links.connect_links import LinkMaker
from include.tiktok_sync.stores import leaving
from include.tiktok_sync.stores.at_once.revoking import living_grants, revoke_all
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.stores.overview import overview
from include.tiktok_sync.tokens.grant_table import BUSINESS
from include.tiktok_sync.tokens.recheck import recheck
from include.tiktok_sync.tokens.scopes import split_scope
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore
from tests.connect_server import Browser, ConnectServer, form_token, running_connect
from tests.database.bench import Bench
from tests.sandbox_server import SandboxServer, running_sandbox
from tests.second_consent import (
    UNLIMITED,
    add_account_days,
    both_apis,
    come_back,
    connect_first,
    disconnect,
    leave_for_second,
    second_link,
    with_business,
)


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with running_sandbox(rate_limit_per_minute=0, business=UNLIMITED) as server:
        yield server


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    with both_apis(bench) as server:
        yield server


def username(app: ConnectServer, code: str) -> str:
    return str(app.bench.sandbox.sandbox.world.store_of(code).profile["username"])


def second(app: ConnectServer) -> dict[str, Any]:
    return app.bench.row("SELECT * FROM business_tokens")


def outcomes(app: ConnectServer) -> list[tuple[str, str | None]]:
    found = app.bench.rows("SELECT api, outcome FROM connect_attempts ORDER BY begun_at")
    return [(one["api"], one["outcome"]) for one in found]


def is_revoked(app: ConnectServer, code: str) -> bool:
    return bool(app.bench.sandbox.sandbox.business_tokens.grant(code).revoked)


def test_the_second_step_follows_the_first_and_needs_no_question(app: ConnectServer) -> None:
    browser, path = connect_first(app)
    query = leave_for_second(browser, path)
    assert query["client_key"] == app.settings.business_app_id
    assert query["redirect_uri"].endswith(BUSINESS_CALLBACK_PATH)
    assert split_scope(query["scope"]) == BUSINESS_SCOPES
    assert query["disable_auto_auth"] == "1"
    assert "code_challenge" not in query  # this API has no PKCE
    _, page = come_back(browser, browser.consent(query))
    assert "Done. Thank you!" in page.text
    assert "The statistics of Kiel Holstenstr." in page.text

    stored, first = second(app), app.bench.row("SELECT * FROM store_tokens")
    assert (stored["store_code"], stored["status"]) == ("N1", "active")
    assert stored["open_id"] != first["open_id"]
    assert stored["notice_version"] == first["notice_version"] == Notice.of(app.settings).version
    assert (stored["refresh_expires_at"] - stored["connected_at"]).days in {364, 365}
    vault = app.bench.vault
    for column, kind in (
        ("access_token", "business_access"),
        ("refresh_token", "business_refresh"),
    ):
        assert vault.decrypt(stored[column], store_code="N1", kind=kind)  # type: ignore[arg-type]  # one of TokenKind
        with pytest.raises(ConfigurationError):
            vault.decrypt(stored[column], store_code="N1", kind="access")
    said = app.bench.row("SELECT details FROM store_audit WHERE details ->> 'api' = 'business'")
    assert said["details"]["account_compared"] is True
    assert "One more step" not in browser.get(path).text  # there is none left


def test_another_account_is_refused_by_name_given_back_and_costs_the_first_nothing(
    app: ConnectServer,
) -> None:
    browser, path = connect_first(app)
    before = app.bench.row("SELECT * FROM store_tokens")
    query = leave_for_second(browser, path)
    _, page = come_back(browser, browser.consent(query, "S022"))
    assert "This is another account" in page.text
    assert f"@{username(app, 'S021')}" in page.text
    assert f"@{username(app, 'S022')}" in page.text
    assert "connected before stays connected" in page.text
    assert app.bench.rows("SELECT FROM business_tokens") == []
    assert is_revoked(app, "S022")
    assert app.bench.row("SELECT * FROM store_tokens") == before
    kept = app.bench.row("SELECT * FROM connect_attempts WHERE api = 'business'")
    assert (kept["username"], kept["open_id"], kept["access_token"]) == (None, None, None)

    # The form of the page that says so leads to TikTok again, and the right account gets through.
    again = browser.send(
        app.url + f"/attempts/{kept['attempt_id']}", form_token=form_token(page), choice="again"
    )
    assert again.status_code == 303
    assert outcomes(app) == [
        ("display", "connected"),
        ("business", "wrong_account"),
        ("business", None),
    ]


@pytest.mark.parametrize(
    ("back", "outcome", "said"),
    [
        ({"error": "access_denied"}, "denied", "You did not allow access"),
        (
            {"error": "invalid_scope", "error_type": "scope"},
            "not_approved",
            "TikTok did not accept our request",
        ),
        ({"error": "server_error"}, "failed", "TikTok did not give us access"),
        ({}, "failed", "TikTok did not give us access"),
        ({"auth_code": "none-of-ours"}, "failed", "TikTok did not give us access"),
    ],
)
def test_a_refusal_leaves_the_first_consent_as_it_is(
    app: ConnectServer, back: dict[str, str], outcome: str, said: str
) -> None:
    browser, path = connect_first(app)
    state = leave_for_second(browser, path)["state"]
    _, page = come_back(browser, {**back, "state": state})
    assert said in page.text
    assert "connected before stays connected" in page.text
    assert ("Try again" in page.text) is (outcome != "not_approved")
    assert outcomes(app) == [("display", "connected"), ("business", outcome)]
    assert app.bench.row("SELECT status FROM store_tokens") == {"status": "active"}


def test_a_scope_that_the_app_lacks_is_for_operators(bench: Bench) -> None:
    """The sandbox refuses the whole login, as TikTok does; the manager is not sent round again."""
    with both_apis(bench) as app:
        browser, path = connect_first(app)
        query = leave_for_second(browser, path)
        back = browser.consent({**query, "scope": f"{query['scope']},comment.list"})
        assert back["error"] == "invalid_scope"
        _, page = come_back(browser, back)
    assert "not your fault" in " ".join(page.text.split())
    assert bench.row("SELECT outcome FROM connect_attempts WHERE api = 'business'") == {
        "outcome": "not_approved"
    }


def test_permissions_left_out_are_named_and_can_be_added(app: ConnectServer) -> None:
    browser, path = connect_first(app)
    query = leave_for_second(browser, path)
    some = sorted(BUSINESS_SCOPES - {"video.insights"})
    _, page = come_back(browser, browser.consent(query, grant=some))
    assert "Almost done" in page.text
    assert "how many people each video reached" in page.text
    assert second(app)["status"] == "missing_scope"
    assert outcomes(app)[-1] == ("business", "missing_scope")


def test_without_a_username_nothing_can_be_compared_so_nothing_is_connected(
    app: ConnectServer,
) -> None:
    browser, path = connect_first(app)
    query = leave_for_second(browser, path)
    some = sorted(BUSINESS_SCOPES - {"user.info.username"})
    _, page = come_back(browser, browser.consent(query, grant=some))
    assert "This is another account" in page.text
    assert "TikTok did not tell its username" in page.text
    assert app.bench.rows("SELECT FROM business_tokens") == []
    assert is_revoked(app, "S021")


def test_a_link_of_its_own_names_the_account_that_the_nightly_sync_saw(app: ConnectServer) -> None:
    app.bench.import_stores("S001")
    app.bench.sync("sync_user_daily", "S001")
    app.bench.conn.execute("DELETE FROM business_tokens")
    browser, link = Browser(app), second_link(app, "S001")
    assert f"Log in to TikTok as <strong>@{username(app, 'S001')}" in browser.get(link).text
    _, page = come_back(browser, browser.consent(browser.leave(link), "S001"))
    assert "Done. Thank you!" in page.text
    assert second(app)["store_code"] == "S001"
    assert "already used" in browser.get(link).text


def test_an_account_whose_name_is_not_known_is_asked_about_and_recorded(
    app: ConnectServer,
) -> None:
    app.bench.import_stores("S001")  # never synced: nobody has seen a username
    app.bench.conn.execute("DELETE FROM business_tokens")
    browser = Browser(app)
    back = browser.consent(browser.leave(second_link(app, "S001")), "S001")
    path, page = come_back(browser, back)
    assert "Is this the account of" in page.text
    browser.send(app.url + path, form_token=form_token(page), choice="connect")
    assert second(app)["status"] == "active"
    said = app.bench.row("SELECT details FROM store_audit WHERE action = 'connect'")["details"]
    assert said["account_compared"] is False


def test_no_is_an_answer_to_that_question_too(app: ConnectServer) -> None:
    app.bench.import_stores("S001")
    app.bench.conn.execute("DELETE FROM business_tokens")
    browser = Browser(app)
    path, page = come_back(
        browser, browser.consent(browser.leave(second_link(app, "S001")), "S021")
    )
    browser.send(app.url + path, form_token=form_token(page), choice="decline")
    assert outcomes(app) == [("business", "declined")]
    assert is_revoked(app, "S021")


def test_a_state_is_good_at_one_callback_only(app: ConnectServer) -> None:
    browser, path = connect_first(app)
    back = browser.consent(leave_for_second(browser, path))
    assert "cannot be repeated" in browser.get("/callback", **back).text
    first = Browser(app)
    other = first.consent(first.leave(app.link("N1")), "S021")
    assert "cannot be repeated" in first.get(BUSINESS_CALLBACK_PATH, **other).text
    assert come_back(browser, back)[1].status_code == 200
    again = browser.get(BUSINESS_CALLBACK_PATH, **back)  # works once, and leads to the same page
    assert again.status_code == 303
    assert app.bench.calls()["business_token"] == 1


def test_only_the_browser_that_connected_the_store_may_go_on(app: ConnectServer) -> None:
    browser, path = connect_first(app)
    token = form_token(browser.get(path))
    stranger = Browser(app)
    stranger.get(app.link("N1"))
    assert stranger.send(app.url + path, form_token=token, choice="next").status_code == 404
    forged = browser.send(app.url + path, form_token=token[:-2], choice="next")
    assert forged.status_code == 400
    app.bench.conn.execute("UPDATE stores SET is_active = false WHERE store_code = 'N1'")
    paused = browser.send(app.url + path, form_token=token, choice="next")
    assert paused.status_code == 410
    assert [one["api"] for one in app.bench.rows("SELECT api FROM connect_links")] == [
        "display",
        "display",
    ]


def test_another_stores_account_is_refused(app: ConnectServer) -> None:
    connect_second(app, "N1", "S021")
    app.bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N2', 'x')")
    browser = Browser(app)
    back = browser.consent(browser.leave(second_link(app, "N2")), "S021")
    _, page = come_back(browser, back)
    assert "belongs to another store" in page.text
    assert not is_revoked(app, "S021")  # it would end the other store's grant


def connect_both(app: ConnectServer) -> None:
    browser, path = connect_first(app)
    come_back(browser, browser.consent(leave_for_second(browser, path)))
    assert second(app)["status"] == "active"


def change_account(app: ConnectServer) -> None:
    """Both consents of S021's account, then the first one of S022's."""
    connect_both(app)
    connect_first(app, "S022")
    assert not is_revoked(app, "S021")


def connect_second(app: ConnectServer, code: str, account: str) -> None:
    """A store that is only connected to the Accounts API."""
    browser = Browser(app)
    path, page = come_back(browser, browser.consent(browser.leave(second_link(app, code)), account))
    if "Is this the account" in page.text:
        browser.send(app.url + path, form_token=form_token(page), choice="connect")


def test_a_store_with_the_second_alone_must_be_given_the_same_account_first_too(
    app: ConnectServer,
) -> None:
    connect_second(app, "N1", "S021")
    assert app.bench.rows("SELECT FROM store_tokens") == []
    browser = Browser(app)
    link = app.link("N1")
    assert f"Log in to TikTok as <strong>@{username(app, 'S021')}" in browser.get(link).text
    back = browser.consent(browser.leave(link), "S022")
    page = browser.get(browser.get("/callback", **back).headers["Location"])
    assert "This is another account" in page.text
    assert app.bench.rows("SELECT FROM store_tokens") == []


def test_a_store_that_changes_its_account_must_connect_the_new_one_twice(
    app: ConnectServer,
) -> None:
    connect_both(app)
    browser, path = connect_first(app, "S022")
    stored = second(app)
    assert stored["status"] == "needs_consent"
    assert "another account" in stored["status_reason"]
    moves = app.bench.rows("SELECT actor, details FROM store_audit WHERE action = 'grant_ended'")
    assert moves == [
        {
            "actor": "store manager",
            "details": {
                "api": "business",
                "from": "active",
                "to": "needs_consent",
                "reason": stored["status_reason"],
            },
        }
    ]
    _, page = come_back(browser, browser.consent(leave_for_second(browser, path), "S022"))
    assert "Done. Thank you!" in page.text
    assert (second(app)["status"], second(app)["status_reason"]) == ("active", None)


def test_an_account_that_renames_itself_and_renews_the_first_keeps_the_second(
    app: ConnectServer,
) -> None:
    connect_both(app)
    before = second(app)
    app.bench.sandbox.sandbox.world.store_of("S021").profile["username"] = "renamed"
    connect_first(app)
    assert app.bench.row(
        "SELECT username FROM connect_attempts WHERE api = 'display' ORDER BY begun_at DESC LIMIT 1"
    ) == {"username": "renamed"}
    assert second(app) == before
    assert app.bench.rows("SELECT FROM store_audit WHERE action = 'grant_ended'") == []


def test_days_that_may_change_go_with_the_account_and_are_read_afresh(app: ConnectServer) -> None:
    connect_both(app)
    final, unsettled = add_account_days(app.bench.conn, "N1")
    days = "SELECT metric_date AS day, bio_link_clicks AS n FROM account_daily"
    browser = Browser(app)
    come_back(browser, browser.consent(browser.leave(second_link(app, "N1")), "S021"))
    browser, path = connect_first(app, "S022")
    assert len(app.bench.rows(days)) == 2  # nothing reads the other account yet
    come_back(browser, browser.consent(leave_for_second(browser, path), "S022"))
    assert app.bench.rows(days) == [{"day": final, "n": -7}]
    history = app.bench.rows("SELECT * FROM account_daily")
    bench = with_business(app.bench)
    bench.sync(INSIGHTS_JOB, "N1", app=BusinessApp.from_settings(bench.settings))
    found = {line["day"]: line["n"] for line in bench.rows(days)}
    assert found.pop(final) == -7  # the store's history, as it was, with what it lacked
    assert bench.rows("SELECT * FROM account_daily WHERE metric_date = %s", final) == history
    assert history[0]["likes"] is None
    assert unsettled in found
    assert -7 not in found.values()


@pytest.mark.parametrize("had_ended", [False, True])
def test_a_recheck_never_brings_back_another_accounts_grant(
    app: ConnectServer, *, had_ended: bool
) -> None:
    connect_both(app)
    if had_ended:
        app.bench.conn.execute(
            "UPDATE business_tokens SET status = 'needs_consent', status_reason = 'A fault.'"
        )
    connect_first(app, "S022")
    before = second(app)
    bench = with_business(app.bench)
    calls = bench.calls()
    tiktok = BusinessApp.from_settings(bench.settings)
    with tiktok.transport() as http:
        tokens = TokenStore(bench.conn, BUSINESS)
        source = TokenSource("N1", store=tokens, vault=bench.vault, oauth=tiktok.oauth(http))
        for any_app in (False, True):
            with pytest.raises(NeedsConsentError, match=r"another account.*stores link --business"):
                recheck("N1", source, bench.conn, utc_now(), any_app=any_app)
    assert bench.calls() == calls
    assert second(app) == before


@pytest.mark.parametrize("is_expired", [False, True])
def test_another_accounts_grant_is_revoked_in_an_incident(
    app: ConnectServer, *, is_expired: bool
) -> None:
    change_account(app)
    if is_expired:
        app.bench.conn.execute("UPDATE business_tokens SET access_expires_at = now()")
    bench = with_business(app.bench)
    done = revoke_all(bench.conn, bench.settings, bench.app, "anna", "Revoked in an incident")
    assert [(one.api, one.message) for one in done] == [
        ("display", "revoked"),
        ("business", "Accounts API: revoked"),
    ]
    assert is_revoked(app, "S021")
    assert second(app)["status_reason"].startswith("Revoked in an incident")
    assert living_grants(bench.conn) == []


def test_another_accounts_grant_is_revoked_before_its_store_is_erased(app: ConnectServer) -> None:
    change_account(app)
    bench = with_business(app.bench)
    with pytest.raises(ConfigurationError, match="TIKTOK_BUSINESS_APP_ID"):
        disconnect(bench, "N1", has_business=False)
    with pytest.raises(DataError, match="not revoked yet"):
        leaving.erase("N1", Lifecycle(bench.conn, "anna"))
    assert "run stores disconnect again" in str(overview(bench.conn)[0].reason)
    with pytest.raises(DataError, match="has not ended"):
        Lifecycle(bench.conn, "anna").resume("N1", without_grant=True)
    disconnect(bench, "N1")
    assert is_revoked(app, "S021")
    leaving.erase("N1", Lifecycle(bench.conn, "anna"))


def test_links_to_one_api_leave_those_to_the_other_alone(app: ConnectServer) -> None:
    first, own = app.link("N1"), second_link(app, "N1")
    browser = Browser(app)
    assert browser.get(first).status_code == browser.get(own).status_code == 200
    newer = second_link(app, "N1")
    assert [browser.get(one).status_code for one in (first, own, newer)] == [200, 410, 200]


def test_while_it_is_not_set_up_nothing_of_it_is_there(bench: Bench, app: ConnectServer) -> None:
    own = second_link(app, "N1")
    on = Notice.of(app.settings)
    with running_connect(bench, CONNECT_SECRET=app.settings.secret) as off:
        browser = Browser(off)
        assert browser.get(own.replace(app.url, off.url)).status_code == 410
        assert browser.get(BUSINESS_CALLBACK_PATH, state="x", code="y").status_code == 404
        url = off.url + BUSINESS_WEBHOOK_PATH
        assert off.http.post(url, data=b"{}", timeout=30).status_code == 404
        assert off.http.post(off.url + WEBHOOK_PATH, data=b"{}", timeout=30).status_code == 401
        browser, path = connect_first(off)
        pages = [browser.get(off.link("N1")).text, browser.get(path).text]
        assert "Done. Thank you!" in pages[1]
        assert not any("tatistics" in page or "One more step" in page for page in pages)
        notice = Notice.of(off.settings)
    assert "If you allow that too" in on.text
    assert "If you allow that too" not in notice.text
    assert on.version != notice.version
    with pytest.raises(ConfigurationError, match="TIKTOK_BUSINESS_APP_ID"):
        LinkMaker(app.settings.secret, app.url, "x").make(bench.conn, "N1", api="business")
