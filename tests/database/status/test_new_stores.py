"""Stores put in on the status page, and found there again, on a real database."""

from __future__ import annotations

import re
from html import unescape

import pytest
import requests

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.database.bench import insert_grants, row, rows
from tests.database.press import OWN, Press, audit
from tests.status_site import READER
from tiktok_airflow.status_page.access import Viewer
from tiktok_airflow.status_page.buttons.bounded import MOST_BYTES
from tiktok_airflow.status_page.buttons.csrf import SESSION_COOKIE
from tiktok_airflow.status_page.buttons.forms import guard

FORMS: dict[str, dict[str, str]] = {
    "add-store": {"code": "N1", "name": "Kiel"},
    "import-stores": {"csv_text": "store_code,store_name,region\nN1,Kiel,\n"},
    "connect-link": {"store_code": "S1"},
    "connect-links.csv": {},
}


def test_a_store_is_put_in_and_its_page_says_what_comes_next(
    press: Press, conn: Connection
) -> None:
    answer = press("add-store", code=" N1/ä ", name="Kiel", region="", timezone=" Asia/Tokyo")
    assert answer.status_code == 200
    assert answer.url.endswith("/store?code=N1%2F%C3%A4")
    assert "N1/ä is in. It needs its manager" in unescape(answer.text)
    query = "SELECT store_name, region, timezone FROM stores WHERE store_code = 'N1/ä'"
    assert row(conn, query) == {"store_name": "Kiel", "region": None, "timezone": "Asia/Tokyo"}
    assert audit(conn, "N1/ä") == [("add", "airflow:admin")]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"code": "S1"}, "There is a store S1 already (needs_consent)"),
        ({"code": " "}, "A store's code must be a text that is not empty"),
        ({"name": ""}, "A store's name must be"),
        ({"code": "x" * 251}, "The code is 251 characters long; it can be 250."),
        ({"region": "a\x00b"}, "The region holds a NUL character"),
        ({"timezone": "Mars"}, "timezone is no known time zone: Mars. Write it as Europe/Berlin"),
    ],
)
def test_a_refused_store_shows_why_and_nothing_typed_is_lost(
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
    assert "3 stores loaded, 2 rows not. 2 new, 1 updated." in answer.text
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
        (b"store_code,store_name,region\nN1,K\xf6ln,\n", "Line 2 is not UTF-8"),
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
        "N1,Kiel,,o,act.veiled,2030-01-01T00:00Z,rft.veiled,2031-01-01T00:00Z,user.info.basic\n"
        "N2,Bonn,,,,,,,\n",
    )
    assert "it brings tokens, which are not taken here" in answer.text
    assert "veiled" not in answer.text
    assert rows(conn, "SELECT store_code FROM stores ORDER BY 1") == [
        {"store_code": "N2"},
        {"store_code": "S1"},
    ]
    assert rows(conn, "SELECT FROM store_tokens") == []


@pytest.mark.parametrize(
    "text",
    [
        "N1,Kiel,,o,act.veiled,2030-01-01T00:00Z,rft.veiled,2031-01-01T00:00Z,user.info.basic\n",
        "store_code,store_name,region\nact.veiled,Kiel,\nN2,rft.veiled,\n",
        "Store Code,Store Name,Region,open id,Access Token\nN1,Kiel,,o,veiled\n",
    ],
)
def test_a_token_in_the_wrong_place_is_not_shown_again_either(press: Press, text: str) -> None:
    answer = press("import-stores", csv_text=text)
    assert 'role="alert"' in answer.text
    assert "veiled" not in answer.text
    refused = press("add-store", code="act.veiled1", name="rft.veiled2")
    assert "looks like a token" in refused.text


def test_a_code_that_looks_like_another_is_taken_if_it_is_meant(
    press: Press, conn: Connection
) -> None:
    typed = {"code": "s01", "name": "Kiel"}
    refused = press("add-store", **typed)
    assert refused.status_code == 409
    assert "differs from store S1 only" in refused.text
    assert 'name="new"' in refused.text
    text = "store_code;store_name;region\n001;Kiel;\n1;Kiel;\n"
    answer = press("import-stores", csv_text=text)
    assert "differs from store 001 only" in answer.text
    assert "1 new, 0 updated." in answer.text
    assert press("add-store", **typed, new="true").url.endswith("/store?code=s01")
    assert "1 new, 1 updated." in press("import-stores", csv_text=text, new="true").text
    found = rows(conn, "SELECT store_code FROM stores ORDER BY 1")
    assert [one["store_code"] for one in found] == ["001", "1", "S1", "s01"]


def test_what_is_too_long_is_refused_before_it_is_kept(press: Press, conn: Connection) -> None:
    for answer in (
        press("import-stores", csv_text="x" * MOST_BYTES),
        press.file(b"x" * MOST_BYTES),
    ):
        assert answer.status_code == 413
        assert "at most 1 MiB" in answer.text
    assert rows(conn, "SELECT store_code FROM stores") == [{"store_code": "S1"}]


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
