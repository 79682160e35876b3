"""Does no import cost a store its grant: by older tokens, or by another store's account?"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from cryptography.fernet import Fernet

from include.tiktok_sync.doctor.store_db import check
from include.tiktok_sync.errors import DataError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.schema import MIGRATIONS
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.stores.csv_cells import csv_lines
from include.tiktok_sync.stores.csv_import import COLUMNS, ImportReport, import_stores
from include.tiktok_sync.stores.leaving import disconnect
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.tokens.vault import TokenVault
from tests.database.bench import UTC, Bench, row, rows, together
from tests.database.faults import Meanwhile
from tests.database.token_pairs import EXPIRED, newest_pair, stored_pair

SCOPE = "user.info.basic user.info.profile user.info.stats video.list"
KEY = Fernet.generate_key().decode()
VAULT = TokenVault((KEY,))
GIVEN = datetime(2026, 10, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def _cells(
    code: str, *, given: datetime = GIVEN, consent: datetime = GIVEN, **changes: str
) -> dict[str, str]:
    """A line with tokens given then, on a consent of then."""
    return {
        "store_code": code,
        "store_name": f"Shop {code}",
        "region": "DE",
        "open_id": f"-000{code}",
        "access_token": f"act.{code}.{given:%m%d%H%M}",
        "access_expires_at": (given + DAY).isoformat(),
        "refresh_token": f"rft.{code}.{given:%m%d%H%M}",
        "refresh_expires_at": (consent + 365 * DAY).isoformat(),
        "scope": SCOPE,
        **changes,
    }


def _load(conn: Connection, *lines: dict[str, str], replace_tokens: bool = False) -> ImportReport:
    text = "".join(csv_lines(COLUMNS, [tuple(line.values()) for line in lines]))
    source = io.StringIO(text, newline="")
    return import_stores(source, conn, VAULT, replace_tokens=replace_tokens)


def _reasons(report: ImportReport) -> list[tuple[int, str]]:
    return [(problem.line, problem.reason) for problem in report.problems]


def _token(conn: Connection, code: str) -> str:
    found = row(conn, "SELECT * FROM store_tokens WHERE store_code = %s", code)
    return VAULT.decrypt(found["refresh_token"], store_code=code, kind="refresh")


def test_an_old_file_renames_stores_and_leaves_their_tokens(bench: Bench) -> None:
    text = bench.sandbox.admin("GET", "/stores.csv", params={"codes": "S001,S002"})
    bench.import_stores("S001", "S002")
    with bench.client("S001") as client:
        client.tokens.replace_rejected(stored_pair(bench, "S001")[0])
    living = stored_pair(bench, "S001")
    old = text.replace("\nS001,", "\nS001,New ")

    report = import_stores(io.StringIO(old, newline=""), bench.conn, bench.vault)

    assert (report.loaded, report.tokens_kept) == (["S002"], ["S001"])
    assert (report.new, report.updated) == ([], ["S001", "S002"])
    ((line, reason),) = _reasons(report)
    assert line == 2
    assert "its tokens, which are older than those stored (access_expires_at 20" in reason
    assert ", stored 20" in reason
    assert "--replace-tokens" in reason
    assert stored_pair(bench, "S001") == living
    names = bench.row("SELECT store_name FROM stores WHERE store_code = 'S001'")
    assert names["store_name"].startswith("New ")


def _refreshed(conn: Connection, code: str, at: datetime) -> None:
    """As a refresh leaves it: another pair, the consent's end within a second of before."""
    conn.execute(
        "UPDATE store_tokens SET access_token = %s, refresh_token = %s, access_expires_at = %s,"
        " refresh_expires_at = refresh_expires_at - interval '1 second', refreshed_at = %s,"
        " connected_at = %s WHERE store_code = %s",
        [
            VAULT.encrypt("act.new", store_code=code, kind="access"),
            VAULT.encrypt("rft.new", store_code=code, kind="refresh"),
            at + DAY,
            at,
            GIVEN,
            code,
        ],
    )


OLD = _cells("S1")
NIGHT = GIVEN + 30 * DAY


