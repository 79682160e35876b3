"""Stores put in and connect links made from the status page, on a real database."""

from __future__ import annotations

import csv
import io
import logging
import re
import secrets
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from include.tiktok_sync import open_links
from include.tiktok_sync.connect_links import LinkSigner, hash_of
from include.tiktok_sync.database import Connection
from include.tiktok_sync.lifecycle import Lifecycle
from status_page.access import Viewer
from status_page.bounded import MOST_BYTES
from status_page.csrf import SESSION_COOKIE
from status_page.forms import guard
from status_page.look import HEADERS
from tests.browser import PHONE, open_page, screenshot
from tests.database.bench import insert_grants, row, rows
from tests.status_site import ADMIN, READER, served, status_site

SECRET = secrets.token_urlsafe(32)
BASE = "https://connect.example.com"
LINK = re.compile(rf"{BASE}/c/[\w.-]+")
OWN = {"Sec-Fetch-Site": "same-origin"}
FORMS: dict[str, dict[str, str]] = {
    "add-store": {"code": "N1", "name": "Kiel"},
    "import-stores": {"csv_text": "store_code,store_name,region\nN1,Kiel,\n"},
    "connect-link": {"store_code": "S1"},
    "connect-links.csv": {},
}


@pytest.fixture(autouse=True)
def connect_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the API server has them."""
    monkeypatch.setenv("CONNECT_SECRET", SECRET)
    monkeypatch.setenv("CONNECT_BASE_URL", BASE)


@pytest.fixture
def users() -> list[Viewer]:
    """Who looks: the first of them."""
    return [ADMIN]


@pytest.fixture
def site(conn: Connection, db_url: str, users: list[Viewer]) -> Iterator[str]:
    """The page's address; one store is there, never connected."""
    Lifecycle(conn, "test").add("S1", "Köln <West>")
    with served(status_site(db_url, user=lambda: users[0])) as url:
        yield url


