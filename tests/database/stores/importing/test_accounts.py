"""Does an account stay with the one store that holds it, whatever is imported or written?"""

from __future__ import annotations

import threading

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from include.tiktok_sync.doctor.store_db import check
from include.tiktok_sync.errors import DataError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.schema import MIGRATIONS
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.stores.importing.load import ImportReport
from include.tiktok_sync.stores.leaving import disconnect
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.database.bench import row, together
from tests.database.stores.importing.grant_files import (
    DAY,
    GIVEN,
    KEY,
    cells,
    load,
    reasons,
    wait_for,
    waiting,
)


def test_an_account_of_another_store_is_refused(conn: Connection) -> None:
    load(conn, cells("S1"), cells("S2"), cells("S3"))
    lifecycle = Lifecycle(conn, "anna")
    lifecycle.pause("S2", None)
    lifecycle.remove("S3")
    later = GIVEN + DAY
    report = load(
        conn,
        cells("A1", open_id="-000S1"),
        cells("A2", open_id="-000S2"),  # paused, and it keeps its account
        cells("A3", open_id="-000S3"),  # free: its store has left
        cells("A4", open_id="-000S3"),
        cells("S1", given=later),  # its own
        cells("A5"),
    )
    found = reasons(report)
    assert [line for line, _ in found] == [2, 3, 5]
    assert "its open_id is that of store S1: " in found[0][1]
    assert "its open_id is that of store S2: " in found[1][1]
    assert "its open_id is that of store A3 on line 4 already" in found[2][1]
    assert report.loaded == ["A3", "S1", "A5"]
    assert "-000" not in str(found)
    assert accounts.doubles(conn) == []


def test_a_store_is_not_resumed_while_another_has_its_account(conn: Connection) -> None:
    load(conn, cells("S1"))
    lifecycle = Lifecycle(conn, "anna")
    lifecycle.remove("S1")
    load(conn, cells("S2", open_id="-000S1"))
    for without_grant in (False, True):  # its grant was never ended
        with pytest.raises(DataError, match=r"store S2 meanwhile|has not ended"):
            lifecycle.resume("S1", without_grant=without_grant)
    assert lifecycle.state("S1") == "removed"
    # Revoking would end S2's grant too.
    assert "store S2 has the same account" in disconnect("S1", lifecycle, source=None, oauth=None)
    with pytest.raises(DataError, match="belongs to store S2"):
        lifecycle.resume("S1")
    assert lifecycle.resume("S1", without_grant=True) == "needs_consent"
    assert row(conn, "SELECT connect_verdict('S2', '-000S1', NULL) AS said") == {"said": "same"}


@pytest.mark.parametrize(
    "statement",
    [
        """INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token)
        VALUES ('S3', '-000S1', '', '', '')""",
        "UPDATE store_tokens SET open_id = '-000S1' WHERE store_code = 'S2'",
        "UPDATE stores SET removed_at = NULL WHERE store_code = 'S4'",
    ],
)
def test_the_database_itself_refuses_a_second_holder(conn: Connection, statement: str) -> None:
    load(conn, cells("S4", open_id="-000S1"))
    Lifecycle(conn, "anna").remove("S4")
    load(conn, cells("S1"), cells("S2"))
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S3', 'x')")
    with pytest.raises(psycopg.errors.UniqueViolation, match="store S1 holds") as caught:
        conn.execute(statement.encode())
    assert caught.value.diag.constraint_name == "one_store_per_account"


def test_two_imports_at_once_give_an_account_to_one_store(conn: Connection, db_url: str) -> None:
    def one(number: int) -> ImportReport:
        with psycopg.connect(db_url, autocommit=True) as own:
            lines = [cells(f"N{number}-{place}", open_id=f"-{place}") for place in range(20)]
            return load(own, *lines)

    reports = together(3, one)
    assert sum(len(report.loaded) for report in reports) == 20
    assert accounts.doubles(conn) == []
    assert all(
        "an account belongs to one store" in reason for r in reports for _, reason in reasons(r)
    )


def test_an_import_during_a_consent_is_refused_by_line(conn: Connection, db_url: str) -> None:
    load(conn, cells("S2"))
    done: list[ImportReport] = []
    with psycopg.connect(db_url, autocommit=True) as other:
        importing = threading.Thread(
            target=lambda: done.append(load(other, cells("S1", open_id="new"), cells("S3")))
        )
        with conn.transaction():
            conn.execute("SELECT lock_accounts()")  # as connect_confirm begins
            importing.start()
            wait_for(lambda: bool(waiting(conn)))
            conn.execute("UPDATE store_tokens SET open_id = 'new' WHERE store_code = 'S2'")
        importing.join(60)
    (report,) = done
    assert report.loaded == ["S3"]
    assert [line for line, _ in reasons(report)] == [2]
    confirm = row(conn, "SELECT prosrc FROM pg_proc WHERE proname = 'connect_confirm'")["prosrc"]
    assert confirm.index("lock_accounts()") < confirm.index("INSERT INTO store_tokens")
    verdict = row(conn, "SELECT prosrc FROM pg_proc WHERE proname = 'connect_verdict'")["prosrc"]
    assert "held_accounts()" in verdict


def _migrate(url: str, where: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    (command.downgrade if where < "0009" else command.upgrade)(config, where)


def test_doubles_from_before_are_kept_named_and_can_be_mended(
    conn: Connection, db_url: str
) -> None:
    _migrate(db_url, "0007")
    _load_before(conn)
    _migrate(db_url, "head")
    finding = next(f for f in check(conn, _settings(), {}) if f.check == "accounts")
    assert finding.status == "fail"
    assert "1 TikTok accounts have more than one store (S1 and S2)" in finding.text
    assert "-000" not in finding.text + finding.todo
    # A refresh stores its pair all the same.
    conn.execute("UPDATE store_tokens SET open_id = open_id, refreshed_at = now()")
    report = load(conn, cells("S2", given=GIVEN + 30 * DAY, open_id="-000S1"))
    assert "that of store S1" in report.problems[0].reason
    lifecycle = Lifecycle(conn, "anna")
    lifecycle.pause("S2", None)
    with pytest.raises(DataError, match="belongs to store S1 meanwhile"):
        lifecycle.resume("S2")
    disconnect("S2", lifecycle, source=None, oauth=None)
    finding = next(f for f in check(conn, _settings(), {}) if f.check == "accounts")
    assert finding.status == "ok"


def _settings() -> Settings:
    return Settings.from_env({"TIKTOK_TOKEN_KEYS": KEY})


def _load_before(conn: Connection) -> None:
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'x'), ('S2', 'y')")
    for code in ("S1", "S2"):
        conn.execute(
            "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token)"
            " VALUES (%s, '-000S1', '', '', '')",
            [code],
        )
