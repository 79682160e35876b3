"""How many statements does a task cost the database, and what do they grow with?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
import pytest

from include.tiktok_sync.jobs import REFRESH_JOB, USER_JOB, VIDEO_JOB
from include.tiktok_sync.tiktok.client import PAGE_SIZE
from tests.database.bench import Bench
from tests.database.task_bodies import prepare_tasks, task_context
from tests.database.witnesses.statement_log import Recorded, kind, recorded
from tests.postgres_server import PostgresServer
from tiktok_airflow.tasks import sync as sync_tasks

TOKEN = "SELECT store_tokens"
CLAIM = "WITH store_tokens free"
POSITION = "SELECT video_listings"
PERMIT = "WITH rate_limits rate_limit_grants turn granted_at"
PAGE = "WITH jsonb_to_recordset videos page video_listings video_daily_stats"
NOT_LISTED = "SELECT videos"
PROFILE_COUNT = "SELECT videos user_daily_stats"
FORGET = "DELETE video_listings"
GONE = "UPDATE videos"
RECORD = "INSERT sync_logs"
PROGRESS = "SELECT stores sync_logs"
CONNECTIONS = "SELECT pg_stat_activity"

A_PAGE = Counter([PERMIT, PAGE])
A_VIDEO_STORE = Counter([TOKEN, POSITION, NOT_LISTED, RECORD, PROGRESS])
SEVERAL_PAGES = Counter([PROFILE_COUNT, FORGET])


@dataclass(frozen=True)
class Tasks:
    """Runs the bodies of tasks, and tells what the server saw of them."""

    bench: Bench
    server: PostgresServer

    def sync(self, job: str, *codes: str, days_ago: int = 0) -> Recorded:
        """What some stores cost, without what is asked once a minute whatever their number."""
        with recorded(self.bench.db_url, self.server.log) as found:
            sync_tasks.sync_stores(job, codes, task_context(days_ago))
        for texts in (found.statements, found.prepared):
            texts[:] = [text for text in texts if kind(text) != CONNECTIONS]
        return found

    def list_stores(self) -> Recorded:
        with recorded(self.bench.db_url, self.server.log) as found:
            sync_tasks.list_stores(task_context(), None)
        return found

    def summarize(self, codes: Sequence[str]) -> Recorded:
        context = task_context(xcom_pull=lambda **_: [[code] for code in codes])
        with recorded(self.bench.db_url, self.server.log) as found:
            sync_tasks.record_summary(context)
        return found

    def codes_with_pages(self, pages: int) -> list[str]:
        """Stores with a good token whose videos fill this number of pages, fewest videos first."""
        good = {
            line["store_code"]
            for line in self.bench.rows(
                "SELECT store_code FROM store_tokens WHERE status = 'active'"
                " AND access_expires_at > now() + interval '10 minutes'"
            )
        }
        fitting = sorted(
            (store["video_count"], store["store_code"])
            for store in self.bench.sandbox.admin("GET", "/stores")
            if math.ceil(store["video_count"] / PAGE_SIZE) == pages and store["store_code"] in good
        )
        return [code for _, code in fitting]


@pytest.fixture
def tasks(bench: Bench, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """Every store imported, with tokens that last, a rate limit that holds nobody up."""
    prepare_tasks(bench, monkeypatch)
    # psycopg sends 32,768 as another type than 32,767, which makes it another prepared statement:
    # as figures grow, the count would differ from day to day.
    bench.sandbox.admin("PATCH", "/settings", json={"date": "2026-11-25"})
    return Tasks(bench, postgres)


def test_the_log_misses_no_statement_and_no_connection(
    db_url: str, postgres: PostgresServer
) -> None:
    with recorded(db_url, postgres.log) as found:
        psycopg.connect(db_url).close()
        with psycopg.connect(db_url) as conn, conn.cursor() as cursor:
            cursor.execute("SELECT\n1")
            cursor.execute("SELECT 2", prepare=True)
            cursor.executemany("SELECT %s::int", [[3], [4]])
            with conn.pipeline():
                cursor.execute("SELECT 5")
            with cursor.copy("COPY (SELECT 6) TO STDOUT") as copy:
                assert b"".join(copy) == b"6\n"

    assert found.statements == [
        *("BEGIN", "SELECT 1", "SELECT 2", "SELECT $1::int", "SELECT $1::int", "SELECT 5"),
        *("COPY (SELECT 6) TO STDOUT", "COMMIT"),
    ]
    assert (found.connections, len(found.prepared)) == (2, 3)  # executemany() prepares by itself


def test_a_user_sync_is_five_statements_on_one_connection(tasks: Tasks) -> None:
    found = tasks.sync(USER_JOB, "S001")

    assert found.kinds() == Counter([TOKEN, PERMIT, "INSERT user_daily_stats", RECORD, PROGRESS])
    assert found.connections == 1


@pytest.mark.parametrize("pages", [1, 3, 7])
def test_a_video_sync_is_two_statements_a_page(tasks: Tasks, pages: int) -> None:
    code = tasks.codes_with_pages(pages)[0]
    tasks.sync(USER_JOB, code)  # the profile's number of videos: no page edge is looked behind

    found = tasks.sync(VIDEO_JOB, code)

    expected = A_VIDEO_STORE + Counter({kind: times * pages for kind, times in A_PAGE.items()})
    assert found.kinds() == expected + (SEVERAL_PAGES if pages > 1 else Counter())
    assert len(found.statements) == (7 if pages == 1 else 7 + 2 * pages)
    assert found.connections == 1
    # Its second execution and those after it are prepared.
    assert len(found.prepared) == 2 * (pages - 1)


def test_a_missed_day_is_filled_by_one_statement_whatever_the_number_of_videos(
    tasks: Tasks,
) -> None:
    code = tasks.codes_with_pages(7)[0]
    for job in (USER_JOB, VIDEO_JOB):
        tasks.sync(job, code)

    assert len(tasks.sync(USER_JOB, code, days_ago=1).statements) == 3  # fill, row, progress
    assert len(tasks.sync(VIDEO_JOB, code, days_ago=1).statements) == 4  # ... and what is left


def test_more_videos_on_as_many_pages_cost_no_statement(tasks: Tasks) -> None:
    codes = tasks.codes_with_pages(3)
    fewer, more = codes[0], codes[-1]
    for code in (fewer, more):
        tasks.sync(USER_JOB, code)

    cost = {code: len(tasks.sync(VIDEO_JOB, code).statements) for code in (fewer, more)}

    rows = {
        line["store_code"]: line["count"]
        for line in tasks.bench.rows(
            "SELECT store_code, count(*) FROM video_daily_stats GROUP BY store_code"
        )
    }
    assert rows[more] >= rows[fewer] + 5
    assert cost[fewer] == cost[more]


def test_videos_that_are_gone_are_marked_by_the_page_too(tasks: Tasks) -> None:
    code = tasks.codes_with_pages(1)[0]
    for number in range(PAGE_SIZE + 5):
        tasks.bench.insert_video(code, f"gone-{number}")

    found = tasks.sync(VIDEO_JOB, code)

    # More than a page is known: whether the profile counts the store's videos is looked up.
    assert found.kinds() == A_VIDEO_STORE + A_PAGE + Counter([PROFILE_COUNT, PERMIT, PERMIT, GONE])
    gone = tasks.bench.row("SELECT count(*) FROM videos WHERE removed_at IS NOT NULL")
    assert gone == {"count": PAGE_SIZE + 5}


def test_stores_that_share_a_task_share_its_connection(tasks: Tasks) -> None:
    found = tasks.sync(USER_JOB, "S001", "S002", "S003")

    assert found.connections == 1
    assert len(found.statements) == 1 + 3 * 5  # once: which of them are left?
    assert len(found.prepared) == 2 * 5


def test_what_is_done_once_a_run_does_not_grow_with_the_stores(tasks: Tasks) -> None:
    codes = [line["store_code"] for line in tasks.bench.rows("SELECT store_code FROM stores")]
    tasks.sync(USER_JOB, *codes[:5])
    few = len(tasks.summarize(codes[:5]).statements)
    tasks.sync(USER_JOB, *codes)

    # Refusals, results, row, dead grants, alerts.
    assert len(tasks.summarize(codes).statements) == few == 5
    # Schema, keys (of two tables), unknown codes, codes, whose app, partitions.
    assert len(tasks.list_stores().statements) == 7


def test_a_refresh_is_four_statements_and_holds_no_transaction_open_while_tiktok_is_asked(
    tasks: Tasks,
) -> None:
    tasks.bench.conn.execute(
        "UPDATE store_tokens SET access_expires_at = now() WHERE store_code = 'S001'"
    )
    found = tasks.sync(REFRESH_JOB, "S001")

    kinds = [kind(text) for text in found.statements]
    assert kinds == [TOKEN, CLAIM, "BEGIN", "UPDATE store_tokens", "COMMIT", RECORD, PROGRESS]
    tasks.bench.conn.execute("UPDATE store_tokens SET access_expires_at = now() + interval '1 day'")
    found = tasks.sync(REFRESH_JOB, "S001")
    assert found.kinds() == Counter([TOKEN, RECORD, PROGRESS])
