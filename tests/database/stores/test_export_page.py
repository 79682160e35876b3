"""Does the page answer "what do you hold of me?", for a store that is here, left or is erased?"""

from __future__ import annotations

import hashlib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.store_db.personal_data import personal_columns, unmarked
from include.tiktok_sync.stores import leaving
from include.tiktok_sync.stores.export import export_to_folder
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.browser import DESKTOP, PHONE, open_page, screenshot
from tests.database.bench import Bench
from tests.database.commands import run_command
from tests.database.rows.full_store import fill

CODE = "S001"


class Text(HTMLParser):
    """What a browser shows of a page, and what the page asks of elsewhere."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.asked: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))
        self.said = " ".join(" ".join(self.parts).split())

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asked += [tag for name, _ in attrs if name in {"src", "href"}]
        assert tag not in {"script", "img", "iframe", "form"}


def page_of(bench: Bench, folder: Path) -> tuple[str, dict[str, int]]:
    rows = export_to_folder(bench.conn, CODE, folder, "page")
    found = Text(folder / "index.html")
    assert found.asked == []
    return found.said, rows


def test_the_page_names_every_table_explains_what_is_personal_and_shows_no_secret(
    bench: Bench, tmp_path: Path
) -> None:
    bench.import_stores(CODE)
    fill(bench, CODE)
    said, rows = page_of(bench, tmp_path / "out")

    held = {table for table, count in rows.items() if count}
    assert {file.stem for file in (tmp_path / "out").glob("*.csv")} == held
    for table in held:
        assert table.replace("_", " ") in said
    profile = bench.row("SELECT * FROM user_daily_stats LIMIT 1")
    for text in (profile["display_name"], profile["username"], f"{profile['follower_count']:,}"):
        assert " ".join(str(text).split()) in said
    for (title,) in bench.conn.execute("SELECT title FROM videos").fetchall():
        assert " ".join(title.split()) in said
    meanings = bench.conn.execute(
        "SELECT relname, attname, col_description(attrelid, attnum) FROM pg_attribute"
        " JOIN pg_class c ON c.oid = attrelid WHERE attnum > 0"
        " AND relnamespace = 'public'::regnamespace"
    )
    comments = {(table, column): comment for table, column, comment in meanings.fetchall()}
    marked = [found for found in personal_columns(bench.conn) if found.table in held]
    assert marked
    for found in marked:
        assert " ".join(unmarked(comments[found.table, found.column]).split()) in said, found
    assert "Personal: " not in said
    # Tokens are named as withheld, and never shown, not even as ciphertext.
    assert "store_tokens.refresh_token" in said
    sealed = bench.row("SELECT access_token FROM store_tokens")["access_token"]
    written = b"".join(file.read_bytes() for file in (tmp_path / "out").iterdir())
    for secret in (b"act.", b"rft.", sealed, sealed.hex().encode()):
        assert secret not in written


def test_a_text_of_the_account_is_no_markup(bench: Bench, tmp_path: Path) -> None:
    bench.import_stores(CODE)
    fill(bench, CODE)
    bench.conn.execute("UPDATE videos SET title = '<script>alert(1)</script>'")
    said, _ = page_of(bench, tmp_path / "out")
    assert "<script>alert(1)</script>" in said


def test_the_notice_that_was_shown_before_consent_stands_on_the_page(
    bench: Bench, tmp_path: Path
) -> None:
    bench.import_stores(CODE)
    for text in ("We read figures.", "We read other figures."):
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        bench.conn.execute(
            "INSERT INTO privacy_notices (version, text, current_since) VALUES (%s, %s, now())",
            [version, text],
        )
    bench.conn.execute("UPDATE store_tokens SET notice_version = %s", [version])
    said, _ = page_of(bench, tmp_path / "out")
    assert f"Version {version}" in said
    assert "We read other figures." in said
    assert "We read figures." not in said


def test_of_a_table_with_many_rows_the_newest_stand_on_the_page(
    bench: Bench, tmp_path: Path
) -> None:
    bench.import_stores(CODE)
    bench.conn.execute(
        "INSERT INTO user_daily_stats (store_code, snapshot_date, extra, observed_at, is_late)"
        " SELECT %s, date '2025-01-01' + n, '{}', now(), false FROM generate_series(0, 299) AS n",
        [CODE],
    )
    said, rows = page_of(bench, tmp_path / "out")
    assert rows["user_daily_stats"] == 300
    assert "The 200 newest of 300 rows; all are in user_daily_stats.csv." in said
    assert "2025-10-27" in said
    assert "2025-04-11" in said
    assert "2025-04-10" not in said
    assert "300 days" in said


def test_a_store_that_left_or_was_erased_says_what_is_left(
    bench: Bench, command_env: dict[str, str], tmp_path: Path
) -> None:
    bench.import_stores(CODE)
    fill(bench, CODE)
    bench.conn.execute("UPDATE store_tokens SET status = 'needs_consent'")
    lifecycle = Lifecycle(bench.conn, "anna")
    lifecycle.remove(CODE)
    said, _ = page_of(bench, tmp_path / "left")
    assert "This store left on" in said

    name = bench.row("SELECT display_name FROM user_daily_stats LIMIT 1")["display_name"]
    leaving.erase(CODE, lifecycle)
    done = run_command(command_env, "stores", "export", CODE, "--to", str(tmp_path / "erased"))
    assert done.returncode == 0, done
    assert {file.name for file in (tmp_path / "erased").iterdir()} == {
        "index.html",
        "store_audit.csv",
    }
    said = Text(tmp_path / "erased" / "index.html").said
    assert "This store was erased on" in said
    assert "keyed hash" in said
    assert name not in said
    assert (
        run_command(command_env, "stores", "export", "S009", "--to", str(tmp_path / "x")).returncode
        == 2
    )


def test_the_page_fits_a_desktop_and_a_phone(
    bench: Bench, tmp_path: Path, browser: Browser
) -> None:
    bench.import_stores(CODE)
    fill(bench, CODE)
    page_of(bench, tmp_path / "out")
    address = (tmp_path / "out" / "index.html").as_uri()
    for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
        with open_page(browser, size) as page:
            page.goto(address)
            screenshot(page, f"export-{name}-closed")
            for box in page.locator("summary").all():
                box.click()
            screenshot(page, f"export-{name}")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size["width"]


def test_one_file_cannot_hold_a_page(
    bench: Bench, command_env: dict[str, str], tmp_path: Path
) -> None:
    bench.import_stores(CODE)
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigurationError, match="exists already"):
        export_to_folder(bench.conn, CODE, tmp_path / "there", "page")
    done = run_command(command_env, "stores", "export", CODE, "--to", str(tmp_path / "one.jsonl"))
    assert done.returncode == 2
    assert "needs a folder" in done.stderr
