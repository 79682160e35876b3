"""Which privacy notice does a grant keep: the one that its manager saw, whatever changed since?"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import requests

from include.connect.notice import Notice
from include.tiktok_sync.stores.consents import consents_ending, notices_shown, privacy_notices
from tests.connect_server import Browser, ConnectServer, form_token, running_connect
from tests.database.bench import Bench

SECRET = "qX3mZ8vK1nR5tY7wB2cD4fG6hJ9kL0pS"
GRANT = "SELECT notice_version FROM store_tokens WHERE store_code = 'N1'"
ATTEMPT = "SELECT notice_version FROM connect_attempts ORDER BY begun_at DESC LIMIT 1"


@pytest.fixture
def app(bench: Bench) -> Iterator[ConnectServer]:
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel')")
    with running_connect(bench, CONNECT_SECRET=SECRET) as server:
        yield server


@pytest.fixture
def changed(app: ConnectServer) -> Iterator[ConnectServer]:
    """The app after its restart with another text."""
    with running_connect(
        app.bench, CONNECT_SECRET=SECRET, PRIVACY_PURPOSE="To plan our videos."
    ) as server:
        yield server


def version(app: ConnectServer) -> str:
    return Notice.of(app.settings).version


def connect(browser: Browser, app: ConnectServer, back: dict[str, str]) -> requests.Response:
    """Back from TikTok, and yes to the question where one is asked; the last page."""
    browser.app = app
    where = app.url + browser.get("/callback", **back).headers["Location"]
    page = browser.get(where)
    if "Is this the account" in page.text:
        browser.send(where, form_token=form_token(page), choice="connect")
        page = browser.get(where)
    return page


def test_the_version_is_kept_with_attempt_grant_and_audit(app: ConnectServer) -> None:
    browser = Browser(app)
    page = connect(browser, app, browser.consent(browser.leave(app.link("N1"))))
    assert "Thank you" in page.text
    bench, shown = app.bench, Notice.of(app.settings)
    kept = bench.row("SELECT version, text FROM privacy_notices")
    assert kept == {"version": shown.version, "text": shown.text}
    assert bench.row(GRANT) == bench.row(ATTEMPT) == {"notice_version": shown.version}
    audit = bench.row("SELECT details FROM store_audit WHERE action = 'connect'")
    assert audit["details"]["notice"] == shown.version


def test_a_page_read_before_the_text_changed_counts_with_what_it_said(
    app: ConnectServer, changed: ConnectServer
) -> None:
    browser, link = Browser(app), app.link("N1")
    read = browser.get(link)
    assert version(app) in read.text
    path = link.removeprefix(app.url)
    left = browser.send(changed.url + path, form_token=form_token(read))
    assert left.status_code == 303
    assert app.bench.row(ATTEMPT) == {"notice_version": version(app)}
    kept = app.bench.rows("SELECT version FROM privacy_notices")
    assert kept == [{"version": version(app)}]  # nobody has seen the new one


def test_the_question_shows_the_new_text_and_its_answer_counts(
    app: ConnectServer, changed: ConnectServer
) -> None:
    browser = Browser(app)
    query = browser.leave(app.link("N1"))
    back = browser.consent(query)
    # The old app exchanges the code, for its address is in the request; the new one asks.
    where = browser.get("/callback", **back).headers["Location"]
    page = browser.get(changed.url + where)
    assert version(changed) in page.text
    assert version(app) not in page.text
    browser.send(changed.url + where, form_token=form_token(page), choice="connect")
    assert app.bench.row(GRANT) == app.bench.row(ATTEMPT) == {"notice_version": version(changed)}


def test_a_second_try_keeps_what_was_read_before_the_first(app: ConnectServer) -> None:
    browser = Browser(app)
    back = browser.consent(browser.leave(app.link("N1")), decision="deny")
    where = app.url + browser.get("/callback", **back).headers["Location"]
    page = browser.get(where)
    assert browser.send(where, form_token=form_token(page), choice="again").status_code == 303
    attempts = app.bench.rows("SELECT notice_version FROM connect_attempts")
    assert attempts == [{"notice_version": version(app)}] * 2

    # An attempt from before notices were recorded begins again with the link's own page.
    app.bench.conn.execute("UPDATE connect_attempts SET notice_version = NULL")
    page = browser.get(where)
    refused = browser.send(where, form_token=form_token(page), choice="again")
    assert refused.status_code == 400
    assert "Open the link from the message again" in refused.text
    assert len(app.bench.rows("SELECT FROM connect_attempts")) == 2


def test_a_consent_that_is_not_asked_about_counts_with_the_page_before_it(
    app: ConnectServer,
) -> None:
    browser = Browser(app)
    connect(browser, app, browser.consent(browser.leave(app.link("N1"))))
    app.bench.conn.execute("UPDATE store_tokens SET notice_version = NULL")
    page = connect(browser, app, browser.consent(browser.leave(app.link("N1"))))
    assert "Thank you" in page.text
    assert app.bench.row(GRANT) == {"notice_version": version(app)}


def test_the_lists_tell_current_older_and_none(app: ConnectServer, changed: ConnectServer) -> None:
    bench, browser = app.bench, Browser(app)
    connect(browser, app, browser.consent(browser.leave(app.link("N1"))))
    bench.import_stores("S001")

    def said() -> dict[str, str]:
        return {one.store_code: one.notice for one in notices_shown(bench.conn)}

    assert said() == {"S001": "none", "N1": "current"}
    Browser(changed).get(changed.url + app.link("N1").removeprefix(app.url))
    assert said() == {"S001": "none", "N1": "older"}
    assert [one.store_code for one in notices_shown(bench.conn, "older")] == ["N1"]
    ending = {one.store_code: one.notice for one in consents_ending(bench.conn, 400)}
    assert ending == said()
    known = [(one.version, one.is_current, one.grants) for one in privacy_notices(bench.conn)]
    assert known == [(version(changed), True, 0), (version(app), False, 1)]

    Browser(app).get(app.link("N1"))  # the old text comes back
    assert said() == {"S001": "none", "N1": "current"}
    assert len(privacy_notices(bench.conn)) == 2


def test_an_import_of_other_tokens_forgets_the_notice_of_the_old_grant(
    app: ConnectServer,
) -> None:
    bench = app.bench
    bench.import_stores("S001")
    Browser(app).get(app.link("N1"))
    bench.conn.execute("UPDATE store_tokens SET notice_version = %s", [version(app)])
    bench.import_stores("S001")  # the very same tokens
    assert bench.row("SELECT notice_version FROM store_tokens") == {"notice_version": version(app)}
    code = bench.sandbox.admin("POST", "/stores/S001/code", json={})["code"]
    bench.sandbox.oauth("authorization_code", code=code, redirect_uri="x").raise_for_status()
    bench.import_stores("S001")
    stored = bench.row("SELECT notice_version FROM store_tokens")
    assert stored == {"notice_version": None}


def test_the_page_of_the_notice_needs_no_link_and_is_no_proof(app: ConnectServer) -> None:
    page = Browser(app).get("/privacy")
    assert page.status_code == 200
    assert version(app) in page.text
    assert app.bench.rows("SELECT FROM privacy_notices") == []
    Browser(app).http.head(app.link("N1"), timeout=30)
    assert app.bench.rows("SELECT FROM privacy_notices") == []


def test_the_apps_role_adds_a_text_under_its_own_version_and_changes_none(
    app: ConnectServer,
) -> None:
    Browser(app).get(app.link("N1"))
    kept = "SELECT version, text, first_shown_at FROM privacy_notices"
    before = app.bench.rows(kept)
    with app.as_role() as conn:
        for query in (
            "SELECT * FROM privacy_notices",
            "SELECT * FROM grant_notices",
            "UPDATE privacy_notices SET text = 'x'",
            "DELETE FROM privacy_notices",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(query.encode())
        call = "SELECT connect_notice(%s, %s)"
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute(call, ["0123456789abcdef", "another text"])
        conn.execute(call, [version(app), "another text"])  # the current one: nothing to do
    assert app.bench.rows(kept) == before


def test_a_clock_that_was_put_back_does_not_keep_a_new_text_from_being_the_current(
    app: ConnectServer, changed: ConnectServer
) -> None:
    Browser(app).get(app.link("N1"))
    app.bench.conn.execute("UPDATE privacy_notices SET current_since = now() + interval '1 day'")
    Browser(changed).get(changed.url + app.link("N1").removeprefix(app.url))
    assert [one.is_current for one in privacy_notices(app.bench.conn)] == [True, False]
    assert privacy_notices(app.bench.conn)[0].version == version(changed)
