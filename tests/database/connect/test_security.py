"""Is everything refused that is forged, replayed, expired, or another store's or browser's?"""

from __future__ import annotations

import string
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.connect.cookies import BrowserCookies
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.links.connect_links import LinkMaker, LinkSigner, hash_of
from include.tiktok_sync.store_db.connect_role import check_rights
from include.tiktok_sync.tiktok.fingerprint import fingerprint_of
from tests.connect_server import Browser, ConnectServer, form_token, running_connect
from tests.database.bench import Bench

STORES = ("N1", "N2")
TAMPERED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_CHARACTERS = string.ascii_letters + string.digits + "-_.!*%~"


@pytest.fixture
def app(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectServer]:
    for code in STORES:
        bench.conn.execute(
            "INSERT INTO stores (store_code, store_name) VALUES (%s, %s)", [code, f"Store {code}"]
        )
    # The limit would answer before the check under test does.
    monkeypatch.setattr("include.connect.middleware._kind_of", lambda _: None)
    with running_connect(bench) as server:
        yield server


def traces(app: ConnectServer) -> list[Any]:
    """Everything that a refused request must leave as it was."""
    bench = app.bench
    return [
        bench.rows("SELECT * FROM connect_links ORDER BY 1"),
        bench.rows("SELECT * FROM connect_attempts ORDER BY begun_at"),
        bench.rows("SELECT * FROM store_tokens"),
        bench.calls().get("oauth_token", 0),
    ]


@st.composite
def tamperings(draw: st.DrawFn, value: str) -> str:
    """A changed value: cut, extended, a character exchanged, parts mixed up, or made up."""
    where = draw(st.integers(0, len(value) - 1))
    character = draw(st.sampled_from(_CHARACTERS))
    kind = draw(st.sampled_from(("exchange", "cut", "insert", "swap", "other")))
    parts = value.split(".")
    changed = {
        "exchange": value[:where] + character + value[where + 1 :],
        "cut": value[:where],
        "insert": value[:where] + character + value[where:],
        "swap": ".".join(reversed(parts)),
        "other": draw(st.text(_CHARACTERS, min_size=1, max_size=120)),
    }[kind]
    return changed or "x"


def test_no_tampered_link_opens_anything(app: ConnectServer) -> None:
    link = app.link("N1")
    token = link.rpartition("/")[2]
    before = traces(app)

    @TAMPERED
    @given(tamperings(token))
    def check(forged: str) -> None:
        if forged == token:
            return
        browser = Browser(app)
        shown = browser.http.get(f"{app.url}/c/{forged}", timeout=30, allow_redirects=False)
        assert shown.status_code in {404, 405}
        sent = browser.send(f"{app.url}/c/{forged}", form_token="x")
        assert sent.status_code in {400, 404, 405}
        assert "form_token" not in shown.text

    check()
    assert traces(app) == before


def test_no_tampered_state_is_taken(app: ConnectServer) -> None:
    browser = Browser(app)
    query = browser.leave(app.link("N1"))
    state, code = query["state"], browser.consent(query)["code"]
    before = traces(app)

    @TAMPERED
    @given(tamperings(state))
    def check(forged: str) -> None:
        if forged == state:
            return
        back = browser.get("/callback", state=forged, code=code)
        assert back.status_code == 400
        assert "cannot be repeated" in back.text

    check()
    assert traces(app) == before
    assert browser.get("/callback", state=state, code=code).status_code == 303


