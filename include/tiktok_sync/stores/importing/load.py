"""Bring stores in from a CSV: good rows are loaded, bad ones named by line and reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TextIO

import psycopg

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.store_db import audit
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.stores.codes import StoreCodes
from include.tiktok_sync.stores.importing.rows import (
    COLUMNS,
    GRANT_COLUMNS,
    CsvStoreRow,
    RowGrant,
    RowProblem,
    read_rows,
)
from include.tiktok_sync.stores.importing.token_age import (
    StoredGrant,
    older_than_stored,
    stored_grants,
)
from include.tiktok_sync.tokens.scopes import status_for_scope
from include.tiktok_sync.tokens.vault import TokenVault

__all__ = ["COLUMNS", "GRANT_COLUMNS", "ImportReport", "RowProblem", "import_stores"]

NO_TOKENS_HERE = (
    "it brings tokens, which are not taken here: load it with stores import, or without its tokens"
)

_SAME_DEAD = (
    "its tokens, which are those stored, and they no longer work; name and region were taken. Send"
    " the store's manager a link (stores link), or, if you believe that the tokens do work, have"
    " TikTok asked again (tokens recheck)"
)

_SAVE_STORE = """
INSERT INTO stores AS old (store_code, store_name, region, timezone)
VALUES (%(store_code)s, %(store_name)s, %(region)s, %(timezone)s)
ON CONFLICT (store_code) DO UPDATE SET
    store_name = excluded.store_name, region = excluded.region,
    timezone = CASE WHEN %(has_timezone)s THEN excluded.timezone ELSE old.timezone END,
    updated_at = now()
"""

_SAVE_TOKENS = """
INSERT INTO store_tokens AS old (
    store_code, open_id, scope, access_token, access_expires_at, refresh_token,
    refresh_expires_at, status, connected_at, app_fingerprint)
VALUES (
    %(store_code)s, %(open_id)s, %(scope)s, %(access_token)s, %(access_expires_at)s,
    %(refresh_token)s, %(refresh_expires_at)s, %(status)s, now(), %(app_fingerprint)s)
ON CONFLICT (store_code) DO UPDATE SET
    open_id = excluded.open_id, scope = excluded.scope, access_token = excluded.access_token,
    access_expires_at = excluded.access_expires_at, refresh_token = excluded.refresh_token,
    refresh_expires_at = excluded.refresh_expires_at, status = excluded.status,
    status_reason = NULL, connected_at = excluded.connected_at,
    app_fingerprint = excluded.app_fingerprint, notice_version = NULL,
    status_since = CASE WHEN old.status = excluded.status THEN old.status_since ELSE now() END,
    updated_at = now(), refresh_started_at = NULL,
    refresh_claim = NULL, refresh_claimed_until = NULL