@pytest.mark.parametrize(
    ("line", "before", "taken"),
    [
        (OLD, "", False),
        (OLD, "UPDATE store_tokens SET status = 'needs_consent'", False),  # it may live yet
        (OLD, "UPDATE store_tokens SET access_expires_at = NULL", False),
        (OLD, "UPDATE store_tokens SET refresh_expires_at = NULL", False),
        # Given elsewhere, before or after the last refresh of the stored grant.
        (_cells("S1", given=NIGHT + DAY, consent=NIGHT + DAY), "", True),
        (_cells("S1", given=NIGHT - DAY, consent=NIGHT - DAY), "", True),
        (
            _cells("S1", given=NIGHT - DAY, consent=NIGHT - DAY),
            "UPDATE store_tokens SET status = 'needs_consent'",
            True,
        ),
        # The same consent, refreshed elsewhere since: the stored pair is the dead one.
        (_cells("S1", given=NIGHT + DAY), "", True),
        # Of a time when TikTok's grants were longer: its end is no proof of a newer consent.
        (
            _cells("S1"),
            """UPDATE store_tokens
            SET refresh_expires_at = '2027-05-01', connected_at = '2026-10-20'""",
            False,
        ),
        # Another account's, from before the store was connected to the present one.
        (_cells("S1", open_id="another"), "", False),
        # Nothing is known of the stored pair.
        (
            OLD,
            """UPDATE store_tokens
            SET access_expires_at = NULL, refresh_expires_at = NULL, refreshed_at = NULL""",
            True,
        ),
        # The stored pair itself, with whatever dates: no problem.
        (_cells("S1", refresh_token="rft.new"), "", None),
    ],
)
def test_which_tokens_are_older(
    conn: Connection, line: dict[str, str], before: str, *, taken: bool | None
) -> None:
    _load(conn, OLD)
    _refreshed(conn, "S1", NIGHT)
    if before:
        conn.execute(before.encode())
    grant = row(conn, "SELECT * FROM store_tokens")
    report = _load(conn, {**line, "store_name": "Renamed", "region": "FR"}, _cells("S2"))
    assert report.updated == ["S1"]
    assert report.new == ["S2"]
    assert row(conn, "SELECT store_name, region FROM stores WHERE store_code = 'S1'") == {
        "store_name": "Renamed",
        "region": "FR",
    }
    assert _token(conn, "S1") == (line["refresh_token"] if taken else "rft.new")
    assert [line for line, _ in _reasons(report)] == ([2] if taken is False else [])
    if taken is not True:
        assert row(conn, "SELECT * FROM store_tokens WHERE store_code = 'S1'") == grant
    assert report.without_grant == []
    again = _load(conn, line, replace_tokens=True)
    assert again.problems == []
    assert _token(conn, "S1") == line["refresh_token"]


def test_an_import_waits_for_who_writes_the_row(conn: Connection, db_url: str) -> None:
    _load(conn, OLD)
    done: list[ImportReport] = []
    with psycopg.connect(db_url, autocommit=True) as other:
        importing = threading.Thread(target=lambda: done.append(_load(other, OLD)))
        with conn.transaction():
            conn.execute("SELECT FROM store_tokens FOR UPDATE")
            importing.start()
            _wait_for(lambda: bool(_waiting(conn)))
            _refreshed(conn, "S1", NIGHT)
        importing.join(60)
    assert done[0].tokens_kept == ["S1"]
    assert _token(conn, "S1") == "rft.new"


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize("replace_tokens", [False, True])
@pytest.mark.parametrize("consent", [GIVEN, GIVEN - DAY])
def test_no_import_during_a_refresh_costs_its_pair(
    bench: Bench, consent: datetime, *, replace_tokens: bool
) -> None:
    """The same tokens, or (with an earlier consent) older ones."""
    bench.import_stores(EXPIRED)
    text = bench.sandbox.admin("GET", "/stores.csv", params={"codes": EXPIRED})
    if consent < GIVEN:
        line = bench.sandbox.row(EXPIRED)
        text = text.replace(line["refresh_token"], "rft.old").replace(
            line["access_expires_at"], "2026-01-01T00:00:00Z"
        )

    def load() -> None:
        with psycopg.connect(bench.db_url, autocommit=True) as own:
            source = io.StringIO(text, newline="")
            import_stores(source, own, bench.vault, replace_tokens=replace_tokens)

    bench.sandbox.faults.plan = Meanwhile("oauth_token", load)
    with bench.client(EXPIRED, own_connection=True) as client:
        client.tokens.access_token()
    assert stored_pair(bench, EXPIRED) == newest_pair(bench, EXPIRED)


def test_the_stored_tokens_again_revive_no_dead_store(conn: Connection) -> None:
    _load(conn, OLD)
    conn.execute(
        "UPDATE store_tokens SET status = 'needs_consent', status_reason = 'withdrawn',"
        " app_fingerprint = 'abc', refresh_started_at = now()"
    )
    before = row(conn, "SELECT * FROM store_tokens")
    for replace_tokens in (False, True):
        report = _load(conn, OLD, replace_tokens=replace_tokens)
        ((line, reason),) = _reasons(report)
        assert line == 2
        assert "those stored, and they no longer work" in reason
        assert report.tokens_kept == ["S1"]
    assert row(conn, "SELECT * FROM store_tokens") == before