class Press:
    """A browser without a window: gets the page of a form, then sends it."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.http = requests.Session()
        page = self.http.get(f"{site}new-stores", timeout=60)
        self.token = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]

    def __call__(self, path: str, **form: str) -> requests.Response:
        return self._send(path, data={"csrf_token": self.token, **form})

    def file(self, content: bytes, **form: str) -> requests.Response:
        data = {"csrf_token": self.token, **form}
        return self._send("import-stores", data=data, files={"csv_file": ("s.csv", content)})

    def _send(self, path: str, **what: Any) -> requests.Response:
        answer = self.http.request("POST", self.site + path, headers=OWN, timeout=60, **what)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        return answer


@pytest.fixture
def press(site: str) -> Press:
    return Press(site)


def links_of(answer: requests.Response) -> list[str]:
    return sorted(set(LINK.findall(answer.text)))


def audit(conn: Connection, code: str) -> list[tuple[str, str]]:
    found = rows(conn, f"SELECT action, actor FROM store_audit WHERE store_code = '{code}'")  # noqa: S608 - a constant
    return [(one["action"], one["actor"]) for one in found]


def test_a_store_is_put_in_and_its_page_says_what_comes_next(
    press: Press, conn: Connection
) -> None:
    answer = press("add-store", code=" N1/ä ", name="Kiel", region="")
    assert answer.status_code == 200
    assert answer.url.endswith("/store?code=N1%2F%C3%A4")
    assert "N1/ä is in. It needs its manager" in unescape(answer.text)
    assert row(conn, "SELECT store_name, region FROM stores WHERE store_code = 'N1/ä'") == {
        "store_name": "Kiel",
        "region": None,
    }
    assert audit(conn, "N1/ä") == [("add", "airflow:admin")]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"code": "S1"}, "There is a store S1 already (needs_consent)"),
        ({"code": " "}, "A store's code must be a text that is not empty"),
        ({"name": ""}, "A store's name must be"),
        ({"code": "x" * 251}, "The code is 251 characters long; it can be 250."),
        ({"region": "a\x00b"}, "The region holds a NUL character"),
    ],
)
def test_a_refused_store_is_told_why_and_nothing_typed_is_lost(
    press: Press, conn: Connection, changed: dict[str, str], says: str
) -> None:
    typed = {"code": "N1", "name": 'A "quoted" name', "region": "<North>", **changed}
    answer = press("add-store", **typed)
    assert answer.status_code == 409
    text = unescape(answer.text)
    assert says in text
    for value in typed.values():
        assert f'value="{value.strip()}"' in text
    assert rows(conn, "SELECT store_code FROM stores") == [{"store_code": "S1"}]


@pytest.mark.parametrize("how", ["pasted", "uploaded"])
def test_of_a_csv_the_good_rows_are_loaded_and_the_bad_ones_named(
    press: Press, conn: Connection, how: str
) -> None:
    text = (
        "store_code,store_name,region\r\nN1,Kiel,Nord\r\nN2,,\r\nS1,Köln Ost,\r\nN1,Again,\r\n"
        "N3,Bonn,\r\n"
    )
    answer = (
        press("import-stores", csv_text=text)
        if how == "pasted"
        else press.file(b"\xef\xbb\xbf" + text.encode())
    )
    assert answer.status_code == 200
    assert "3 stores loaded, 2 rows not." in answer.text
    assert re.findall(r'class="number">(\d+)</td><td class="message">([^<]+)<', answer.text) == [
        ("3", "store_name is empty"),
        ("5", "store_code N1 is on line 2 already"),
    ]
    assert ("N1,Again" in answer.text) == (how == "pasted")  # to be corrected
    assert rows(conn, "SELECT store_code, store_name FROM stores ORDER BY 1") == [
        {"store_code": "N1", "store_name": "Kiel"},
        {"store_code": "N3", "store_name": "Bonn"},
        {"store_code": "S1", "store_name": "Köln Ost"},
    ]
    assert audit(conn, "N3") == [("import", "airflow:admin")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("code,name\nN1,Kiel\n", "first line lacks store_code"),
        (" ", "Choose a file, or paste one."),
        (b"store_code,store_name,region\nN1,K\xf6ln,\n", "not UTF-8"),
    ],
)
def test_a_csv_that_is_none_is_refused_whole(
    press: Press, conn: Connection, content: str | bytes, says: str
) -> None:
    answer = (
        press.file(content)
        if isinstance(content, bytes)
        else press("import-stores", csv_text=content)
    )
    assert answer.status_code == 409
    assert says in unescape(answer.text)
    assert rows(conn, "SELECT store_code FROM stores") == [{"store_code": "S1"}]


def test_a_file_and_a_text_at_once_are_not_guessed_about(press: Press, conn: Connection) -> None:
    text = FORMS["import-stores"]["csv_text"]
    answer = press.file(text.encode(), csv_text=text)
    assert answer.status_code == 409
    assert "There is a file and a pasted text" in answer.text
    assert rows(conn, "SELECT store_code FROM stores") == [{"store_code": "S1"}]


def test_tokens_are_neither_taken_nor_shown_again(press: Press, conn: Connection) -> None:
    answer = press(
        "import-stores",
        csv_text="store_code,store_name,region,open_id,access_token,access_expires_at,"
        "refresh_token,refresh_expires_at,scope\n"
        "N1,Kiel,,o,act.veiled,2030-01-01,rft.veiled,2031-01-01,user.info.basic\n"
        "N2,Bonn,,,,,,,\n",
    )
    assert "it brings tokens, which are not taken here" in answer.text
    assert "veiled" not in answer.text
    assert rows(conn, "SELECT store_code FROM stores ORDER BY 1") == [
        {"store_code": "N2"},
        {"store_code": "S1"},
    ]
    assert rows(conn, "SELECT FROM store_tokens") == []


def test_what_is_too_long_is_refused_before_it_is_kept(press: Press, conn: Connection) -> None:
    for answer in (
        press("import-stores", csv_text="x" * MOST_BYTES),
        press.file(b"x" * MOST_BYTES),
    ):
        assert answer.status_code == 413
        assert "at most 1 MiB" in answer.text
    assert rows(conn, "SELECT store_code FROM stores") == [{"store_code": "S1"}]


def test_a_link_is_in_its_page_alone(
    press: Press, site: str, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = press("connect-link", store_code="S1", days="3", account="@My.Store")
    assert answer.status_code == 200
    assert answer.history == []
    assert answer.headers["Cache-Control"] == "no-store"
    (link,) = links_of(answer)
    token = link.rpartition("/")[2]
    assert LinkSigner(SECRET).store_of(token) == "S1"
    assert token not in answer.url + str(answer.headers) + caplog.text
    kept = row(conn, "SELECT * FROM connect_links")
    assert (kept["link_hash"], kept["created_by"]) == (hash_of(token), "airflow:admin")
    assert kept["expected_account"] == "my.store"
    assert f"{kept['expires_at']:%Y-%m-%d %H:%M} UTC" in answer.text
    assert audit(conn, "S1") == [("add", "test"), ("link", "airflow:admin")]
    # The message to the manager, also as a mail to be sent by the operator's own program.
    (mail,) = re.findall(r'href="(mailto:[^"]+)"', answer.text)
    body = parse_qs(urlsplit(unescape(mail)).query)["body"][0].replace("\r\n", "\n")
    assert link in body
    assert "Köln <West> (S1)" in body
    assert unescape(answer.text).count(body) == 1
    # No page shows it again, but the store's says that there is one.
    again = press.http.get(f"{site}store?code=S1", timeout=60).text
    assert token not in again
    assert "made by airflow:admin" in again
    assert press.http.get(f"{site}connect-link", timeout=60).status_code == 405


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"days": "0"}, "1 to 90 days, not 0"),
        ({"days": "soon"}, "not 'soon'"),
        ({"account": "two words"}, "no TikTok username"),
    ],
)
def test_a_refused_link_is_told_why_and_nothing_typed_is_lost(
    press: Press, conn: Connection, form: dict[str, str], says: str
) -> None:
    answer = press("connect-link", store_code="S1", **form)
    assert answer.status_code == 409
    assert says in unescape(answer.text)
    for value in form.values():
        assert f'value="{value}"' in answer.text
    assert rows(conn, "SELECT FROM connect_links") == []
    assert press("connect-link", store_code="S9").status_code == 404


@pytest.mark.parametrize("missing", ["CONNECT_SECRET", "CONNECT_BASE_URL"])
def test_without_its_settings_stores_are_put_in_and_what_is_missing_is_named(
    press: Press, site: str, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)
    assert press("add-store", code="N1", name="Kiel").status_code == 200
    for path in ("stores", "store?code=N1"):
        page = unescape(press.http.get(site + path, timeout=60).text)
        assert f"{missing} is not set" in page
        assert "the environment of Airflow's API server" in page
        assert "/connect-link" not in page
    for path, form in (("connect-link", {"store_code": "N1"}), ("connect-links.csv", {})):
        answer = press(path, **form)
        assert answer.status_code == 409
        assert f"{missing} is not set" in answer.text


def test_links_for_all_are_a_table_and_again_goes_on_with_the_rest(
    press: Press, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifecycle = Lifecycle(conn, "test")
    for code in ("N1", "N2", "N3", "N4", "N5"):
        lifecycle.add(code, f"=name of {code}")
        insert_grants(conn, code)
    conn.execute("UPDATE store_tokens SET status = 'needs_consent' WHERE store_code <> 'N1'")
    conn.execute("UPDATE store_tokens SET status = 'missing_scope' WHERE store_code = 'N2'")
    lifecycle.pause("N4", None)
    lifecycle.remove("N5")
    monkeypatch.setattr(open_links, "MOST_AT_ONCE", 2)

    def codes(**form: str) -> list[str]:
        answer = press("connect-links.csv", **form)
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8", answer.text
        assert "attachment" in answer.headers["Content-Disposition"]
        table = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        for one in table:
            token = one["link"].removeprefix(f"{BASE}/c/")
            assert LinkSigner(SECRET).store_of(token) == one["store_code"]
            assert one["valid_until"].endswith(" UTC")
            assert not one["store_name"].startswith("=")
        return [one["store_code"] for one in table]

    assert codes() == ["N2", "N3"]
    assert codes() == ["S1"]
    nothing = press("connect-links.csv")
    assert nothing.status_code == 409
    assert "No store needs one" in nothing.text
    assert codes(again="true", days="1") == ["N2", "N3"]
    open_ones = "SELECT count(*) AS n FROM connect_links WHERE revoked_at IS NULL"
    assert row(conn, open_ones) == {"n": 3}
    assert press("connect-links.csv", again="true", days="91").status_code == 409
    assert row(conn, open_ones) == {"n": 3}


def test_who_may_not_gets_no_button_and_is_refused(
    site: str, press: Press, users: list[Viewer], conn: Connection
) -> None:
    before = rows(conn, "SELECT FROM store_audit")
    for path, form in FORMS.items():
        stranger = requests.post(site + path, form, headers=OWN, timeout=60)
        assert stranger.status_code == 403
        cross = {"Sec-Fetch-Site": "cross-site"}
        signed = {**form, "csrf_token": press.token}
        elsewhere = press.http.post(site + path, signed, headers=cross, timeout=60)
        assert "did not come from this page" in elsewhere.text
        assert elsewhere.status_code == 403
    users[0] = READER
    # What a reader's page would hold, had it a button.
    press.token = guard().token(READER.id, press.http.cookies[SESSION_COOKIE])
    for path, form in FORMS.items():
        answer = press(path, **form)
        assert answer.status_code == 403
        assert "You may not edit the connection store_db" in answer.text
    assert press.http.get(f"{site}new-stores", timeout=60).status_code == 403
    for path in ("", "stores", "store?code=S1"):
        page = press.http.get(site + path, timeout=60).text
        assert not re.search(r"connect-link|new-stores", page), path
    assert rows(conn, "SELECT FROM store_audit") == before


def test_stores_are_found_by_state(press: Press, site: str, conn: Connection) -> None:
    lifecycle = Lifecycle(conn, "test")
    for code in ("N1", "N2", "N3"):
        lifecycle.add(code, "x")
        insert_grants(conn, code)
    lifecycle.pause("N2", None)
    lifecycle.remove("N3")

    def found(**query: str) -> list[str]:
        page = press.http.get(f"{site}stores", params=query, timeout=60)
        assert page.status_code == 200
        return re.findall(r'<td class="store"><a href="[^"]+">(\w+)<', page.text)

    assert found(state="active") == ["N1"]
    assert found(state="needs_consent") == ["S1"]
    assert found(state="paused") == ["N2"]
    assert found(state="removed", q="n") == ["N3"]
    assert found(state="missing_scope") == []
    assert found(state="") == ["N1", "N2", "N3", "S1"]
    paused = press.http.get(f"{site}store?code=N2", timeout=60).text
    assert "This store is paused" in paused
    assert "connect-link" not in paused


def test_in_the_browser_a_store_is_put_in_and_its_link_made(site: str, browser: Browser) -> None:
    with open_page(browser) as page:
        page.goto(site)
        page.get_by_role("link", name="Stores", exact=True).click()
        page.get_by_role("link", name="New stores").click()
        one = page.get_by_role("region", name="One store")
        one.get_by_label("Code").fill("S1")
        one.get_by_label("Name").fill("Kiel")
        one.get_by_role("button", name="Add the store").click()
        expect(page.get_by_role("alert")).to_contain_text("There is a store S1 already")
        expect(one.get_by_label("Name")).to_have_value("Kiel")
        look_at(page, "stores-new-refused")
        one.get_by_label("Code").fill("N1")
        one.get_by_role("button", name="Add the store").click()
        expect(page.get_by_role("status")).to_contain_text("N1 is in.")
        look_at(page, "stores-added")
        page.get_by_role("button", name="Make a connect link: N1").click()
        link = page.get_by_role("textbox", name="The link")
        expect(link).to_have_attribute("readonly", "")
        token = link.input_value().removeprefix(f"{BASE}/c/")
        assert LinkSigner(SECRET).store_of(token) == "N1"
        assert token not in page.url
        page.get_by_role("button", name="Copy the link").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        look_at(page, "stores-link")
        page.get_by_role("link", name="To all stores").click()
        look_at(page, "stores-list")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download links as CSV").click()
        table = download.value.path().read_text(encoding="utf-8")
        assert [line.split(",")[0] for line in table.splitlines()] == ["store_code", "S1"]
        expect(page.get_by_role("button", name="Download links as CSV")).to_be_enabled()
        page.get_by_role("link", name="New stores").click()
        many = page.get_by_role("region", name="Many stores")
        many.get_by_label("CSV file").set_input_files(
            {
                "name": "stores.csv",
                "mimeType": "text/csv",
                "buffer": b"store_code,store_name,region\nN2,Bonn,\nN3,,\n",
            }
        )
        many.get_by_role("button", name="Load the stores").click()
        expect(page.get_by_role("alert")).to_contain_text("1 store loaded, 1 row not.")
        look_at(page, "stores-imported")
        page.set_viewport_size(PHONE)
        for path in ("new-stores", "stores", "store?code=N1"):
            page.goto(site + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
            screenshot(page, f"stores-phone-{path.partition('?')[0]}")


def look_at(page: Page, name: str) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        screenshot(page, f"{name}-{scheme}")


def test_without_scripts_a_link_is_made_all_the_same(site: str, browser: Browser) -> None:
    with open_page(browser, java_script_enabled=False) as page:
        page.goto(f"{site}stores")
        page.get_by_role("button", name="Make a connect link: S1").click()
        link = page.get_by_role("textbox", name="The link").input_value()
        assert LinkSigner(SECRET).store_of(link.rpartition("/")[2]) == "S1"
        expect(page.get_by_role("button")).to_have_count(0)