def test_a_way_back_leads_on_only_with_all_its_parts(app: ConnectServer) -> None:
    """Every mixture of store, browser, state, age and repetition; one of them is the true one."""

    @settings(TAMPERED, max_examples=40)
    @given(
        store=st.sampled_from(STORES),
        browser=st.sampled_from(("own", "own", "other", "none")),
        state=st.sampled_from(("own", "own", "of the other store", "tampered")),
        age=st.sampled_from(("fresh", "fresh", "late", "link ended", "link replaced")),
        data=st.data(),
    )
    def check(store: str, browser: str, state: str, age: str, data: st.DataObject) -> None:
        own, other = Browser(app), Browser(app)
        link = app.link(store)
        back = own.consent(own.leave(link))
        other_store = next(code for code in STORES if code != store)
        theirs = other.leave(app.link(other_store))["state"]
        true = back["state"]
        back["state"] = {
            "own": lambda: true,
            "of the other store": lambda: theirs,
            "tampered": lambda: data.draw(tamperings(true)),
        }[state]()
        _let_pass(app, link, store, age)
        client = {"own": own, "other": other, "none": Browser(app)}[browser]
        good = (browser, age) == ("own", "fresh") and back["state"] == true
        # The other browser with its own state is on its own way, with a code that is not its own.
        theirs_again = browser == "other" and back["state"] == theirs
        expected = 303 if good or theirs_again else 400
        first, again = (client.get("/callback", **back) for _ in range(2))
        # Coming back twice leads to the same attempt, and does nothing.
        assert (first.status_code, again.status_code) == (expected, expected)
        assert first.headers.get("Location") == again.headers.get("Location")
        assert app.bench.rows("SELECT FROM store_tokens") == []
        held = app.bench.rows(
            "SELECT store_code FROM connect_attempts WHERE access_token IS NOT NULL"
        )
        assert [row["store_code"] for row in held] == ([store] if good else [])
        app.bench.conn.execute("DELETE FROM connect_links")

    check()


def _let_pass(app: ConnectServer, link: str, store: str, age: str) -> None:
    """Something that ends the way, between leaving and coming back."""
    if age == "late":
        app.bench.conn.execute(
            "UPDATE connect_attempts SET expires_at = now() WHERE store_code = %s", [store]
        )
    elif age == "link ended":
        app.bench.conn.execute(
            "UPDATE connect_links SET expires_at = now() WHERE link_hash = %s",
            [hash_of(link.rpartition("/")[2])],
        )
    elif age == "link replaced":
        app.link(store)


def test_links_of_another_secret_another_store_or_no_row_are_none(app: ConnectServer) -> None:
    ends = utc_now() + timedelta(days=1)
    unknown = LinkSigner(app.settings.secret).sign("N1", ends)  # signed, and never handed out
    other = LinkSigner("another secret, of more than 32 characters").sign("N1", ends)
    app.bench.conn.execute(
        "INSERT INTO connect_links (link_hash, store_code, created_by, expires_at)"
        " VALUES (%s, 'N1', 'test', %s), (%s, 'N2', 'test', %s)",
        [hash_of(other), ends, hash_of(unknown), ends],
    )
    for token in (unknown, other):  # the hash is known, of another store; the signature is wrong
        assert Browser(app).get(f"/c/{token}").status_code == 404


def test_an_expired_used_or_replaced_link_is_refused_at_every_step(app: ConnectServer) -> None:
    for column, says in (
        ("expires_at", "has expired"),
        ("used_at", "already used"),
        ("revoked_at", "A newer link was made"),
    ):
        browser, link = Browser(app), app.link("N1")
        token = form_token(browser.get(link))
        query = browser.leave(link)
        app.bench.conn.execute(
            f"UPDATE connect_links SET {column} = now() - interval '1 second'"  # noqa: S608 - our own columns
            " WHERE used_at IS NULL AND revoked_at IS NULL"
        )
        for refused in (browser.get(link), browser.send(link, form_token=token)):
            assert refused.status_code == 410
            assert says in refused.text
        back = browser.consent(query)
        assert browser.get("/callback", **back).status_code == 400
    assert app.bench.rows("SELECT FROM store_tokens") == []
    assert app.bench.calls().get("oauth_token", 0) == 0


def test_a_newer_link_ends_the_older_ones_of_its_store_alone(app: ConnectServer) -> None:
    old, other = app.link("N1"), app.link("N2")
    new = app.link("N1")
    found = [Browser(app).get(link).status_code for link in (old, other, new)]
    assert found == [410, 200, 200]


def test_a_state_works_once_for_its_own_browser_and_before_its_end(app: ConnectServer) -> None:
    link, browser, stranger = app.link("N1"), Browser(app), Browser(app)
    stranger.get(link)  # has a cookie of its own
    back = browser.consent(browser.leave(link))
    assert stranger.get("/callback", **back).status_code == 400
    assert requests.get(f"{app.url}/callback", params=back, timeout=30).status_code == 400
    first, again = (browser.get("/callback", **back) for _ in range(2))
    assert (first.status_code, again.status_code) == (303, 303)
    assert first.headers["Location"] == again.headers["Location"]
    assert stranger.get("/callback", **back).status_code == 400
    assert app.bench.calls()["oauth_token"] == 1

    late = browser.consent(browser.leave(link))
    app.bench.conn.execute("UPDATE connect_attempts SET expires_at = now()")
    assert browser.get("/callback", **late).status_code == 400
    assert app.bench.calls()["oauth_token"] == 1