def test_the_stored_tokens_again_with_another_account_correct_it(conn: Connection) -> None:
    _load(conn, {**OLD, "open_id": "wrong"})
    before = row(conn, "SELECT refresh_token, connected_at FROM store_tokens")
    assert _load(conn, OLD).problems == []
    assert row(conn, "SELECT open_id FROM store_tokens") == {"open_id": OLD["open_id"]}
    assert row(conn, "SELECT refresh_token, connected_at FROM store_tokens") == before


def test_newer_tokens_end_the_claim_of_the_old_ones(conn: Connection) -> None:
    _load(conn, OLD)
    conn.execute(
        "UPDATE store_tokens SET refresh_claim = gen_random_uuid(),"
        " refresh_claimed_until = now() + interval '1 hour'"
    )
    assert _load(conn, _cells("S1", given=NIGHT)).problems == []
    assert row(conn, "SELECT refresh_claim, refresh_claimed_until FROM store_tokens") == {
        "refresh_claim": None,
        "refresh_claimed_until": None,
    }


def _waiting(conn: Connection) -> list[dict[str, Any]]:
    return rows(
        conn,
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'",
    )


def _wait_for(said: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if said():
            return
        pause.wait(0.02)
    pytest.fail("it never came to wait")


def test_an_account_of_another_store_is_refused(conn: Connection) -> None:
    _load(conn, _cells("S1"), _cells("S2"), _cells("S3"))
    lifecycle = Lifecycle(conn, "anna")
    lifecycle.pause("S2", None)
    lifecycle.remove("S3")
    later = GIVEN + DAY
    report = _load(
        conn,
        _cells("A1", open_id="-000S1"),
        _cells("A2", open_id="-000S2"),  # paused, and it keeps its account
        _cells("A3", open_id="-000S3"),  # free: its store has left
        _cells("A4", open_id="-000S3"),
        _cells("S1", given=later),  # its own
        _cells("A5"),
    )
    found = _reasons(report)
    assert [line for line, _ in found] == [2, 3, 5]
    assert "its open_id is that of store S1: " in found[0][1]
    assert "its open_id is that of store S2: " in found[1][1]
    assert "its open_id is that of store A3 on line 4 already" in found[2][1]
    assert report.loaded == ["A3", "S1", "A5"]
    assert "-000" not in str(found)
    assert accounts.doubles(conn) == []


def test_a_store_is_not_resumed_beside_the_one_that_has_its_account(conn: Connection) -> None:
    _load(conn, _cells("S1"))
    lifecycle = Lifecycle(conn, "anna")
    lifecycle.remove("S1")
    _load(conn, _cells("S2", open_id="-000S1"))
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
def test_the_database_refuses_a_second_holder_whoever_writes(
    conn: Connection, statement: str
) -> None:
    _load(conn, _cells("S4", open_id="-000S1"))
    Lifecycle(conn, "anna").remove("S4")
    _load(conn, _cells("S1"), _cells("S2"))
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S3', 'x')")
    with pytest.raises(psycopg.errors.UniqueViolation, match="store S1 holds") as caught:
        conn.execute(statement.encode())
    assert caught.value.diag.constraint_name == "one_store_per_account"


def test_two_imports_at_once_give_an_account_to_one_store(conn: Connection, db_url: str) -> None:
    def one(number: int) -> ImportReport:
        with psycopg.connect(db_url, autocommit=True) as own:
            lines = [_cells(f"N{number}-{place}", open_id=f"-{place}") for place in range(20)]
            return _load(own, *lines)

    reports = together(3, one)
    assert sum(len(report.loaded) for report in reports) == 20
    assert accounts.doubles(conn) == []
    assert all(
        "an account belongs to one store" in reason for r in reports for _, reason in _reasons(r)
    )


def test_an_import_beside_a_consent_is_refused_by_line(conn: Connection, db_url: str) -> None:
    _load(conn, _cells("S2"))
    done: list[ImportReport] = []
    with psycopg.connect(db_url, autocommit=True) as other:
        importing = threading.Thread(
            target=lambda: done.append(_load(other, _cells("S1", open_id="new"), _cells("S3")))
        )
        with conn.transaction():
            conn.execute("SELECT lock_accounts()")  # as connect_confirm begins
            importing.start()
            _wait_for(lambda: bool(_waiting(conn)))
            conn.execute("UPDATE store_tokens SET open_id = 'new' WHERE store_code = 'S2'")
        importing.join(60)
    (report,) = done
    assert report.loaded == ["S3"]
    assert [line for line, _ in _reasons(report)] == [2]
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
    report = _load(conn, _cells("S2", given=NIGHT, open_id="-000S1"))
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
