"""Is what Excel writes read where it is clear, and named by line where it is not, token or no?"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from include.tiktok_sync.cli.app import app
from include.tiktok_sync.errors import DataError
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.importing.csv_text import decode
from include.tiktok_sync.stores.importing.load import COLUMNS, ImportReport, import_stores
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.tokens.vault import TokenVault
from tests.database.bench import rows

KEY = Fernet.generate_key().decode()
VAULT = TokenVault((KEY,))
STORES = "store_code,store_name,region"
GRANT = (
    "-000x",
    "act.VEILED1",
    "2026-12-01T12:00:00Z",
    "rft.VEILED2",
    "2027-11-01T12:00:00Z",
    "user.info.basic",
)


def _load(conn: Connection, text: str, *, new_codes: bool = False) -> ImportReport:
    return import_stores(io.StringIO(text, newline=""), conn, VAULT, new_codes=new_codes)


def _reasons(report: ImportReport) -> list[tuple[int, str]]:
    return [(problem.line, problem.reason) for problem in report.problems]


def _stores(conn: Connection) -> list[tuple[str, str, str | None]]:
    found = rows(conn, "SELECT store_code, store_name, region FROM stores ORDER BY 1")
    return [(one["store_code"], one["store_name"], one["region"]) for one in found]


BOTH = [("S1", "One", "DE"), ("S2", "Two", None)]


@pytest.mark.parametrize(
    "text",
    [
        "store_code;store_name;region\r\nS1;One;DE\r\nS2;Two;\r\n",
        "store_code\tstore_name\tregion\r\nS1\tOne\tDE\r\nS2\tTwo\r\n",
        "store_code|store_name|region\nS1|One|DE\nS2|Two|\n",
        "sep=;\r\nstore_code;store_name;region\r\nS1;One;DE\r\nS2;Two;\r\n",
        "\ufeffsep=,\nstore_code,store_name,region\nS1,One,DE\nS2,Two,\n",
        'sep=\t\nstore_code\tstore_name\tregion\n"S1"\tOne\tDE\nS2\tTwo\t\n',
        "store_code,store_name,region,,\nS1,One,DE,,\nS2,Two,,,\n,,,,\n \u00a0,,,,\n",
        ",,\nstore_code,,store_name,region\nS1,,One,DE\nS2,,Two\n",
        "Store Code,STORE_NAME, \u200bRegion\ufeff\nS1,One,DE\nS2,Two,\n",
        "store_code,store_name,region\n\u200bS1\u00a0,\u202aOne\u202c,DE\n\ufeffS2,Two\u3000,\u00a0\n",
        "store_code,store_name,region\rS1,One,DE\rS2,Two,\r",
        'region;store_name;store_code\n"DE";"One";"S1"\n;Two;S2\n',
    ],
)
def test_what_is_clear_is_read(conn: Connection, text: str) -> None:
    report = _load(conn, text)
    assert _reasons(report) == []
    assert _stores(conn) == BOTH


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_excels_unicode_text_is_read(conn: Connection, encoding: str) -> None:
    text = "store_code\tstore_name\tregion\r\nS1\tKöln\t\r\n"
    assert _load(conn, decode(text.encode(encoding))).problems == []
    assert _stores(conn) == [("S1", "Köln", None)]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (f"{STORES}\nS1,One,\nS2,Köln,\n".encode("cp1252"), "Line 3 is not UTF-8"),
        (f"{STORES}\r\nS1,Köln,\r\n".encode("mac-roman"), "Line 2 is not UTF-8"),
        (f"{STORES}\nS1,One,\n".encode("utf-16-le"), "looks like UTF-16"),
        (b"PK\x03\x04 and the rest", "is an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an Excel workbook"),
        (b"\xff\xfeabc", "Line 1 is not UTF-8"),
    ],
)
def test_a_file_that_is_not_utf_8_is_refused_with_how_to_save_it(raw: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        decode(raw)
    assert 'Save it in Excel as "CSV UTF-8 (Comma delimited)"' in caught.value.message


def _line(**changes: str) -> str:
    cells = dict(zip(COLUMNS, ("S2", "Two", "DE", *GRANT), strict=True)) | changes
    return ",".join(cells.values())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"access_expires_at": "28.11.2026 14:00"}, "ISO 8601 time: 28.11.2026 14:00. Write it as"),
        ({"refresh_expires_at": "11/28/2026 2:00 PM"}, "ISO 8601 time: 11/28/2026 2:00 PM. Write"),
        ({"access_expires_at": "46354.58"}, "access_expires_at is not an ISO 8601 time: 46354.58"),
        ({"access_expires_at": "########"}, "access_expires_at is not an ISO 8601 time. Write"),
        ({"open_id": "4.6E+17"}, "open_id is a number in scientific notation"),
        ({"open_id": '"4,6E+17"'}, "open_id is a number in scientific notation"),
        ({"open_id": "#NAME?"}, "open_id is an error of Excel (#NAME?)"),
        ({"open_id": "-000\u200bx"}, "open_id holds a character that no open_id has (U+200B)"),
        ({"open_id": "-000 x"}, "open_id holds a character that no open_id has (U+0020)"),
        ({"store_code": "1.00E+05"}, "looks like a number in scientific notation"),
        ({"store_code": "1E5"}, "looks like a number in scientific notation"),
        ({"store_code": "01.03.2026"}, "store_code looks like a date"),
        ({"store_code": "03. Mrz"}, "store_code looks like a date"),
        ({"store_code": "Mar-01"}, "store_code looks like a date"),
        ({"store_code": "2026-03-01"}, "store_code looks like a date"),
        ({"store_code": "2026/02/01"}, "store_code looks like a date"),
        ({"store_code": "01/02"}, "store_code looks like a date"),
        ({"store_code": "1/2/2026"}, "store_code looks like a date"),
        ({"store_code": '="007"'}, "store_code looks like a formula"),
        ({"store_code": "store_code"}, "is this the header once more?"),
        ({"store_code": "STORE CODE"}, "is this the header once more?"),
        ({"store_code": "#WERT!"}, "store_code is an error of Excel"),
        ({"store_code": "S\u200b2"}, "store_code holds an invisible character (U+200B)"),
    ],
)
def test_what_excel_mangled_is_named_and_not_guessed(
    conn: Connection, changes: dict[str, str], says: str
) -> None:
    header = ",".join(COLUMNS)
    report = _load(conn, f"{header}\n{_line(store_code='S1', open_id='o')}\n{_line(**changes)}\n")
    ((line, reason),) = _reasons(report)
    assert line == 3
    assert says in reason
    assert [code for code, _, _ in _stores(conn)] == report.loaded == ["S1"]


@pytest.mark.parametrize(
    ("known", "new"),
    [
        ("S1", "s1"),
        ("S1", "S001"),
        ("S1", "S 1"),
        ("S1", "S\u00a01"),
        ("S1", "S\u20601"),
        ("S1", "Ｓ１"),  # noqa: RUF001 - as a Japanese keyboard writes it
        ("007", "7"),
        ("7", "007"),
        ("DE-07", "de-7"),
        ("K\u00f6ln", "KO\u0308LN"),
        ("007", "'007"),
        ("007", "7.0"),
        ("7", "007.00"),
        ("007", "\u0667"),  # an Arabic 7
        ("A-1", "A\u20111"),
        ("A-1", "A\u20131"),
        ("A-1", "A\u22121"),
        ("ISTANBUL", "\u0131stanbul"),
        ("ISTANBUL", "\u0130stanbul"),
        ("istanbul", "ISTANBUL"),
    ],
)
def test_a_new_code_that_looks_like_another_is_refused(
    conn: Connection, known: str, new: str
) -> None:
    _load(conn, f"{STORES}\n{known},One,\n")
    report = _load(conn, f"{STORES}\n{known},One,\n{new},Two,\nB1,Three,\nb01,Four,\n")
    found = _reasons(report)
    assert [line for line, _ in found] == [3, 5]
    assert f"differs from store {known} only in case" in found[0][1]
    assert "differs from store B1 only in case" in found[1][1]
    assert (report.new, report.updated) == (["B1"], [known])
    lifecycle = Lifecycle(conn, "anna")
    with pytest.raises(DataError, match=f"differs from store {known} only"):
        lifecycle.add(new, "Two")
    if "\u2060" in new:
        return
    assert _load(conn, f"{STORES}\n{new},Two,\n", new_codes=True).new != []
    # Once it is there, it is a store like any other.
    assert _load(conn, f"{STORES}\n{new},Two,\n{known},One,\n").problems == []


def test_codes_that_are_there_with_invisible_characters_keep_their_stores(
    conn: Connection,
) -> None:
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', ''), ('S1\u200b', '')")
    report = _load(conn, f"{STORES}\nS1\u200b,Hidden,\n\u200bS1,Plain,\n")
    assert report.problems == []
    assert dict(pair[:2] for pair in _stores(conn)) == {"S1\u200b": "Hidden", "S1": "Plain"}


def test_a_store_that_is_added_is_cleaned_like_an_imported_one(conn: Connection) -> None:
    lifecycle = Lifecycle(conn, "anna")
    lifecycle.add("\u200b S1\u00a0", " One ", "\u00a0")
    assert _stores(conn) == [("S1", "One", None)]
    with pytest.raises(DataError, match="There is a store S1 already"):
        lifecycle.add("S1\ufeff", "Again")
    for code in ("act.VEILED", "1E+05"):
        with pytest.raises(DataError) as caught:
            lifecycle.add(code, "x")
        assert "VEILED" not in caught.value.message
    lifecycle.add("1E+05", "x", new_too=True)


def _swapped(one: str, other: str) -> str:
    names = list(COLUMNS)
    a, b = names.index(one), names.index(other)
    names[a], names[b] = names[b], names[a]
    return ",".join(names)


SHIFTED: Sequence[tuple[str, Sequence[str]]] = [
    *[
        (_swapped(token, column), [",".join(("S1", "One", "DE", *GRANT))] * 2)
        for token in ("access_token", "refresh_token")
        for column in COLUMNS
        if column != token
    ],
    # No header, a header with a token in it, rows that are shifted by one.
    (",".join(("S1", "One", "DE", *GRANT)), []),
    (f"{','.join(COLUMNS)},act.VEILED1", []),
    (
        ",".join(COLUMNS),
        [",".join(("S1", "DE", *GRANT)), ",".join(("S1", "One", "", "DE", *GRANT))],
    ),
    (",".join(COLUMNS), ["S1;One;DE;" + ";".join(GRANT)]),
    (",".join(COLUMNS), ['S1,One,DE,"act.VEILED1', ",".join(("S2", "Two", "DE", *GRANT))]),
    (",".join(COLUMNS), ['"act.VEILED1"x,One,DE']),
    (STORES, ["act.VEILED1,One,DE", "act.VEILED1,One,DE", "S2,rft.VEILED2,DE", "S3,x,act.VEILED1"]),
    (
        ",".join(COLUMNS),
        ["S1,One,DE,-o,a b act.VEILED1,2027-01-01,rft.VEILED2,2027-02-02,VEILED.x"],
    ),
]


@pytest.mark.parametrize(("header", "lines"), SHIFTED)
def test_no_message_holds_a_token(
    conn: Connection,
    db_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    header: str,
    lines: Sequence[str],
) -> None:
    file = tmp_path / "stores.csv"
    file.write_text("\n".join([header, *lines, ""]))
    env = {"STORE_DB_URL": db_url, "TIKTOK_TOKEN_KEYS": KEY}
    with caplog.at_level(logging.DEBUG):
        for options in ((), ("--json",), ("--new",)):
            done = CliRunner().invoke(app, ["stores", "import", str(file), *options], env=env)
            assert done.exit_code in {1, 2}, done.output
            assert done.exception is None or isinstance(done.exception, SystemExit)
            assert "VEILED" not in done.output + done.stderr
    assert "VEILED" not in caplog.text
    kept = rows(conn, "SELECT s::text AS line FROM stores s")
    kept += rows(conn, "SELECT a::text AS line FROM store_audit a")
    assert "VEILED" not in json.dumps(kept)
