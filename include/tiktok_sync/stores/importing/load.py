"""Bring stores in from a CSV: good rows are loaded, bad ones named by line and reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TextIO

import psycopg

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.store_db import audit
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.stores.codes import StoreCodes
from include.tiktok_sync.stores.importing import grants as grants_of_lines
from include.tiktok_sync.stores.importing.rows import (
    COLUMNS,
    GRANT_COLUMNS,
    CsvStoreRow,
    RowGrant,
    RowProblem,
    read_rows,
)
from include.tiktok_sync.tokens.grant_table import BUSINESS, DISPLAY
from include.tiktok_sync.tokens.vault import TokenVault

__all__ = ["COLUMNS", "GRANT_COLUMNS", "ImportReport", "RowProblem", "import_stores"]

NO_TOKENS_HERE = (
    "it brings tokens, which are not taken here: load it with stores import, or without its tokens"
)

_SAVE_STORE = """
INSERT INTO stores AS old (store_code, store_name, region, timezone)
VALUES (%(store_code)s, %(store_name)s, %(region)s, %(timezone)s)
ON CONFLICT (store_code) DO UPDATE SET
    store_name = excluded.store_name, region = excluded.region,
    timezone = CASE WHEN %(has_timezone)s THEN excluded.timezone ELSE old.timezone END,
    updated_at = now()