def test_a_state_is_too_old_by_its_own_signature_too(
    app: ConnectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookies = BrowserCookies(app.settings)
    state = cookies.new_state("display", "N1")
    assert cookies.store_of_state("display", state) == "N1"
    monkeypatch.setattr("include.connect.cookies.ATTEMPT_SECONDS", -1)
    assert cookies.store_of_state("display", state) is None


def test_a_state_of_one_store_does_not_connect_another(app: ConnectServer) -> None:
    browser = Browser(app)
    first = browser.consent(browser.leave(app.link("N1")), account="S021")
    second = browser.consent(browser.leave(app.link("N2")), account="S022")
    # Codes and states mixed up: the code's challenge belongs to the other state.
    mixed = browser.get("/callback", state=first["state"], code=second["code"])
    assert "did not give us access" in browser.get(mixed.headers["Location"]).text
    page = browser.get(browser.get("/callback", **second).headers["Location"])
    answer = {"form_token": form_token(page), "choice": "connect"}
    # The form of one attempt is no answer to another one.
    assert browser.send(app.url + mixed.headers["Location"], **answer).status_code == 400
    assert app.bench.rows("SELECT FROM store_tokens") == []


def test_an_attempt_is_open_to_its_own_browser_only(app: ConnectServer) -> None:
    link, browser, stranger = app.link("N1"), Browser(app), Browser(app)
    stranger.get(link)
    where = browser.get("/callback", **browser.consent(browser.leave(link))).headers["Location"]
    page = browser.get(where)
    assert "Is this the account" in page.text
    answer = {"form_token": form_token(page), "choice": "connect"}
    for response in (stranger.get(where), stranger.send(app.url + where, **answer)):
        assert response.status_code == 404
    forged = {**answer, "form_token": "forged"}
    assert browser.send(app.url + where, **forged).status_code == 400
    assert app.bench.rows("SELECT FROM store_tokens") == []
    browser.send(app.url + where, **answer)
    assert len(app.bench.rows("SELECT FROM store_tokens")) == 1


def test_tokens_that_wait_are_ciphertext_and_gone_when_nobody_answers(app: ConnectServer) -> None:
    browser = Browser(app)
    where = browser.get("/callback", **browser.consent(browser.leave(app.link("N1"))))
    held = app.bench.row("SELECT * FROM connect_attempts")
    issued = app.bench.sandbox.sandbox.tokens.pair("S021")
    secrets = (issued.access.value, issued.refresh.value, app.settings.client_secret)
    assert all(secret not in text for text in app.bench.dump().values() for secret in secrets)
    vault = app.bench.vault
    assert (
        vault.decrypt(held["access_token"], store_code="N1", kind="access") == issued.access.value
    )
    app.bench.conn.execute("UPDATE connect_attempts SET expires_at = now()")
    assert browser.get(where.headers["Location"]).status_code == 410
    with app.as_role() as conn:
        conn.execute("SELECT connect_sweep()")
    left = app.bench.row("SELECT * FROM connect_attempts")
    assert (left["outcome"], left["access_token"], left["refresh_token"]) == ("expired", None, None)


def test_a_consent_says_which_app_gave_it_and_moves_a_store_to_a_new_one(
    app: ConnectServer,
) -> None:
    query = "SELECT store_code, app_fingerprint FROM store_tokens"
    ours = {"store_code": "N1", "app_fingerprint": fingerprint_of(app.settings.client_key)}
    for expected_before in ([], [ours | {"app_fingerprint": "another app"}]):
        assert app.bench.rows(query) == expected_before
        browser = Browser(app)
        where = browser.get("/callback", **browser.consent(browser.leave(app.link("N1"))))
        page = browser.get(where.headers["Location"])
        if not expected_before:  # the last question, for an account that is new here
            browser.send(
                app.url + where.headers["Location"],
                form_token=form_token(page),
                choice="connect",
            )
        assert app.bench.rows(query) == [ours]
        app.bench.conn.execute("UPDATE store_tokens SET app_fingerprint = 'another app'")


def test_the_apps_role_cannot_read_or_write_any_table(app: ConnectServer) -> None:
    app.bench.import_stores("S001")
    tables = [
        found["relname"]
        for found in app.bench.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p', 'v') AND relname <> 'alembic_version'"
        )
    ]
    assert {"store_tokens", "connect_links", "connect_attempts"} <= set(tables)
    attempts = [
        *(f"SELECT * FROM {table}" for table in tables),  # noqa: S608 - names of our own tables
        "UPDATE store_tokens SET status = 'active'",
        "DELETE FROM store_tokens",
        "INSERT INTO connect_links SELECT * FROM connect_links",
        "COPY store_tokens TO STDOUT",
        "SELECT connect_known_account('S001')",
        "SELECT connect_verdict('S001', '', '')",
        "CREATE TABLE mine (a int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SET ROLE postgres",
    ]
    with app.as_role() as conn:
        check_rights(conn)
        for attempt in attempts:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(attempt.encode())
        # A shadowing object does not lead the functions astray: their search path is their own.
        conn.execute("CREATE TEMP TABLE store_tokens (store_code text, open_id text)")
        assert conn.execute("SELECT connect_sweep()").fetchone() == (0,)


