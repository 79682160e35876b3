"""Connect links made on the status page, for one store or for all, on a real database."""

from __future__ import annotations

import csv
import io
import logging
import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from include.tiktok_sync.links import open_links
from include.tiktok_sync.links.connect_links import LinkSigner, hash_of
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.database.bench import insert_grants, row, rows
from tests.database.press import BASE, SECRET, Press, audit, links_of


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
def test_a_refused_link_shows_why_and_nothing_typed_is_lost(
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
        assert answer.content.startswith(b"\xef\xbb\xbf")
        text = answer.content.decode("utf-8-sig")
        table = list(csv.DictReader(io.StringIO(text, newline="")))
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