"""

_ANOTHER_AT_ONCE = (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected)


@dataclass
class ImportReport:
    """What a file did.

    Attributes:
        loaded: Codes of the rows that were loaded whole.
        new: Those of them that were not there before.
        updated: Codes that were there and got the row's name and region.
        without_grant: Codes of the loaded rows that bring no grant.
        tokens_kept: Codes of which only name and region were taken, as ``problems`` says.
        business: Codes that got their line's grant for the Accounts API.
        business_refused: Codes of the lines whose grant for it was not taken, as ``problems`` says.
        problems: Lines that were not loaded, or not whole.
    """

    loaded: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    without_grant: list[str] = field(default_factory=list)
    tokens_kept: list[str] = field(default_factory=list)
    business: list[str] = field(default_factory=list)
    business_refused: list[str] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)


def import_stores(
    source: TextIO,
    conn: Connection,
    vault: TokenVault | None,
    *,
    actor: str | None = None,
    replace_tokens: bool = False,
    new_codes: bool = False,
    app_fingerprint: str | None = None,
    business_fingerprint: str | None = None,
) -> ImportReport:
    """Load every good row of a CSV, all in one transaction.

    A store that is there already gets the row's name, region and tokens: that is also how a
    store with a dead grant is connected again. Tokens older than those stored are not taken, and
    a row without a grant leaves the store's own as it is. Whether it is active is left as it is
    too.

    Args:
        source: Opened with ``newline=""``; header :data:`COLUMNS` in any order, with or without
            :data:`GRANT_COLUMNS`, :data:`TIMEZONE` and :data:`BUSINESS_COLUMNS`.
        conn: Autocommit connection.
        vault: Encrypts the tokens; ``None`` = a row that brings tokens is refused.
        actor: Who imports, for the audit; ``None`` = the user of this process.
        replace_tokens: Take older tokens too, unless the stored ones are being refreshed.
        new_codes: Take new codes that look like others, or like what Excel makes of a code.
        app_fingerprint: Names the app that gave the tokens; ``None`` = not known.
        business_fingerprint: The same for the Accounts API's.

    Raises:
        DataError: The header lacks a column, or names one twice or an unknown one; or another
            process gave one of the accounts to a store meanwhile. Nothing was loaded.
    """
    report = ImportReport()
    rows = []
    for row in read_rows(source.read()):
        if isinstance(row, RowProblem):
            report.problems.append(row)
        elif vault is None and (row.grant or row.business or row.business_problem):
            report.problems.append(RowProblem(row.line, NO_TOKENS_HERE))
        else:
            rows.append(row)
    try:
        with conn.transaction():
            if any(row.grant or row.business for row in rows):
                accounts.lock(conn)
            codes = StoreCodes.read(conn, new_too=new_codes)
            good = _meant(conn, rows, codes, report)
            good = _with_free_accounts(conn, good, report)
            report.without_grant = [row.code for row in good if row.grant is None]
            if vault is not None:
                second = _second_grants(conn, good, vault, report, older_too=replace_tokens)
                good = _with_tokens_to_take(conn, good, vault, report, older_too=replace_tokens)
            grants = {row.code: row.grant for row in good if row.grant}
            actor = actor or audit.operating_system_user()
            _save(conn, good, codes, grants.keys(), report, actor)
            if vault is not None:
                grants_of_lines.save(conn, grants, vault, DISPLAY, app_fingerprint)
                grants_of_lines.save(conn, second, vault, BUSINESS, business_fingerprint)
                details = {"with_grant": True, "api": BUSINESS.api}
                audit.record(conn, "import", report.business, actor=actor, details=details)
    except _ANOTHER_AT_ONCE as error:
        message = "Another process changed these stores meanwhile, so nothing was loaded. Try again"
        raise DataError(message, detail=error.diag.message_primary) from error
    report.problems.sort(key=lambda problem: problem.line)
    return report


def _meant(
    conn: Connection, rows: Sequence[CsvStoreRow], codes: StoreCodes, report: ImportReport
) -> list[CsvStoreRow]:
    """The rows under the codes that they mean; those of a code that cannot be loaded are named."""
    query = "SELECT store_code FROM stores WHERE removed_at IS NOT NULL"
    removed = {row[0] for row in conn.execute(query).fetchall()}
    good: dict[str, CsvStoreRow] = {}
    for row in rows:
        code = codes.meant(row.code)
        problem = codes.problem_of(code)
        if code in good:
            problem = f"store_code {code} is on line {good[code].line} already"
        elif problem is None and code in removed:
            problem = f"store {code} has left; take it back in first: stores resume {code}"
        if problem is not None:
            report.problems.append(RowProblem(row.line, problem))
            continue
        codes.add(code)
        good[code] = replace(row, code=code)
    return list(good.values())


def _with_free_accounts(
    conn: Connection, rows: Sequence[CsvStoreRow], report: ImportReport
) -> list[CsvStoreRow]:
    """The rows without those whose account another store has, here or in a line above."""
    reasons = grants_of_lines.taken_accounts(conn, rows, DISPLAY)
    report.problems += [
        RowProblem(row.line, reasons[row.code]) for row in rows if row.code in reasons
    ]
    return [row for row in rows if row.code not in reasons]


def _with_tokens_to_take(
    conn: Connection,
    rows: Sequence[CsvStoreRow],
    vault: TokenVault,
    report: ImportReport,
    *,
    older_too: bool,
) -> list[CsvStoreRow]:
    """The rows, without tokens that are older or stored already; name and region are taken."""
    grants = {row.code: row.grant for row in rows if row.grant}
    kept = grants_of_lines.tokens_to_keep(conn, grants, vault, DISPLAY, older_too=older_too)
    good = []
    for row in rows:
        good.append(replace(row, grant=None) if row.code in kept else row)
        if reason := kept.get(row.code):
            report.tokens_kept.append(row.code)
            report.problems.append(RowProblem(row.line, reason))
    return good


def _second_grants(
    conn: Connection,
    rows: Sequence[CsvStoreRow],
    vault: TokenVault,
    report: ImportReport,
    *,
    older_too: bool,
) -> dict[str, RowGrant]:
    """The grants for the Accounts API that are taken; of the other lines only those stay out."""
    reasons: dict[str, str | None] = {
        row.code: row.business_problem for row in rows if row.business_problem
    }
    reasons |= grants_of_lines.taken_accounts(conn, rows, BUSINESS)
    grants = {row.code: row.business for row in rows if row.business and row.code not in reasons}
    reasons |= grants_of_lines.tokens_to_keep(conn, grants, vault, BUSINESS, older_too=older_too)
    for row in rows:
        if reason := reasons.get(row.code):
            report.business_refused.append(row.code)
            report.problems.append(
                RowProblem(row.line, f"its grant for the Accounts API: {reason}")
            )
    report.business = [code for code in grants if code not in reasons]
    return {code: grants[code] for code in report.business}


def _save(
    conn: Connection,
    rows: Sequence[CsvStoreRow],
    codes: StoreCodes,
    connected: Collection[str],
    report: ImportReport,
    actor: str,
) -> None:
    kept = set(report.tokens_kept)
    report.loaded = [row.code for row in rows if row.code not in kept]
    report.new = [row.code for row in rows if row.code not in codes]
    report.updated = [row.code for row in rows if row.code in codes]
    by_code = sorted(rows, key=lambda row: row.code)  # two imports at once lock in one order
    with conn.cursor() as cursor:
        cursor.executemany(_SAVE_STORE, [_store(row) for row in by_code])
    for with_grant in (True, False):
        written = [row.code for row in rows if (row.code in connected) is with_grant]
        audit.record(conn, "import", written, actor=actor, details={"with_grant": with_grant})


def _store(row: CsvStoreRow) -> Mapping[str, object]:
    return {
        "store_code": row.code,
        "store_name": row.name,
        "region": row.region,
        "timezone": row.timezone,
        "has_timezone": row.has_timezone,
    }