"""

_SAVE_ACCOUNT = """
UPDATE store_tokens SET open_id = %s, updated_at = now() WHERE store_code = %s AND open_id <> %s
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
        problems: Lines that were not loaded, or not whole.
    """

    loaded: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    without_grant: list[str] = field(default_factory=list)
    tokens_kept: list[str] = field(default_factory=list)
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
) -> ImportReport:
    """Load every good row of a CSV, all in one transaction.

    A store that is there already gets the row's name, region and tokens: that is also how a
    store with a dead grant is connected again. Tokens older than those stored are not taken, and
    a row without a grant leaves the store's own as it is. Whether it is active is left as it is
    too.

    Args:
        source: Opened with ``newline=""``; header :data:`COLUMNS` in any order, with or without
            :data:`GRANT_COLUMNS` and :data:`TIMEZONE`.
        conn: Autocommit connection.
        vault: Encrypts the tokens; ``None`` = a row that brings tokens is refused.
        actor: Who imports, for the audit; ``None`` = the user of this process.
        replace_tokens: Take older tokens too, unless the stored ones are being refreshed.
        new_codes: Take new codes that look like others, or like what Excel makes of a code.
        app_fingerprint: Names the app that gave the tokens; ``None`` = not known.

    Raises:
        DataError: The header lacks a column, or names one twice or an unknown one; or another
            process gave one of the accounts to a store meanwhile. Nothing was loaded.
    """
    report = ImportReport()
    rows = []
    for row in read_rows(source.read()):
        if isinstance(row, RowProblem):
            report.problems.append(row)
        elif vault is None and row.grant:
            report.problems.append(RowProblem(row.line, NO_TOKENS_HERE))
        else:
            rows.append(row)
    try:
        with conn.transaction():
            if any(row.grant for row in rows):
                accounts.lock(conn)
            codes = StoreCodes.read(conn, new_too=new_codes)
            good = _meant(conn, rows, codes, report)
            good = _with_free_accounts(conn, good, report)
            report.without_grant = [row.code for row in good if row.grant is None]
            if vault is not None:
                good = _with_tokens_to_take(conn, good, vault, report, older_too=replace_tokens)
            sealed = [
                {**_sealed(row.code, row.grant, vault), "app_fingerprint": app_fingerprint}
                for row in good
                if row.grant and vault
            ]
            _save(conn, good, codes, sealed, report, actor or audit.operating_system_user())
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
    wanted = [(row.code, row.grant.open_id) for row in rows if row.grant]
    taken = accounts.other_holders(conn, wanted)
    above: dict[str, CsvStoreRow] = {}
    good = []
    for row in rows:
        if row.grant and row.code in taken:
            reason = (
                f"its open_id is that of store {taken[row.code]}: an account belongs to one store."
                f" If it is this one's, take it from the other first: stores disconnect"
                f" {taken[row.code]} --no-revoke"
            )
        elif row.grant and (other := above.get(row.grant.open_id)):
            reason = (
                f"its open_id is that of store {other.code} on line {other.line} already: an"
                " account belongs to one store"
            )
        else:
            if row.grant:
                above[row.grant.open_id] = row
            good.append(row)
            continue
        report.problems.append(RowProblem(row.line, reason))
    return good


def _with_tokens_to_take(
    conn: Connection,
    rows: Sequence[CsvStoreRow],
    vault: TokenVault,
    report: ImportReport,
    *,
    older_too: bool,
) -> list[CsvStoreRow]:
    """The rows, without tokens that are older or stored already; name and region are taken.

    Tokens that are stored already are never written again: encrypted once more they would differ,
    and a refresh that has sent them could not store the pair that it gets for them.
    """
    stored = stored_grants(conn, [row.code for row in rows if row.grant])
    good = []
    for row in rows:
        mine = stored.get(row.code)
        if row.grant is None or mine is None:
            good.append(row)
            continue
        if _is_same(row.grant, mine, vault):
            account = row.grant.open_id
            conn.execute(_SAVE_ACCOUNT, [account, row.code, account])
            reason = _SAME_DEAD if mine.status == "needs_consent" else None
        else:
            reason = _why_kept(row.grant, mine, older_too=older_too)
            if reason is None:
                good.append(row)
                continue
        good.append(replace(row, grant=None))
        if reason is not None:
            report.tokens_kept.append(row.code)
            report.problems.append(RowProblem(row.line, reason))
    return good


def _why_kept(grant: RowGrant, stored: StoredGrant, *, older_too: bool) -> str | None:
    """Why other tokens than the stored ones are not taken; ``None`` = they are."""
    older = older_than_stored(grant, stored)
    if older is None:
        return None
    if not older_too:
        return (
            f"its tokens, which are older than those stored ({older}); name and region were"
            " taken. If you mean the tokens too, load the line with --replace-tokens"
        )
    if stored.claimed:
        return (
            "its tokens, because those stored are being refreshed; name and region were taken."
            " Load the line again in a minute"
        )
    return None


def _is_same(grant: RowGrant, stored: StoredGrant, vault: TokenVault) -> bool:
    """Whether the stored refresh token is the line's; one that no key opens is not."""
    return stored.opened(vault) == grant.refresh_token


def _save(
    conn: Connection,
    rows: Sequence[CsvStoreRow],
    codes: StoreCodes,
    sealed: Sequence[Mapping[str, object]],
    report: ImportReport,
    actor: str,
) -> None:
    kept = set(report.tokens_kept)
    report.loaded = [row.code for row in rows if row.code not in kept]
    report.new = [row.code for row in rows if row.code not in codes]
    report.updated = [row.code for row in rows if row.code in codes]
    by_code = sorted(rows, key=lambda row: row.code)  # two imports at once lock in one order
    sealed = sorted(sealed, key=lambda values: str(values["store_code"]))
    connected = {str(values["store_code"]) for values in sealed}
    with conn.cursor() as cursor:
        cursor.executemany(_SAVE_STORE, [_store(row) for row in by_code])
        cursor.executemany(_SAVE_TOKENS, sealed)
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


def _sealed(code: str, grant: RowGrant, vault: TokenVault) -> Mapping[str, object]:
    return {
        "store_code": code,
        "open_id": grant.open_id,
        "scope": grant.scope,
        "status": status_for_scope(grant.scope),
        "access_token": vault.encrypt(grant.access_token, store_code=code, kind="access"),
        "refresh_token": vault.encrypt(grant.refresh_token, store_code=code, kind="refresh"),
        "access_expires_at": grant.access_expires_at,
        "refresh_expires_at": grant.refresh_expires_at,
    }
