"""Does no import cost a store its grant by older tokens?"""

from __future__ import annotations

import io
import threading
from datetime import datetime

import psycopg
import pytest

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.importing.load import ImportReport, import_stores
from tests.database.bench import Bench, row
from tests.database.faults import Meanwhile
from tests.database.rows.token_pairs import EXPIRED, newest_pair, stored_pair
from tests.database.stores.importing.grant_files import (
    DAY,
    GIVEN,
    VAULT,
    cells,
    load,
    reasons,
    token,
    wait_for,
    waiting,
)


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
    ((line, reason),) = reasons(report)
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


OLD = cells("S1")
NIGHT = GIVEN + 30 * DAY


@pytest.mark.parametrize(
    ("line", "before", "taken"),
    [
        (OLD, "", False),
        (OLD, "UPDATE store_tokens SET status = 'needs_consent'", False),  # it may live yet
        (OLD, "UPDATE store_tokens SET access_expires_at = NULL", False),
        (OLD, "UPDATE store_tokens SET refresh_expires_at = NULL", False),
        # Given elsewhere, before or after the last refresh of the stored grant.
        (cells("S1", given=NIGHT + DAY, consent=NIGHT + DAY), "", True),
        (cells("S1", given=NIGHT - DAY, consent=NIGHT - DAY), "", True),
        (
            cells("S1", given=NIGHT - DAY, consent=NIGHT - DAY),
            "UPDATE store_tokens SET status = 'needs_consent'",
            True,
        ),
        # The same consent, refreshed elsewhere since: the stored pair is the dead one.
        (cells("S1", given=NIGHT + DAY), "", True),
        # Of a time when TikTok's grants were longer: its end is no proof of a newer consent.
        (
            cells("S1"),
            """UPDATE store_tokens
            SET refresh_expires_at = '2027-05-01', connected_at = '2026-10-20'""",
            False,
        ),
        # Another account's, from before the store was connected to the present one.
        (cells("S1", open_id="another"), "", False),
        # Nothing is known of the stored pair.
        (
            OLD,
            """UPDATE store_tokens
            SET access_expires_at = NULL, refresh_expires_at = NULL, refreshed_at = NULL""",
            True,
        ),
        # The stored pair itself, with whatever dates: no problem.
        (cells("S1", refresh_token="rft.new"), "", None),
    ],
)
def test_which_tokens_are_older(
    conn: Connection, line: dict[str, str], before: str, *, taken: bool | None
) -> None:
    load(conn, OLD)
    _refreshed(conn, "S1", NIGHT)
    if before:
        conn.execute(before.encode())
    grant = row(conn, "SELECT * FROM store_tokens")
    report = load(conn, {**line, "store_name": "Renamed", "region": "FR"}, cells("S2"))
    assert report.updated == ["S1"]
    assert report.new == ["S2"]
    assert row(conn, "SELECT store_name, region FROM stores WHERE store_code = 'S1'") == {
        "store_name": "Renamed",
        "region": "FR",
    }
    assert token(conn, "S1") == (line["refresh_token"] if taken else "rft.new")
    assert [line for line, _ in reasons(report)] == ([2] if taken is False else [])
    if taken is not True:
        assert row(conn, "SELECT * FROM store_tokens WHERE store_code = 'S1'") == grant
    assert report.without_grant == []
    again = load(conn, line, replace_tokens=True)
    assert again.problems == []
    assert token(conn, "S1") == line["refresh_token"]


def test_an_import_waits_for_who_writes_the_row(conn: Connection, db_url: str) -> None:
    load(conn, OLD)
    done: list[ImportReport] = []
    with psycopg.connect(db_url, autocommit=True) as other:
        importing = threading.Thread(target=lambda: done.append(load(other, OLD)))
        with conn.transaction():
            conn.execute("SELECT FROM store_tokens FOR UPDATE")
            importing.start()
            wait_for(lambda: bool(waiting(conn)))
            _refreshed(conn, "S1", NIGHT)
        importing.join(60)
    assert done[0].tokens_kept == ["S1"]
    assert token(conn, "S1") == "rft.new"


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
    load(conn, OLD)
    conn.execute(
        "UPDATE store_tokens SET status = 'needs_consent', status_reason = 'withdrawn',"
        " app_fingerprint = 'abc', refresh_started_at = now()"
    )
    before = row(conn, "SELECT * FROM store_tokens")
    for replace_tokens in (False, True):
        report = load(conn, OLD, replace_tokens=replace_tokens)
        ((line, reason),) = reasons(report)
        assert line == 2
        assert "those stored, and they no longer work" in reason
        assert report.tokens_kept == ["S1"]
    assert row(conn, "SELECT * FROM store_tokens") == before


def test_the_stored_tokens_again_with_another_account_correct_it(conn: Connection) -> None:
    load(conn, {**OLD, "open_id": "wrong"})
    before = row(conn, "SELECT refresh_token, connected_at FROM store_tokens")
    assert load(conn, OLD).problems == []
    assert row(conn, "SELECT open_id FROM store_tokens") == {"open_id": OLD["open_id"]}
    assert row(conn, "SELECT refresh_token, connected_at FROM store_tokens") == before


def test_newer_tokens_end_the_claim_of_the_old_ones(conn: Connection) -> None:
    load(conn, OLD)
    conn.execute(
        "UPDATE store_tokens SET refresh_claim = gen_random_uuid(),"
        " refresh_claimed_until = now() + interval '1 hour'"
    )
    assert load(conn, cells("S1", given=NIGHT)).problems == []
    assert row(conn, "SELECT refresh_claim, refresh_claimed_until FROM store_tokens") == {
        "refresh_claim": None,
        "refresh_claimed_until": None,
    }
