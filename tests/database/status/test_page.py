"""The status page over HTTP and in a browser, on a real database; with Airflow: tests/e2e."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from urllib.parse import urlencode

import psycopg
import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.browser import PHONE, open_page, screenshot
from tests.database.rows.status_history import seed_history
from tests.postgres_server import PostgresServer
from tests.status_site import ADMIN, READER, served, status_site
from tiktok_airflow.status_page import connecting, pages
from tiktok_airflow.status_page.access import Viewer
from tiktok_airflow.status_page.buttons.csrf import SESSION_COOKIE
from tiktok_airflow.status_page.buttons.forms import guard
from tiktok_airflow.status_page.rendering.look import HEADERS
from tiktok_airflow.status_page.runs import ActiveRun

STORES, NIGHTS = 60, 100
PATIENCE_MS = 60_000
SECRET_LIKE = re.compile(r"access_token|refresh_token|ciphertext")


@pytest.fixture(scope="module")
def history_template(postgres: PostgresServer, _template: str) -> Iterator[str]:
    """A database with 100 nights of 60 stores; to be copied."""
    name = postgres.new_database(_template)
    with psycopg.connect(postgres.url(name), autocommit=True) as conn:
        seed_history(conn, utc_now().date(), days=NIGHTS, stores=STORES)
        conn.execute(
            "UPDATE store_tokens SET status = 'needs_consent', status_since = now() - interval"
            " '3 days', status_reason = 'TikTok answered invalid_grant: <b>ended</b>.'"
            " WHERE store_code = 'S014'"
        )
        conn.execute(
            "UPDATE store_tokens SET refresh_expires_at = now() + interval '9 days'"
            " WHERE store_code = 'S031'"
        )
        conn.execute(
            "UPDATE sync_logs SET status = 'failed', message = '=cmd|/C calc' WHERE store_code ="
            " 'S007' AND job_name = %s AND snapshot_date > %s",
            [VIDEO_JOB, utc_now().date() - timedelta(days=3)],
        )
        conn.execute(
            "INSERT INTO alerts (kind, job_name, run_id, message, notify_error) VALUES"
            " ('sla_missed', %s, 'late', 'The run takes longer than 15 minutes.', 'no channel')",
            [VIDEO_JOB],
        )
        conn.execute(
            "INSERT INTO store_audit (store_code, action, actor, details) VALUES"
            """ ('S001', 'grant_ended', 'TikTok', '{"from": "active", "to": "needs_consent","""
            """ "reason": "The grant <i>ended</i>."}'),"""
            """ ('S001', 'grant_ended', 'TikTok', '{"reason": "2"}')"""
        )
    yield name
    postgres.run("DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def history_url(postgres: PostgresServer, history_template: str) -> str:
    """Only read, so not copied."""
    return postgres.url(history_template)


def last_run(db_url: str, job: str) -> dict[str, str]:
    with psycopg.connect(db_url) as conn:
        ((run_id,),) = conn.execute(
            "SELECT run_id FROM sync_logs WHERE store_code IS NULL AND job_name = %s"
            " ORDER BY run_time DESC LIMIT 1",
            [job],
        ).fetchall()
    return {"dag_id": job, "run_id": run_id}


def text_of(url: str, status: int = 200) -> str:
    answer = requests.get(url, timeout=60)
    assert answer.status_code == status, answer.text
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    return answer.text


def section(page: Page, name: str) -> str:
    return page.get_by_role("region", name=name).inner_text()


def test_every_page_reads_little_however_long_the_history(
    history_url: str,
) -> None:
    settings, today = Settings.from_env({}), utc_now().date()
    active = [
        ActiveRun(job, last_run(history_url, job)["run_id"], "running", utc_now())
        for job in (USER_JOB, VIDEO_JOB)
    ]
    report = last_run(history_url, VIDEO_JOB)
    read: dict[str, int] = {}
    with psycopg.connect(history_url, autocommit=True) as conn:
        rows = conn.execute("SELECT count(*) FROM sync_logs").fetchone()
        whole = rows_of_small_months(conn)
        loads: dict[str, Callable[[], object]] = {
            "overview": lambda: pages.overview(conn, active, settings, utc_now()),
            "live": lambda: pages.live(conn, active, settings, STORES),
            "run": lambda: pages.run_report(conn, report["dag_id"], report["run_id"], active, ""),
            "store": lambda: pages.store(conn, "S001", active, today),
            "stores": lambda: pages.store_list(conn, "", 1),
            "links": lambda: connecting.for_all(conn, ADMIN),
        }
        for name, load in loads.items():
            with conn.transaction():  # in which the counters move on
                before = rows_read(conn)
                load()
                after = rows_read(conn)
            assert after["sync_logs whole"] == before["sync_logs whole"], name
            read[name] = after["all"] - before["all"]
    assert rows is not None
    assert rows[0] > 12_000
    # Two results and a profile's figures a store and day for 32 days; the ring of the rate limit
    # (two of 600 places, for each endpoint); the rest is a few rows a store. Nothing grows by year.
    ring = 2 * 2 * 600
    assert read["overview"] < STORES * (32 * 3 + 20) + ring + 500, read
    assert read["live"] < STORES * 6 + ring, read
    assert read["run"] < STORES * 8, read
    # A month with a day of 10 stores in it is three pages, which the server rather reads whole.
    assert read["store"] < 180 + 90 * 20 + 200 + whole, read
    assert read["stores"] < STORES * 4, read
    assert read["links"] < STORES * 4, read


def rows_of_small_months(conn: Connection) -> int:
    """Rows of the partitions so small that no index is worth it: the first or last days there."""
    found = conn.execute(
        "SELECT coalesce(sum(reltuples), 0) FROM pg_class WHERE relkind = 'r'"
        " AND relname LIKE 'video\\_daily\\_stats\\_2%' AND relpages BETWEEN 1 AND 4"
    ).fetchone()
    assert found is not None
    return int(found[0])


def rows_read(conn: Connection) -> dict[str, int]:
    """Rows that this session has read: of all tables, and of sync_logs without an index."""
    found = conn.execute(
        "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0),"
        " coalesce(sum(seq_tup_read) FILTER (WHERE relname = 'sync_logs'), 0)"
        " FROM pg_stat_xact_user_tables WHERE schemaname = 'public'"
    ).fetchone()
    assert found is not None
    return {"all": int(found[0]), "sync_logs whole": int(found[1])}


def test_the_page_says_who_needs_help_why_and_since_when(
    history_url: str, browser: Browser
) -> None:
    with served(status_site(history_url)) as url, open_page(browser) as page:
        page.goto(url)
        assert "S007" in section(page, "Stores that fail")
        assert "=cmd|/C calc" in section(page, "Stores that fail")
        consent = section(page, "Stores that need consent")
        assert "S014" in consent
        assert "TikTok answered invalid_grant: <b>ended</b>." in consent  # as text
        assert "3 days ago" in consent
        assert "S031" in section(page, "Grants that end soon")
        assert "in 9 days" in section(page, "Grants that end soon")
        assert "longer than 15 minutes" in section(page, "Last alerts")
        assert "nobody: no channel" in section(page, "Last alerts")
        assert "600" in section(page, "Limits")
        night = section(page, "Last night")
        assert "< 3 min" in night
        assert "> 95 %" in night
        assert page.locator("figure svg circle").count() > 2 * 80
        screenshot(page, "status-failures")
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.emulate_media(color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        screenshot(page, "status-failures-dark")
        page.get_by_role("link", name="S014").click()
        expect(page.locator("figcaption")).to_have_text(["Followers"])  # it has no video's row
        page.goto(f"{url}store?code=S001")
        expect(page.locator("figcaption")).to_have_text(["Followers", "Views of all videos"])
        for told in ("TikTok", "Connected → Needs consent", "The grant <i>ended</i>.", "reason 2"):
            assert told in section(page, "History")
        screenshot(page, "status-store")


def test_a_running_sync_moves_without_a_reload(
    postgres: PostgresServer, history_template: str, browser: Browser
) -> None:
    name = postgres.new_database(history_template)
    active = [ActiveRun(USER_JOB, "now", "running", utc_now())]
    with (
        psycopg.connect(postgres.url(name), autocommit=True) as conn,
        served(status_site(postgres.url(name), runs=lambda: active)) as url,
        open_page(browser, color_scheme="dark") as page,
    ):
        page.goto(url)
        page.evaluate("window.sameDocument = true")
        expect(page.get_by_role("region", name="Running now")).to_contain_text("0 of 60 stores")
        for code in ("S001", "S002", "S003"):
            add_result(conn, code)
        running = page.get_by_role("region", name="Running now")
        expect(running).to_contain_text("3 of 60 stores", timeout=PATIENCE_MS)
        assert page.get_by_role("progressbar").get_attribute("value") == "5"
        assert page.evaluate("window.sameDocument")
        screenshot(page, "status-running-dark")
        active.clear()  # it ended: all of the page is read again
        expect(running).to_contain_text("No sync is running", timeout=PATIENCE_MS)
        page.wait_for_function("!window.sameDocument")
    postgres.run("DROP DATABASE {} WITH (FORCE)", name)


def add_result(conn: Connection, code: str) -> None:
    conn.execute(
        "INSERT INTO sync_logs (job_name, run_id, store_code, status, message, snapshot_date)"
        " VALUES (%s, 'now', %s, 'success', 'done', current_date)",
        [USER_JOB, code],
    )


def test_a_page_that_cannot_be_read_again_says_so_until_it_can(
    history_url: str, browser: Browser
) -> None:
    with (
        psycopg.connect(history_url, autocommit=True) as conn,
        served(status_site(f"{history_url}?options=-c%20statement_timeout%3D3000")) as url,
        open_page(browser) as page,
    ):
        page.goto(url)
        read = page.locator("header p")
        expect(read).to_have_text(re.compile(r"^Read \S+ \S+ UTC$"))
        with conn.transaction():
            conn.execute("LOCK TABLE alerts IN ACCESS EXCLUSIVE MODE")
            expect(read).to_contain_text("cannot be read again", timeout=PATIENCE_MS)
            assert "longer than" in text_of(url, 503)
        expect(read).to_have_text(re.compile(r"^Read \S+ \S+ UTC$"), timeout=PATIENCE_MS)


def test_an_empty_database_shows_what_comes_next(db_url: str, browser: Browser) -> None:
    with served(status_site(db_url)) as url, open_page(browser) as page:
        page.goto(url)
        assert "make stores-import" in page.locator("main").inner_text()
        assert "No run has ended yet" in section(page, "Last runs")
        assert "No sync is running" in section(page, "Running now")
        screenshot(page, "status-no-stores")
        page.goto(f"{url}stores")
        assert "There is no store yet" in page.locator("main").inner_text()


def test_a_phone_scrolls_tables_and_never_the_page(history_url: str, browser: Browser) -> None:
    with served(status_site(history_url)) as url, open_page(browser, PHONE) as page:
        for path in (
            "",
            "stores",
            "store?code=S001",
            "run?" + urlencode(last_run(history_url, VIDEO_JOB)),
        ):
            page.goto(url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


def test_a_run_shows_its_stores_slowest_first_and_gives_them_as_csv(history_url: str) -> None:
    query = urlencode(last_run(history_url, VIDEO_JOB))
    with served(status_site(history_url)) as url:
        html = text_of(f"{url}run?{query}")
        failed = text_of(f"{url}run?{query}&status=failed")
        answer = requests.get(f"{url}run.csv?{query}", timeout=60)
    assert html.count("/tiktok-sync/store?code=") == STORES
    assert 1 <= failed.count("/tiktok-sync/store?code=") < STORES
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="sync_video_daily-scheduled__[-0-9A-Za-z]+\.csv"',
        answer.headers["Content-Disposition"],
    )
    assert answer.content.startswith(b"\xef\xbb\xbf")
    text = answer.content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == STORES
    took = [int(row["duration_ms"]) for row in rows]
    assert took == sorted(took, reverse=True)
    assert [row["message"] for row in rows if row["store_code"] == "S007"] == ["'=cmd|/C calc"]


def test_no_page_holds_a_token_or_anything_of_other_sites(history_url: str) -> None:
    paths = ("", "live", "stores", "store?code=S001", "static/status.css", "static/status.js")
    with served(status_site(history_url)) as url:
        texts = [text_of(url + path) for path in paths]
    assert [text for text in texts if SECRET_LIKE.search(text)] == []
    links = [link for text in texts for link in re.findall(r'(?:src|href|action)="([^"]*)"', text)]
    assert len(links) > 100
    assert [link for link in links if not re.match(r"/(?!/)|#", link)] == []


@pytest.mark.parametrize(("user", "buttons"), [(ADMIN, True), (READER, False)])
def test_buttons_are_for_those_who_may(history_url: str, user: Viewer, buttons: bool) -> None:  # noqa: FBT001 - a case
    paths = ("", "store?code=S007", "run?" + urlencode(last_run(history_url, VIDEO_JOB)))
    with served(status_site(history_url, user=lambda: user)) as url:
        shown = ["<button" in text_of(url + path) for path in paths]
    assert shown == [buttons] * 3


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("sync-store", {"store_code": "S001"}),
        ("retry-failed", {"dag_id": VIDEO_JOB, "run_id": "any"}),
    ],
)
def test_a_button_is_refused_without_its_page_and_without_the_right(
    history_url: str, path: str, form: dict[str, str]
) -> None:
    users = [ADMIN]
    with served(status_site(history_url, user=lambda: users[0])) as url:
        session = requests.Session()
        token = token_of(session.get(f"{url}store?code=S001", timeout=60).text)
        own = {"Sec-Fetch-Site": "same-origin"}

        def press(form: dict[str, str], headers: dict[str, str], who: requests.Session) -> str:
            answer = who.post(url + path, form, headers=headers, timeout=60)
            assert answer.status_code == 403
            return answer.text

        assert "did not come from this page" in press({**form, "csrf_token": token}, {}, session)
        cross = {"Sec-Fetch-Site": "cross-site"}
        assert "did not come from" in press({**form, "csrf_token": token}, cross, session)
        assert "Load it again" in press(form, own, session)
        stranger = requests.Session()
        assert "another login" in press({**form, "csrf_token": token}, own, stranger)
        users[0] = READER
        assert "another login" in press({**form, "csrf_token": token}, own, session)
        # What a reader's page would hold, had it a button.
        token = guard().token(READER.id, session.cookies[SESSION_COOKIE])
        assert "You may not" in press({**form, "csrf_token": token}, own, session)


