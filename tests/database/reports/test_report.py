"""A report as people get it: complete in itself, escaped, kept, sent, forgotten in time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import requests
from playwright.sync_api import Browser
from psycopg import sql

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import RetriableError
from include.tiktok_sync.reports import archive
from include.tiktok_sync.reports.archive import Report, keep
from include.tiktok_sync.reports.figures import read_figures
from include.tiktok_sync.reports.formats import Formats
from include.tiktok_sync.reports.making import make_report
from include.tiktok_sync.reports.week import Week
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.kept_reports import KEPT_DAYS, drop_old, forget_gone
from include.tiktok_sync.store_db.roles import READERS, grant_readers
from include.tiktok_sync.stores import leaving
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.alert_receiver import Receiver
from tests.browser import PHONE, open_page, screenshot
from tests.database.bench import row, rows
from tests.database.commands import run_command
from tests.database.rows.retail_year import write_year
from tests.database.task_bodies import connections, task_context
from tests.postgres_server import PostgresServer
from tests.status_site import served, status_site
from tiktok_airflow.tasks import report as report_tasks
from tiktok_airflow.tasks import retention as retention_tasks

HOSTILE = '</li><script>alert(1)</script><tr data-store="S999">\'&'
PNG = b"\x89PNG\r\n"


def last_week() -> Week:
    return Week.before(utc_now().date())


@pytest.fixture(scope="module")
def template(postgres: PostgresServer, _template: str) -> str:
    """Twelve stores with eleven weeks of figures; to be copied."""
    name = postgres.new_database(_template)
    with psycopg.connect(postgres.url(name), autocommit=True) as conn:
        write_year(conn, stores=12, days=80)
        conn.execute("UPDATE stores SET store_name = %s WHERE store_code = 'S002'", [HOSTILE])
        conn.execute("UPDATE videos SET title = %s WHERE store_code = 'S003'", [HOSTILE])
        conn.execute(
            "UPDATE videos SET share_url = 'javascript:alert(2)' WHERE store_code = 'S004'"
        )
    return name


@pytest.fixture(scope="module")
def made(postgres: PostgresServer, template: str) -> Report:
    """The report of the last week."""
    with psycopg.connect(postgres.url(template), autocommit=True) as conn:
        return make_report(
            conn, last_week(), locale="de", now=utc_now(), timezone=ZoneInfo("Europe/Berlin")
        )


@pytest.fixture
def db_url(new_database: Any, template: str) -> str:
    return str(new_database(template))


@pytest.fixture
def kept(conn: Connection, made: Report) -> Report:
    keep(conn, made, now=utc_now())
    return made


def html_of(conn: Connection) -> str:
    return str(row(conn, "SELECT html FROM weekly_reports")["html"])


def test_it_shows_the_figures_in_the_readers_way_of_writing(conn: Connection, made: Report) -> None:
    figures, formats = read_figures(conn, last_week()), Formats("de")

    for total in figures.totals.values():
        assert total.value is not None
    assert f"<b>{formats.gain(figures.totals['view_gain'].value)}</b>" in made.html
    assert figures.rose or figures.fell
    for store in (*figures.rose, *figures.fell):
        assert f'<tr data-store="{store.store_code}">' in made.html
        assert formats.gain(store.gain) in made.html
    assert len(figures.videos) == 10
    for video in figures.videos:
        assert f'data-video="{video.video_id}">' in made.html
    assert f"Views gained: {formats.gain(figures.totals['view_gain'].value)}" in made.headline
    assert "Stores that need consent now: 1" in made.headline
    assert made.html.count("in the 24 hours before that day") == 1
    assert "from the sync of the Sunday before" in made.html
    assert set(made.pictures) == {"views", "followers", "posting"}
    assert all(png.startswith(PNG) for png in made.pictures.values())


def test_it_loads_nothing_and_runs_nothing(made: Report) -> None:
    assert re.findall(r"<(?:script|link|img|iframe|object|embed|form|base)\b", made.html) == []
    assert re.findall(r"\son\w+=|javascript:|@import|url\((?!#)", made.html) == []
    assert re.findall(r"\sstyle=", made.html) == []  # the status page's policy forbids it
    leads_out = set(re.findall(r'(?:href|src)="([^"]*)"', made.html))
    assert leads_out
    assert all(link.startswith("https://www.tiktok.com/") for link in leads_out)
    assert HOSTILE not in made.html


def test_pictures_and_headline_name_no_store_and_no_video(conn: Connection, made: Report) -> None:
    svg = "".join(re.findall(r"<svg.*?</svg>", made.html, re.DOTALL))
    for line in rows(conn, "SELECT DISTINCT store_name AS name FROM stores"):
        assert line["name"] not in svg + made.headline
    for line in rows(conn, "SELECT DISTINCT title AS name FROM videos"):
        assert line["name"] not in svg + made.headline


def test_of_a_region_only_its_stores_are_named(conn: Connection) -> None:
    found = make_report(
        conn, last_week(), "North", locale="en", now=utc_now(), timezone=ZoneInfo("UTC")
    )

    named = set(re.findall(r'data-store="([^"]*)"', found.html))
    north = {
        line["c"]
        for line in rows(conn, "SELECT store_code AS c FROM stores WHERE region = 'North'")
    }
    assert named
    assert named <= north
    assert "North" in found.headline


def test_a_week_without_data_says_so(empty: Connection) -> None:
    found = make_report(empty, last_week(), locale="en", now=utc_now(), timezone=ZoneInfo("UTC"))

    assert "Nothing was observed in this week" in found.html
    assert found.pictures == {}
    assert "Views gained: unknown" in found.headline
    assert "<b>0</b>" not in found.html


@pytest.fixture
def empty(new_database: Any, _template: str) -> Iterator[Connection]:
    with psycopg.connect(new_database(_template), autocommit=True) as conn:
        yield conn


def test_an_erased_store_is_in_no_kept_report(conn: Connection, kept: Report) -> None:
    code = re.findall(r'data-store="(S\d+)"', kept.html)[0]
    name = row(conn, "SELECT store_name AS n FROM stores WHERE store_code = %s", code)["n"]
    lifecycle = Lifecycle(conn, "test")
    conn.execute("DELETE FROM store_tokens WHERE store_code = %s", [code])
    leaving.disconnect(code, lifecycle, source=None, oauth=None)

    leaving.erase(code, lifecycle)

    html = html_of(conn)
    assert code in kept.html
    assert code not in html
    assert f">{name} <" not in html
    others = {c for c in re.findall(r'data-store="([^"]*)"', kept.html) if c != code}
    assert others == set(re.findall(r'data-store="([^"]*)"', html))
    assert (
        row(
            conn,
            "SELECT details #>> '{hidden,weekly_reports}' AS n FROM store_audit"
            " WHERE action = 'erase'",
        )["n"]
        == "1"
    )


def test_a_text_that_a_clock_cleared_leaves_the_reports_too(
    conn: Connection, kept: Report, db_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", connections(db_url)["AIRFLOW_CONN_STORE_DB"])
    gone, stays = re.findall(r'data-video="(\d+)"', kept.html)[:2]
    conn.execute(
        "UPDATE videos SET removed_at = now() - interval '40 days' WHERE video_id = %s", [gone]
    )
    context = task_context()
    context["params"] = {"personal_dry_run": True}
    retention_tasks.clear_personal_data(context)
    assert gone in html_of(conn)

    context["params"] = {"personal_dry_run": False}
    retention_tasks.clear_personal_data(context)

    html = html_of(conn)
    assert gone not in html
    assert f'data-video="{stays}"' in html
    assert forget_gone(conn) == 0


def test_a_report_is_kept_for_a_year_after_its_week(conn: Connection, made: Report) -> None:
    today = utc_now().date()
    for days in (KEPT_DAYS - 8, KEPT_DAYS + 8):
        week = Week.before(today - timedelta(days=days - 7))
        keep(conn, Report(week, "", "", made.html, {}), now=utc_now())

    assert drop_old(conn, today=today, dry_run=True) == 1
    assert len(archive.kept_reports(conn)) == 2
    assert drop_old(conn, today=today) == 1
    assert [
        one.week_start > today - timedelta(days=KEPT_DAYS) for one in archive.kept_reports(conn)
    ] == [True]


def test_figures_are_open_to_analysts_and_the_page_to_those_who_may_see_names(
    conn: Connection,
) -> None:
    def may_read(role: str, column: str) -> bool:
        query = "SELECT has_column_privilege(%s, 'report_archive', %s, 'SELECT') AS may"
        return bool(row(conn, query, role, column)["may"])

    with conn.transaction(force_rollback=True):  # roles are those of the whole server
        for reader in READERS:
            if not rows(conn, "SELECT FROM pg_roles WHERE rolname = %s", reader):
                conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(reader)))
        grant_readers(conn)

        assert [may_read(role, "html") for role in READERS] == [False, True, False]
        assert all(may_read(role, "headline") for role in READERS)


def context_of(week: str | None = None, region: str | None = None, days_ago: int = 0) -> Any:
    context = task_context(days_ago)
    context["params"] = {"week": week, "region": region}
    return context


@pytest.fixture
def airflow(conn: Connection, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """What the tasks find in Airflow: the database, and a channel for reports."""
    del conn
    monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_REPORTS", receiver.connection())
    return receiver


def test_the_tasks_make_keep_and_send_it_once(conn: Connection, airflow: Receiver) -> None:
    for _ in range(2):  # cleared, it is made again and not sent again
        report_tasks.make_report(context_of())
        report_tasks.send_report(context_of())

    (found,) = archive.kept_reports(conn)
    assert (found.week, found.region, found.sent_at is not None) == (last_week(), "", True)
    (message,) = airflow.messages
    assert message["title"] == f"TikTok week {last_week().name}"
    assert found.headline in message["message"]
    assert f"/tiktok-sync/report?week={last_week().name}" in message["message"]
    for line in rows(conn, "SELECT store_name AS n FROM stores"):
        assert line["n"] not in message["message"]


def test_a_run_of_an_earlier_monday_covers_the_week_before_it(
    conn: Connection, airflow: Receiver
) -> None:
    report_tasks.make_report(context_of(days_ago=7))
    report_tasks.make_report(context_of(week=last_week().earlier(2).name, region="North"))

    assert airflow.messages == []
    assert {(one.week, one.region) for one in archive.kept_reports(conn)} == {
        (last_week().earlier(1), ""),
        (last_week().earlier(2), "North"),
    }


def test_a_channel_that_refuses_is_tried_again_and_none_is_no_failure(
    conn: Connection, kept: Report, airflow: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    del kept
    airflow.status = 500
    with pytest.raises(RetriableError, match=r"made and kept, but not sent\. Of tiktok_reports"):
        report_tasks.send_report(context_of())
    assert archive.kept_reports(conn)[0].sent_at is None

    airflow.messages.clear()
    monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_REPORTS", '{"conn_type": "apprise"}')
    report_tasks.send_report(context_of())
    assert (airflow.messages, archive.kept_reports(conn)[0].sent_at) == ([], None)


def test_the_command_writes_page_and_pictures(
    db_url: str, conn: Connection, tmp_path: Path
) -> None:
    env = {"STORE_DB_URL": db_url, "REPORT_LOCALE": "de"}
    out = tmp_path / "north.html"

    done = run_command(env, "report", "--region", "North", "--out", str(out))

    assert done.returncode == 0, done.stderr
    assert out.read_text(encoding="utf-8") == html_of(conn)
    assert sorted(file.name for file in tmp_path.glob("*.png")) == [
        "north-followers.png",
        "north-posting.png",
        "north-views.png",
    ]
    assert "Views gained: " in done.stdout
    refused = run_command(env, "report", "--week", "2026-W99")
    assert (refused.returncode, "There is no week 2026-W99" in refused.stderr) == (2, True)


def test_the_status_page_lists_and_shows_it_with_nothing_else_allowed(
    db_url: str, kept: Report, browser: Browser
) -> None:
    blocked: list[str] = []
    with served(status_site(db_url)) as url, open_page(browser, PHONE) as page:
        page.on("console", lambda said: blocked.append(said.text))
        listed = requests.get(f"{url}reports", timeout=60)
        week = f"week={kept.week.name}"
        answer = requests.get(f"{url}report?{week}", timeout=60)
        png = requests.get(f"{url}report.png?{week}&name=views", timeout=60)
        page.goto(f"{url}report?{week}")

        assert kept.week.name in listed.text
        assert answer.text == kept.html
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert png.content == kept.pictures["views"]
        # Its own style counts, nothing is refused, and it fits a phone.
        assert page.evaluate("getComputedStyle(document.querySelector('.tiles')).display") == "grid"
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        screenshot(page, "weekly-report-phone")
        assert blocked == []
        for path in (f"report?{week}&region=Nowhere", "report?week=1", f"report.png?{week}&name=x"):
            assert requests.get(f"{url}{path}", timeout=60).status_code == 404
