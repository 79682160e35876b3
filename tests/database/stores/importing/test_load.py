"""Are good rows loaded, bad ones named by line and reason, and nothing written by halves?"""

from __future__ import annotations

import csv
import io
from datetime import datetime, timezone
from typing import Any

import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.importing.load import (
    COLUMNS,
    GRANT_COLUMNS,
    ImportReport,
    import_stores,
)
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.tokens.vault import TokenVault
from tests.database.bench import row, rows

HEADER = ",".join(COLUMNS)
ALL_SCOPES = "user.info.basic user.info.profile user.info.stats video.list"
VAULT = TokenVault((Fernet.generate_key().decode(),))


def _cells(code: str, **changes: str) -> dict[str, str]:
    return {
        "store_code": code,
        "store_name": f"Shop {code}",
        "region": "DE",
        "open_id": f"-000{code}",
        "access_token": f"act.{code}",
        "access_expires_at": "2026-01-01T12:00:00Z",
        "refresh_token": f"rft.{code}",
        "refresh_expires_at": "2026-12-31T12:00:00+02:00",
        "scope": ALL_SCOPES,
        **changes,
    }


def _line(code: str, **changes: str) -> str:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(_cells(code, **changes))
    return text.getvalue().removesuffix("\n")


def _load(conn: Connection, *lines: str, header: str = HEADER) -> ImportReport:
    text = "".join(f"{line}\n" for line in (header, *lines))
    return import_stores(io.StringIO(text, newline=""), conn, VAULT)


def _problems(report: ImportReport) -> list[tuple[int, str]]:
    return [(problem.line, problem.reason) for problem in report.problems]


def _stores(conn: Connection) -> list[str]:
    return [line["store_code"] for line in rows(conn, "SELECT * FROM stores ORDER BY 1")]


def _token(conn: Connection, code: str) -> dict[str, Any]:
    return row(conn, "SELECT * FROM store_tokens WHERE store_code = %s", code)


def test_a_good_row_arrives_whole(conn: Connection) -> None:
    report = _load(conn, _line("S1", store_name="Köln, „Süd“"), _line("S2", region=""))
    assert (report.loaded, report.problems) == (["S1", "S2"], [])
    stores = rows(conn, "SELECT * FROM stores ORDER BY store_code")
    assert [line["store_name"] for line in stores] == ["Köln, „Süd“", "Shop S2"]
    assert [line["region"] for line in stores] == ["DE", None]
    assert [line["is_active"] for line in stores] == [True, True]
    found = _token(conn, "S1")
    assert found["open_id"] == "-000S1"  # a hyphen in front is no option and no formula
    assert found["access_expires_at"] == datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
    assert found["refresh_expires_at"] == datetime(2026, 12, 31, 10, tzinfo=timezone.utc)
    assert found["scope"] == ALL_SCOPES.replace(" ", ",")
    assert found["status"] == "active"
    for kind in ("access", "refresh"):
        sealed = found[f"{kind}_token"]
        token = VAULT.decrypt(sealed, store_code="S1", kind=kind)
        assert token == {"access": "act.S1", "refresh": "rft.S1"}[kind]


WRITE_IT = "Write it as Europe/Berlin, or leave it empty for SYNC_TIMEZONE"


def _zones(conn: Connection) -> dict[str, str | None]:
    return dict(conn.execute("SELECT store_code, timezone FROM stores").fetchall())