def test_the_apps_role_reaches_no_other_store_through_its_functions(app: ConnectServer) -> None:
    """With a good attempt of one store in hand, as if the app itself were broken into."""
    app.bench.import_stores("S001")
    before = app.bench.row("SELECT * FROM store_tokens WHERE store_code = 'S001'")
    link, browser = hash_of("a"), hash_of("b")
    app.bench.conn.execute(
        "INSERT INTO connect_links (link_hash, store_code, created_by, expires_at)"
        " VALUES (%s, 'N1', 'test', now() + interval '1 day')",
        [link],
    )
    call = "SELECT connect_hold(%s, %s, %s::jsonb, 'x', now(), 'y', now())"
    with app.as_role() as conn:
        begin = "SELECT connect_begin(%s, %s, %s, interval '1 year')"
        (attempt,) = conn.execute(begin, [link, hash_of("s"), browser]).fetchone() or (None,)
        assert conn.execute("SELECT * FROM connect_link(%s)", [hash_of("guess")]).fetchone() is None
        row = conn.execute("SELECT * FROM connect_attempt(%s, %s)", [attempt, link]).fetchone()
        assert row is None  # another browser
        conn.execute("SELECT connect_return(%s, %s)", [hash_of("s"), browser])
        theirs = f'{{"open_id": "{before["open_id"]}", "scope": "video.list"}}'
        assert conn.execute(call, [attempt, browser, theirs]).fetchone() == ("taken",)
        confirm = "SELECT connect_confirm(%s, %s, true, 'active', true)"
        assert conn.execute(confirm, [attempt, browser]).fetchone() == ("taken",)
    after = app.bench.rows("SELECT * FROM store_tokens")
    assert after == [before]
    ends = app.bench.row("SELECT expires_at - begun_at AS life FROM connect_attempts")
    assert ends["life"] <= timedelta(hours=1)


def test_a_role_with_other_rights_is_refused_at_start(app: ConnectServer) -> None:
    with pytest.raises(ConfigurationError, match="store_tokens"):
        check_rights(app.bench.conn)
    with app.as_role() as conn:
        check_rights(conn)
        app.bench.conn.execute("CREATE FUNCTION connect_new() RETURNS int RETURN 1")
        app.bench.conn.execute("REVOKE ALL ON FUNCTION connect_new() FROM PUBLIC")
        with pytest.raises(ConfigurationError, match="lacks rights"):
            check_rights(conn)


def test_a_store_code_in_a_link_may_be_any(bench: Bench) -> None:
    code = 'Ä "1"/?#'
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES (%s, 'x')", [code])
    with running_connect(bench) as app:
        made = LinkMaker(app.settings.secret, app.url, "test").make(bench.conn, code)
        page = Browser(app).get(made.url)
    assert page.status_code == 200
    assert "&#34;1&#34;" in page.text
