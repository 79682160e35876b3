"""Does a wrong account stored for a grant cost no pair, and is it put right or named?"""

from __future__ import annotations

import csv
import io

import pytest

from include.tiktok_sync.doctor.store_db import check
from include.tiktok_sync.stores.csv_cells import csv_lines
from include.tiktok_sync.stores.importing.load import import_stores
from include.tiktok_sync.stores.leaving import disconnect
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.tokens.scopes import ACCOUNT_CONFLICT, why_in_state
from tests.database.bench import Bench
from tests.database.rows.token_pairs import EXPIRED, FRESH, grant_of, newest_pair, stored_pair

CODES = [f"S{number:03}" for number in range(1, 7)]

pytestmark = pytest.mark.usefixtures("no_waits")


def _refresh(bench: Bench, code: str) -> None:
    bench.conn.execute("UPDATE store_tokens SET access_expires_at = now()")
    with bench.client(code, own_connection=True) as client:
        client.tokens.access_token()
    assert stored_pair(bench, code) == newest_pair(bench, code)


def _open_id(bench: Bench, code: str) -> str:
    found = bench.row("SELECT open_id FROM store_tokens WHERE store_code = %s", code)
    return str(found["open_id"])


def test_a_shifted_open_id_column_costs_no_grant_and_can_be_mended(bench: Bench) -> None:
    text = bench.sandbox.admin("GET", "/stores.csv", params={"codes": ",".join(CODES)})
    lines = list(csv.DictReader(io.StringIO(text)))
    accounts = [line["open_id"] for line in lines]
    for line, account in zip(lines, [*accounts[1:], accounts[0]], strict=True):
        line["open_id"] = account
    shifted = "".join(csv_lines(tuple(lines[0]), [tuple(line.values()) for line in lines]))
    import_stores(io.StringIO(shifted, newline=""), bench.conn, bench.vault)

    for _ in range(2):
        for code in CODES:
            _refresh(bench, code)
    assert {grant_of(bench, code) for code in CODES} == {("active", ACCOUNT_CONFLICT)}
    finding = next(f for f in check(bench.conn, bench.settings, {}) if f.check == "accounts")
    assert finding.status == "fail"
    assert "the tokens of 6 stores (S001, " in finding.text

    # As doctor says: one of them lets go, and the others find their accounts.
    disconnect("S001", Lifecycle(bench.conn, "anna"), source=None, oauth=None)
    for code in reversed(CODES[1:]):
        _refresh(bench, code)
    _refresh(bench, "S006")
    for code in CODES[1:]:
        _refresh(bench, code)
    assert {code: _open_id(bench, code) for code in CODES[1:]} == dict(
        zip(CODES[1:], accounts[1:], strict=True)
    )
    assert {grant_of(bench, code) for code in CODES[1:]} == {("active", None)}


def test_a_wrong_account_is_put_right_where_no_other_store_holds_the_true_one(
    bench: Bench,
) -> None:
    bench.import_stores(EXPIRED, FRESH)
    true = _open_id(bench, EXPIRED)
    bench.conn.execute("UPDATE store_tokens SET open_id = 'x' WHERE store_code = %s", [EXPIRED])
    _refresh(bench, EXPIRED)
    assert _open_id(bench, EXPIRED) == true
    assert grant_of(bench, EXPIRED) == ("active", None)


def test_an_account_that_another_store_took_first_costs_no_pair(bench: Bench) -> None:
    bench.import_stores(EXPIRED, FRESH)
    true = _open_id(bench, EXPIRED)
    bench.conn.execute("UPDATE store_tokens SET open_id = 'x' WHERE store_code = %s", [EXPIRED])
    bench.conn.execute("UPDATE store_tokens SET open_id = %s WHERE store_code = %s", [true, FRESH])
    _refresh(bench, EXPIRED)
    assert _open_id(bench, EXPIRED) == "x"
    assert grant_of(bench, EXPIRED) == ("active", ACCOUNT_CONFLICT)


def test_a_store_that_lacks_permissions_names_its_wrong_account_too() -> None:
    said = why_in_state("missing_scope", ACCOUNT_CONFLICT, "user.info.basic")
    assert said is not None
    assert said.startswith("Not granted: ")
    assert said.endswith(ACCOUNT_CONFLICT)