def test_a_time_zone_is_a_column_that_may_be_left_out(conn: Connection) -> None:
    header = "store_code,store_name,region,Timezone"
    lines = ("S1,One,DE,Europe/Berlin", "S2,Two,,", "S3,Three,,Asia/Tokyo ")
    report = _load(conn, *lines, "S4,Four,,Middle/Earth", "S5,Five,,act.secret", header=header)
    assert _problems(report) == [
        (5, f"timezone is no known time zone: Middle/Earth. {WRITE_IT}"),
        (6, "timezone holds what looks like a token: are columns swapped or shifted?"),
    ]
    assert _zones(conn) == {"S1": "Europe/Berlin", "S2": None, "S3": "Asia/Tokyo"}

    _load(conn, "S1,One,DE", header="store_code,store_name,region")
    _load(conn, "S3,Three,,", header=header)
    assert _zones(conn) == {"S1": "Europe/Berlin", "S2": None, "S3": None}
    with pytest.raises(DataError, match="names a column twice: timezone"):
        _load(conn, "S1,One,,,", header=f"{header},timezone")
    _load(conn, _line("S6") + ",UTC", header=f"{HEADER},timezone")
    assert (_zones(conn)["S6"], _token(conn, "S6")["status"]) == ("UTC", "active")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"store_code": " "}, "store_code is empty"),
        ({"store_name": ""}, "store_name is empty"),
        ({"open_id": ""}, "open_id is empty"),
        ({"access_token": ""}, "access_token is empty"),
        ({"refresh_token": " "}, "refresh_token is empty"),
        ({"access_token": "act.é"}, "access_token holds characters that no token has"),
        ({"refresh_token": "rft.a b"}, "refresh_token holds characters that no token has"),
        ({"scope": ""}, "scope is empty"),
        ({"access_expires_at": "01.02.2026"}, "access_expires_at is not an ISO 8601 time"),
        ({"refresh_expires_at": "2026-02-30T00:00:00Z"}, "refresh_expires_at is not an ISO"),
        ({"refresh_expires_at": ""}, "refresh_expires_at is empty"),
        ({"scope": "user.info.basic,video.lst"}, "scope holds video.lst; known are "),
        ({"store_name": "a\x00b"}, "store_name holds a NUL character"),
        ({"access_token": "act.\x00"}, "access_token holds a NUL character"),
    ],
)
def test_a_bad_row_is_named_and_the_good_ones_are_loaded(
    conn: Connection, changes: dict[str, str], reason: str
) -> None:
    report = _load(conn, _line("S1"), _line("S2", **changes), _line("S3"))
    assert report.loaded == _stores(conn) == ["S1", "S3"]
    assert [line for line, _ in _problems(report)] == [3]
    assert report.problems[0].reason.startswith(reason)
    assert "act." not in report.problems[0].reason
    assert len(rows(conn, "SELECT FROM store_tokens")) == 2


def test_too_few_and_too_many_values_are_named(conn: Connection) -> None:
    short = _line("S2").rpartition(",")[0]
    report = _load(conn, _line("S1"), short, _line("S3") + ",more", "S4")
    assert _problems(report) == [
        (3, "scope is missing (fewer than 9 values)"),
        (4, "more than 9 values"),
        (5, "store_name is missing (fewer than 9 values)"),
    ]
    assert _stores(conn) == ["S1"]


def test_a_code_that_is_there_twice_is_loaded_once_and_named_with_both_lines(
    conn: Connection,
) -> None:
    again = _line(" S1 ", open_id="-000S1", access_token="act.again", refresh_token="rft.again")
    report = _load(conn, _line("S1", store_name="first"), _line("S2"), again)
    assert _problems(report) == [(4, "store_code S1 is on line 2 already")]
    assert row(conn, "SELECT store_name FROM stores WHERE store_code = 'S1'") == {
        "store_name": "first"
    }


def test_a_bad_row_does_not_take_the_code_from_a_good_one(conn: Connection) -> None:
    report = _load(conn, _line("S1", scope=""), _line("S1"))
    assert (report.loaded, [line for line, _ in _problems(report)]) == (["S1"], [2])


def test_line_numbers_survive_empty_lines_and_values_over_several_lines(conn: Connection) -> None:
    report = _load(
        conn,
        "",
        _line("S1", store_name="two\nlines"),  # lines 3 and 4
        "",
        _line("S2", store_name="three\nmore\nlines", scope="x"),  # lines 6 to 8
        _line("S3", scope="y"),  # line 9
    )
    assert [line for line, _ in _problems(report)] == [6, 9]
    assert row(conn, "SELECT store_name FROM stores") == {"store_name": "two\nlines"}