def token_of(html: str) -> str:
    found: Sequence[str] = re.findall(r'name="csrf_token" value="([^"]+)"', html)
    assert found
    return found[0]


def test_a_paused_sync_is_reported_before_anything_is_queued(history_url: str) -> None:
    with served(status_site(history_url, paused=[VIDEO_JOB])) as url:
        texts = [text_of(url), text_of(f"{url}store?code=S001")]
    for text in texts:
        assert f'<a href="/dags/{VIDEO_JOB}" target="_top">' in text
        assert "until it is switched on" in text
        assert f"/dags/{USER_JOB}" not in text.partition("Running now")[0]


def test_what_nobody_has_counted_is_not_zero(
    history_url: str, conn: Connection, db_url: str
) -> None:
    Lifecycle(conn, "test").add("N1", "Kiel")
    for url, code, videos in ((history_url, "S001", "20"), (db_url, "N1", "\N{EN DASH}")):
        with served(status_site(url)) as site:
            facts = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)", text_of(f"{site}store?code={code}"))
            assert dict(facts)["Public videos"].strip() == videos


def test_what_does_not_exist_is_named(history_url: str) -> None:
    with served(status_site(history_url)) as url:
        assert "There is no store S999." in text_of(f"{url}store?code=S999", 404)
        assert "another Dag" in text_of(f"{url}run?dag_id=other&run_id=x")
        unknown = text_of(f"{url}run?dag_id={VIDEO_JOB}&run_id=x")
        assert "left no summary" in unknown


def test_a_database_that_cannot_be_reached_is_reported() -> None:
    site = status_site("postgresql://nobody:secret@127.0.0.1:1/none")
    with served(site) as url:
        text = text_of(url, 503)
    assert "The store database cannot be reached" in text
    assert "secret" not in text