@pytest.mark.parametrize("broken", ['"S2,never closed', '"S2"x,y'])
def test_a_broken_quote_is_named_where_it_begins_and_ends_the_reading(
    conn: Connection, broken: str
) -> None:
    report = _load(conn, _line("S1"), broken, _line("S3"), _line("S4"))
    assert [line for line, _ in _problems(report)] == [3]
    assert report.problems[0].reason.startswith("not readable as CSV from here on: ")
    assert report.loaded == _stores(conn) == ["S1"]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (HEADER.replace("open_id,", ""), "lacks open_id. It must be: store_code,"),
        (HEADER.replace("scope", "scopes"), "lacks scope"),
        (f"{HEADER},colour", "unknown columns: colour"),
        (f"{HEADER},scope", "names a column twice"),
        ('"store_code', "first line is not readable as CSV"),
        (f'"{HEADER}"', "lines are in quotes as a whole"),
        ("", "lacks store_code"),
    ],
)
def test_a_wrong_header_loads_nothing(conn: Connection, header: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        _load(conn, _line("S1"), header=header)
    assert _stores(conn) == []


def test_an_empty_file_is_a_wrong_header(conn: Connection) -> None:
    with pytest.raises(DataError, match="first line lacks store_code"):
        import_stores(io.StringIO("", newline=""), conn, VAULT)


def test_columns_may_come_in_any_order_and_with_blanks(conn: Connection) -> None:
    names = [*reversed(COLUMNS)]
    cells = _cells("S1")
    report = _load(conn, ",".join(cells[name] for name in names), header=" , ".join(names))
    assert (report.loaded, report.problems) == (["S1"], [])
    assert _token(conn, "S1")["open_id"] == "-000S1"


def test_a_header_alone_loads_nothing_and_is_no_mistake(conn: Connection) -> None:
    assert _load(conn) == ImportReport()


@pytest.mark.parametrize("scope", [ALL_SCOPES, ALL_SCOPES.replace(" ", ","), f" {ALL_SCOPES} "])
def test_scopes_are_separated_by_blanks_or_commas(conn: Connection, scope: str) -> None:
    assert _load(conn, _line("S1", scope=scope)).problems == []
    assert _token(conn, "S1")["status"] == "active"


def test_a_partial_scope_is_reported(conn: Connection) -> None:
    _load(conn, _line("S1", scope="user.info.basic"))
    assert _token(conn, "S1")["status"] == "missing_scope"


def test_importing_again_updates_and_leaves_activity_alone(conn: Connection) -> None:
    _load(conn, _line("S1"), _line("S2"))
    conn.execute("UPDATE stores SET is_active = false WHERE store_code = 'S1'")
    conn.execute("UPDATE store_tokens SET status = 'needs_consent', status_reason = 'why'")
    _load(conn, _line("S1", store_name="New", refresh_token="rft.new"))
    store = row(conn, "SELECT * FROM stores WHERE store_code = 'S1'")
    assert (store["store_name"], store["is_active"]) == ("New", False)
    found = _token(conn, "S1")
    assert (found["status"], found["status_reason"]) == ("active", None)
    assert VAULT.decrypt(found["refresh_token"], store_code="S1", kind="refresh") == "rft.new"
    assert _token(conn, "S2")["status"] == "needs_consent"


def test_a_failure_in_the_middle_leaves_nothing(conn: Connection) -> None:
    conn.execute("ALTER TABLE store_tokens ADD CHECK (store_code <> 'S2')")
    with pytest.raises(Exception, match="check constraint"):
        _load(conn, _line("S1"), _line("S2"))
    assert _stores(conn) == []


NO_GRANT = dict.fromkeys(GRANT_COLUMNS, "")


def test_stores_without_a_grant_are_loaded_to_be_connected_later(conn: Connection) -> None:
    report = _load(
        conn, _line("S1"), _line("S2", **NO_GRANT), _line("S3", **{**NO_GRANT, "scope": "x"})
    )
    assert (report.loaded, report.without_grant) == (["S1", "S2"], ["S2"])
    assert _problems(report) == [(4, "open_id is empty")]
    assert [line["store_code"] for line in rows(conn, "SELECT * FROM store_tokens")] == ["S1"]


def test_a_header_without_the_grants_columns_brings_stores_alone(conn: Connection) -> None:
    report = _load(conn, "North,S1,One", ",S2,Two", header="region,store_code,store_name")
    assert (report.loaded, report.without_grant) == (["S1", "S2"], ["S1", "S2"])
    assert rows(conn, "SELECT * FROM store_tokens") == []
    short = _load(conn, "South,S3", header="region,store_code,store_name")
    assert _problems(short) == [(2, "store_name is missing (fewer than 3 values)")]


def test_a_row_without_a_grant_leaves_the_stores_own_as_it_is(conn: Connection) -> None:
    _load(conn, _line("S1"))
    before = _token(conn, "S1")
    _load(conn, _line("S1", store_name="New", **NO_GRANT))
    assert _token(conn, "S1") == before
    assert row(conn, "SELECT store_name FROM stores") == {"store_name": "New"}


def test_a_store_that_has_left_is_not_connected_by_the_way(conn: Connection) -> None:
    _load(conn, _line("S1"))
    Lifecycle(conn, "anna").remove("S1")
    report = _load(conn, _line("S1"), _line("S2"))
    assert _problems(report) == [(2, "store S1 has left; take it back in first: stores resume S1")]
    assert report.loaded == ["S2"]


def test_an_import_says_who_and_what_but_no_token(conn: Connection) -> None:
    text = "\n".join([HEADER, _line("S1"), _line("S2", **NO_GRANT), ""])
    import_stores(io.StringIO(text, newline=""), conn, VAULT, actor="anna")
    found = rows(conn, "SELECT store_code, action, actor, details FROM store_audit ORDER BY 1")
    assert [tuple(line.values()) for line in found] == [
        ("S1", "import", "anna", {"with_grant": True}),
        ("S2", "import", "anna", {"with_grant": False}),
    ]
